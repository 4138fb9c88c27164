//go:build e2e

package e2e

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// pythonImage is the runtime image of the test bundles: an interpreter, no
// code.
const pythonImage = "python:3.11-slim"

// trainer prints the generation that its own file holds, then waits.
const trainer = `import os, time
print(open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "generation.txt")).read().strip(), os.environ["RANK"], flush=True)
while True:
    time.sleep(1)
`

// job is a base of one Indexed Job; extra goes into the container.
func job(name string, ranks int, extra string) map[string]string {
	return map[string]string{
		"src/train.py":       trainer,
		"src/generation.txt": "generation 0\n",
		"kubectl-ai.yaml": fmt.Sprintf(`apiVersion: kubectl-ai.dev/v1alpha1
kind: Project
metadata: {name: %s}
code: [{path: src, mountPath: /app}]
environments:
  sandbox: {context: kind-%s}
  production: {context: kind-%s, registry: "localhost:%s/e2e"}
`, name, sandboxName, productionName, registryPort),
		"base/kustomization.yaml": "resources: [job.yaml, service.yaml]\n",
		"base/service.yaml": fmt.Sprintf(`apiVersion: v1
kind: Service
metadata: {name: %[1]s}
spec:
  clusterIP: None
  publishNotReadyAddresses: true
  selector: {app: %[1]s}
  ports: [{port: 29500}]
`, name),
		"base/job.yaml": fmt.Sprintf(`apiVersion: batch/v1
kind: Job
metadata: {name: %[1]s}
spec:
  completionMode: Indexed
  completions: %[2]d
  parallelism: %[2]d
  template:
    metadata: {labels: {app: %[1]s}}
    spec:
      subdomain: %[1]s
      restartPolicy: OnFailure
      terminationGracePeriodSeconds: 2
      securityContext: {runAsNonRoot: true, runAsUser: 65532, seccompProfile: {type: RuntimeDefault}}
      containers:
      - name: main
        image: %[3]s
        workingDir: /app
        command: [python3, train.py]
        securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
        resources: {requests: {cpu: 10m, memory: 32Mi}, limits: {cpu: 500m, memory: 128Mi}}
        env:
        - {name: RANK, valueFrom: {fieldRef: {fieldPath: "metadata.annotations['batch.kubernetes.io/job-completion-index']"}}}
        - {name: JOB, valueFrom: {fieldRef: {fieldPath: "metadata.labels['batch.kubernetes.io/job-name']"}}}
        - {name: MASTER_ADDR, value: $(JOB)-0.%[1]s}
%[4]s`, name, ranks, pythonImage, extra),
		"overlays/sandbox/kustomization.yaml":    fmt.Sprintf("namespace: %s\nresources: [../../base]\n", name),
		"overlays/production/kustomization.yaml": fmt.Sprintf("namespace: %s\nresources: [../../base]\n", name),
	}
}

// bundle writes a bundle and makes its namespace in a cluster.
func bundle(t *testing.T, cluster, name string, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	write(t, dir, files)
	namespace(t, cluster, name)
	return dir
}

// independent is another program's way to the digest of a tree: find, sort
// and sha256sum over the files below a folder. It leaves out what is not code
// by its name alone: the agent's own folder, and the links at the top of a
// mounted volume are followed by giving it the generation's folder.
const independent = `cd "$1" && { find . -type f ! -path './.kubectl-ai/*' ! -path '*/__pycache__/*' -printf '%P\n'; find . -type l ! -path './.kubectl-ai/*' -printf '%P\n'; } | LC_ALL=C sort | while IFS= read -r p; do
  if [ -L "$p" ]; then printf 'l %s  %s\n' "$(readlink -n "$p" | sha256sum | cut -c1-64)" "$p"
  elif [ -x "$p" ]; then printf 'x %s  %s\n' "$(sha256sum <"$p" | cut -c1-64)" "$p"
  else printf 'f %s  %s\n' "$(sha256sum <"$p" | cut -c1-64)" "$p"; fi
done | sha256sum | cut -c1-64`

// digestIn computes the digest of a folder inside a container by find, sort
// and sha256sum.
func digestIn(t *testing.T, cluster, ns, pod, dir string) string {
	t.Helper()
	return "sha256:" + strings.TrimSpace(kubectl(t, cluster, "exec", "-n", ns, pod, "-c", "main", "--", "bash", "-c", independent, "-", dir))
}

// digestHere computes the digest of a local folder by the same program.
func digestHere(t *testing.T, dir string) string {
	t.Helper()
	out, err := exec.Command("bash", "-c", independent, "-", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	return "sha256:" + strings.TrimSpace(string(out))
}

// pods returns the names of a Job's pods by completion index.
func pods(t *testing.T, cluster, ns, selector string) map[string]string {
	t.Helper()
	out := kubectl(t, cluster, "get", "pods", "-n", ns, "-l", selector, "--field-selector=status.phase=Running", "-o",
		`jsonpath={range .items[?(@.metadata.name)]}{.metadata.annotations.batch\.kubernetes\.io/job-completion-index} {.metadata.name} {.metadata.deletionTimestamp}{"\n"}{end}`)
	found := map[string]string{}
	for _, line := range strings.Split(strings.TrimSpace(out), "\n") {
		if f := strings.Fields(line); len(f) == 2 {
			found[f[0]] = f[1]
		}
	}
	return found
}

// identity returns the UIDs and restart counts of a namespace's Jobs and pods.
func identity(t *testing.T, cluster, ns string) string {
	t.Helper()
	return kubectl(t, cluster, "get", "jobs,pods", "-n", ns, "-o", `jsonpath={range .items[*]}{.kind} {.metadata.name} {.metadata.uid} {.status.containerStatuses[*].restartCount}{"\n"}{end}`)
}
