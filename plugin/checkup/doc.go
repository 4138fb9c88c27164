// Package checkup judges what kubectl ai needs of a user's environment beside
// the container engine: how kubectl finds it, the home folder, proxies, the
// contexts of the kubeconfig, the clock, and what a cluster permits. As in
// sandbox/doctor, a check is a function of what was found out: it asks
// nothing, changes nothing, and its finding is a value.
package checkup

import (
	"fmt"

	"github.com/kubectl-ai/kubectl-ai/sandbox/doctor"
)

func ok(check, format string, args ...any) doctor.Finding {
	return doctor.Finding{Check: check, Status: doctor.OK, Detail: fmt.Sprintf(format, args...)}
}

func warn(check, fix, format string, args ...any) doctor.Finding {
	return doctor.Finding{Check: check, Status: doctor.Warn, Detail: fmt.Sprintf(format, args...), Fix: fix}
}

func fail(check, fix, format string, args ...any) doctor.Finding {
	return doctor.Finding{Check: check, Status: doctor.Fail, Detail: fmt.Sprintf(format, args...), Fix: fix}
}
