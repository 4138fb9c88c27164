//go:build e2e

package e2e

import (
	"fmt"
	"strings"
	"time"
)

// serving is a model that is asked.
var serving = scenario{name: "serving", begin: func(u *user) {
	u.sh("kubectl ai sandbox load " + pythonImage + " " + servicesImage + " --name " + sandboxName)
	namespace(u.T, sandboxName, u.ns)
	u.bundle = monitored(u.T, u.ns)
	u.edit("kubectl-ai.yaml", "environments:\n", "environments:\n  production: {overlay: ., context: kind-"+sandboxName+", inSandbox: true}\n")
	for _, name := range []string{"serve", "drift"} {
		kubectl(u.T, sandboxName, "rollout", "status", "deployment", name, "-n", u.ns, "--timeout=2m")
	}
	eventually(u.T, time.Minute, func() error { // until the window has requests enough
		out, err := u.shell("kubectl exec -n " + u.ns + " deploy/serve -- env SERVE_URL=http://localhost:8080 COUNT=200 python3 -B traffic.py && kubectl ai drift").CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	})
}, examples: []example{
	{line: "kubectl ai drift"},
	{line: "kubectl ai drift -e production --psi 0.2 --accuracy 0.9 --retrain"},
	{line: "curl -s serve:8080/metrics | kubectl ai drift --metrics - --reference reference.json", before: func(u *user) {
		u.means("serve:8080", forwarded(u, "service/serve", 8080))
	}},
}}

// forwarded is the address here of a port of the user's namespace.
func forwarded(u *user, what string, port int) string {
	cmd := u.shell(fmt.Sprintf("exec kubectl port-forward -n %s %s :%d", u.ns, what, port))
	said := &lockedBuffer{}
	cmd.Stdout, cmd.Stderr = said, said
	if err := cmd.Start(); err != nil {
		u.Fatal(err)
	}
	u.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	var address string
	eventually(u.T, 30*time.Second, func() error {
		_, after, ok := strings.Cut(said.String(), "Forwarding from ")
		if address, _, _ = strings.Cut(after, " ->"); !ok || address == "" {
			return fmt.Errorf("it says %s", said)
		}
		return nil
	})
	return address
}
