package checkup

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/sandbox/doctor"
)

// Cache judges the folder for journals and images; err says why it cannot be
// written to.
func Cache(dir string, err error) doctor.Finding {
	const check = "cache"
	if err != nil {
		return warn(check, "export XDG_CACHE_HOME=/tmp/cache, or another folder that you may write to", "%v: dev keeps its journal there, and promote reads it", err)
	}
	return ok(check, "%s", dir)
}

// Kubeconfig judges the file that gets the context of a sandbox.
func Kubeconfig(file string, err error) doctor.Finding {
	const check = "kubeconfig"
	if err != nil {
		return fail(check, "export KUBECONFIG=/tmp/kubeconfig, or another file that you may write", "%v: a sandbox's context is written there", err)
	}
	return ok(check, "%s", file)
}

// LocalAddresses are what has to be reached without a proxy: this machine, and
// the Services and pods of a kind cluster, whose networks these are by
// default.
var LocalAddresses = []string{"localhost", "127.0.0.1", "10.96.0.0/16", "10.244.0.0/16", ".svc", ".cluster.local"}

// Proxy judges the proxy of the environment. proxy is the address, without a
// password; noProxy is NO_PROXY, and through are API servers that would be
// asked through the proxy although their addresses are private.
func Proxy(proxy, noProxy string, through []string) doctor.Finding {
	const check = "proxy"
	if proxy == "" {
		return ok(check, "none")
	}
	has := strings.FieldsFunc(noProxy, func(r rune) bool { return r == ',' || r == ' ' })
	if slices.Contains(has, "*") {
		return ok(check, "%s, for nothing", proxy)
	}
	missing := slices.Clone(through)
	for _, address := range LocalAddresses {
		if !slices.ContainsFunc(has, func(entry string) bool {
			return entry == address || strings.TrimPrefix(entry, ".") == strings.TrimPrefix(address, ".")
		}) {
			missing = append(missing, address)
		}
	}
	if len(missing) == 0 {
		return ok(check, "%s, and NO_PROXY has what is local", proxy)
	}
	return warn(check, "export NO_PROXY="+strings.Join(append(has, missing...), ","), "%s, and NO_PROXY lacks %s: nodes and pods get it from the environment, and would look for each other there", proxy, strings.Join(missing, ", "))
}

// Bundle judges whether the environments of the bundle in a folder render.
func Bundle(dir string, broken map[string]error, environments []string) []doctor.Finding {
	const check = "bundle"
	var findings []doctor.Finding
	for _, name := range environments {
		if err := broken[name]; err != nil {
			findings = append(findings, warn(check, "kubectl ai render -e "+name, "environment %s does not render: %s", name, strings.SplitN(err.Error(), "\n", 2)[0]))
		}
	}
	if len(findings) == 0 {
		findings = append(findings, ok(check, "%s renders for %s", filepath.Base(dir), strings.Join(environments, ", ")))
	}
	return findings
}
