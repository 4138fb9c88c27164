//go:build e2e

package e2e

import (
	"fmt"
	"path/filepath"
	"time"
)

// development is code that is edited.
var development = scenario{name: "development", begin: func(u *user) {
	namespace(u.T, sandboxName, u.ns)
	namespace(u.T, productionName, u.ns)
	u.edit("src/train.py", "def main():\n", `def main():
    import pathlib
    pathlib.Path("out").mkdir(exist_ok=True)
    pathlib.Path("out/ckpt-1.pt").write_bytes(b"weights")
`)
}, examples: []example{
	{line: "kubectl ai dev samples/digits", says: "running on 2/2 ranks", types: ctrlC},
	{line: "kubectl ai dev --once", before: func(u *user) {
		write(u.T, u.bundle, map[string]string{"src/more.py": "# more\n"})
	}},
	{line: "kubectl ai verify samples/digits"},
	{line: "kubectl ai generations", after: func(u *user, _ string) { u.means("back 39", "back 1") }},
	{line: "kubectl ai generations samples/digits"},
	{line: "kubectl ai generations --limit 3 -o json | jq '.items[].treeDigest'"},
	{line: "kubectl ai pull", before: func(u *user) {
		eventually(u.T, time.Minute, func() error {
			out, err := u.shell("for pod in $(kubectl get pods -n " + u.ns + " -o name); do kubectl exec -n " + u.ns + " $pod -- cat out/ckpt-1.pt || exit; done").CombinedOutput()
			if err != nil {
				return fmt.Errorf("%w: %s", err, out)
			}
			return nil
		})
	}},
	{line: "kubectl ai pull out/ '*.pt' --rank 1"},
	{line: "kubectl ai pull out/ --dir samples/digits --to /tmp/digits -o name", before: func(u *user) {
		u.means("/tmp/digits", filepath.Join(u.home, "pulled"))
	}},
	{line: "kubectl ai back 39"},
	{line: "kubectl ai dev --cleanup", says: "? ", types: yes},
	{line: "kubectl ai attach serve-6c9f7 -n digits --signal HUP", says: "synced to", types: ctrlC, before: func(u *user) {
		u.means("-n digits", "-n "+u.ns)
		apply(u.T, sandboxName, attachable(u.ns, "serve-6c9f7", "serve", "/app")+attachable(u.ns, "notebook-0", "jupyter", "/home/me/src"))
		kubectl(u.T, sandboxName, "wait", "-n", u.ns, "--for=condition=Ready", "pod/serve-6c9f7", "pod/notebook-0", "--timeout=2m")
	}},
	{line: "kubectl ai attach notebook-0/jupyter samples/digits --into /home/me/src --once", more: "-n examples-development"},
	{line: "kubectl ai agent push localhost:5001/agent -o json | jq -r .image", after: func(u *user, image string) {
		u.edit("kubectl-ai.yaml", "code:\n", "agent: {image: \""+image+"\"}\ncode:\n")
	}},
	{line: "kubectl ai dev --context lab --allow-context lab", says: "running on 2/2 ranks", types: ctrlC},
}}

// attachable is a pod that reads its code from a volume and is told by SIGHUP.
func attachable(ns, name, container, at string) string {
	return fmt.Sprintf(`apiVersion: v1
kind: Pod
metadata: {name: %s, namespace: %s}
spec:
  terminationGracePeriodSeconds: 0
  securityContext: {runAsNonRoot: true, runAsUser: 65532}
  volumes: [{name: code, emptyDir: {}}]
  containers:
  - {name: %s, image: "%s", workingDir: %s, command: [python3, -c, %q], volumeMounts: [{name: code, mountPath: %[5]s}]}
---
`, name, ns, container, pythonImage, at, "import signal, time\nsignal.signal(signal.SIGHUP, lambda *_: print('told', flush=True))\nwhile True: time.sleep(1)")
}
