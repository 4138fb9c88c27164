//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// model answers with its generation, and reports how often it is wrong.
const model = `import http.server, json, pathlib
here = pathlib.Path(__file__).parent
generation = (here / "generation.txt").read_text().strip().encode()
print(json.dumps({"metrics": [{"name": "errors", "value": float((here / "errors.txt").read_text())}]}), flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(generation)))
        self.end_headers()
        self.wfile.write(generation)
    def log_message(self, *args): pass
http.server.ThreadingHTTPServer(("", 8080), Handler).serve_forever()
`

// canaried is a bundle whose pods are served behind the component route, with
// an environment that tries them.
func canaried(t *testing.T, ns string) (dir string) {
	t.Helper()
	must(t, "sandbox", "add", "gateway-api", "--name", sandboxName)
	dir = filepath.Join(t.TempDir(), "bundle")
	write(t, dir, map[string]string{
		"src/serve.py":       model,
		"src/generation.txt": "one",
		"src/errors.txt":     "0",
		// It says when it is asked, and goes on when it is let.
		"gate.sh": "echo \"$KUBECTL_AI_CANARY_WEIGHT $KUBECTL_AI_CANARY_DEPLOYMENT\" >asked.new && mv asked.new asked\nwhile [ ! -e go ]; do sleep 0.05; done\nrm go\n",
		"kubectl-ai.yaml": fmt.Sprintf(`apiVersion: kubectl-ai.dev/v1alpha1
kind: Project
metadata: {name: %[1]s}
code: [{path: src, mountPath: /app}]
metrics: [{name: errors, goal: minimize, threshold: 0.1}]
environments:
  sandbox: {context: kind-%[2]s}
  live:
    context: kind-%[2]s
    inSandbox: true
    codeFormat: configMap
    canary:
      route: serve
      steps:
      - {weight: 10, soak: 1s, gates: [{command: [sh, gate.sh]}]}
      - {weight: 50, gates: [{metric: errors}]}
`, ns, sandboxName),
		"base/kustomization.yaml": "resources: [serve.yaml]\n",
		"base/serve.yaml": `apiVersion: apps/v1
kind: Deployment
metadata: {name: serve}
spec:
  replicas: 2
  selector: {matchLabels: {app.kubernetes.io/name: serve}}
  template:
    metadata: {labels: {app.kubernetes.io/name: serve}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: serve
        image: python:3.11-slim
        workingDir: /app
        command: [python3, -u, serve.py]
        ports: [{name: http, containerPort: 8080}]
        readinessProbe: {httpGet: {path: /, port: http}, periodSeconds: 1}
        resources: {requests: {cpu: 10m, memory: 32Mi}}
---
{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: serve}, spec: {scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: serve}, minReplicas: 2, maxReplicas: 4}}
---
{apiVersion: v1, kind: Service, metadata: {name: serve}, spec: {selector: {app.kubernetes.io/name: serve}, ports: [{name: http, port: 8080, targetPort: http}]}}
`,
		"overlays/sandbox/kustomization.yaml": "namespace: " + ns + "-dev\nresources: [../../base]\n",
	})
	must(t, "catalog", "add", "route", dir)
	overlay, err := os.ReadFile(filepath.Join(dir, "overlays/sandbox/kustomization.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir, map[string]string{"overlays/live/kustomization.yaml": strings.Replace(string(overlay), ns+"-dev", ns, 1)})
	namespace(t, sandboxName, ns+"-dev")
	namespace(t, sandboxName, ns)
	return dir
}

func TestCanary(t *testing.T) {
	t.Parallel() // beside others that mostly wait, each in namespaces of its own
	const ns = "canaried"
	dir := canaried(t, ns)
	next := func(generation, errors string) {
		t.Helper()
		write(t, dir, map[string]string{"src/generation.txt": generation, "src/errors.txt": errors})
		must(t, "dev", dir, "--once", "--timeout", "120s") // which proves the code
	}
	next("one", "0")
	must(t, "promote", dir, "--to", "live", "--yes")

	at := "http://" + door(t, ns, "route", "proxy") + "/"
	answers := func(requests int) map[string]int {
		t.Helper()
		got := map[string]int{}
		for range requests {
			response, err := http.Get(at)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			_ = response.Body.Close()
			if err != nil || response.StatusCode != http.StatusOK {
				t.Fatalf("status %d, %v: %s", response.StatusCode, err, body)
			}
			got[string(body)]++
		}
		return got
	}
	// all waits until a generation has all of the traffic, and looks that
	// nothing is left of the canary.
	all := func(t *testing.T, generation string) {
		t.Helper()
		eventually(t, 30*time.Second, func() error { // the router follows the route
			if got := answers(20); got[generation] != 20 {
				return fmt.Errorf("want generation %s alone: %v", generation, got)
			}
			return nil
		})
		if weights := kubectl(t, sandboxName, "get", "httproute", "serve", "-n", ns, "-o", "jsonpath={.spec.rules[0].backendRefs[*].weight}"); weights != "100 0" {
			t.Errorf("the weights are %s", weights)
		}
		if held := kubectl(t, sandboxName, "get", "hpa", "serve", "-n", ns, "-o", "jsonpath={.spec.behavior.scaleDown.selectPolicy}"); held == "Disabled" {
			t.Error("the autoscaler is still held")
		}
		if left := kubectl(t, sandboxName, "get", "deployments", "-n", ns, "-o", "jsonpath={.items[*].metadata.name}"); left != "route serve" {
			t.Errorf("Deployments are left: %s", left)
		}
	}
	stable := func() string {
		return kubectl(t, sandboxName, "get", "deployment", "serve", "-n", ns, "-o", "jsonpath={.metadata.uid} {.metadata.generation}")
	}
	// begin promotes until the first step's gate is asked.
	begin := func(t *testing.T) (*exec.Cmd, *lockedBuffer) {
		t.Helper()
		_ = os.Remove(filepath.Join(dir, "asked"))
		cmd, said := exec.CommandContext(t.Context(), plugin, "promote", dir, "--to", "live", "--yes"), &lockedBuffer{}
		cmd.Stdout, cmd.Stderr = said, said
		cmd.WaitDelay = 10 * time.Second // the gate holds the pipes when the plugin is killed
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if cmd.ProcessState == nil {
				_ = cmd.Process.Kill()
				_ = cmd.Wait()
			}
			if t.Failed() {
				t.Logf("promote said:\n%s", said)
			}
		})
		eventually(t, 2*time.Minute, func() error {
			asked, err := os.ReadFile(filepath.Join(dir, "asked"))
			if err == nil && string(asked) != "10 serve-canary\n" {
				t.Fatalf("the gate was told %q", asked)
			}
			return err
		})
		return cmd, said
	}
	let := func() { write(t, dir, map[string]string{"go": ""}) }
	exit := func(cmd *exec.Cmd) int {
		_ = cmd.Wait()
		return cmd.ProcessState.ExitCode()
	}

	t.Run("step by step, then the Deployment", func(t *testing.T) {
		next("two", "0.01")
		before := stable()
		cmd, said := begin(t)
		if got := answers(100); got["two"] < 9 || got["two"] > 11 || got["one"]+got["two"] != 100 {
			t.Errorf("at 10 %%: %v", got)
		}
		if now := stable(); now != before {
			t.Errorf("the Deployment was changed: %s, was %s", now, before)
		}
		if held := kubectl(t, sandboxName, "get", "hpa", "serve", "-n", ns, "-o", "jsonpath={.spec.behavior.scaleDown.selectPolicy}"); held != "Disabled" {
			t.Errorf("the autoscaler may take pods away: %q", held)
		}
		let()
		if code := exit(cmd); code != 0 {
			t.Fatalf("exit %d", code)
		}
		all(t, "two")
		if !strings.Contains(said.String(), "canary: Deployment/serve-canary gets 10 % for 1s, then 50 % of the traffic of HTTPRoute/serve") {
			t.Errorf("it does not say what it will do")
		}
		var record struct {
			Gates []struct {
				Kind   string
				Canary int
				Passed bool
			}
		}
		if err := json.Unmarshal([]byte(must(t, "show", dir, "--to", "live", "-o", "json").stdout), &record); err != nil {
			t.Fatal(err)
		}
		asked := map[string]int{}
		for _, g := range record.Gates {
			if g.Passed {
				asked[g.Kind] = g.Canary
			}
		}
		if !maps.Equal(asked, map[string]int{"command": 10, "metric": 50}) {
			t.Errorf("the record has %+v", record.Gates)
		}
	})

	t.Run("what the canary reports refuses it", func(t *testing.T) {
		next("three", "0.5")
		before := stable()
		cmd, said := begin(t)
		let()
		if code := exit(cmd); code != 5 || !strings.Contains(said.String(), "GATE-001") || !strings.Contains(said.String(), "canary at 50 %") {
			t.Errorf("exit %d", code)
		}
		all(t, "two")
		if now := stable(); now != before {
			t.Errorf("the Deployment was changed: %s, was %s", now, before)
		}
		must(t, "verify", dir, "--to", "live")
	})

	next("four", "0")
	t.Run("Ctrl-C takes the traffic back", func(t *testing.T) {
		cmd, _ := begin(t)
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Fatal(err)
		}
		if code := exit(cmd); code != 130 {
			t.Errorf("exit %d", code)
		}
		all(t, "two")
	})

	t.Run("after kill -9 a rollback takes it back", func(t *testing.T) {
		cmd, _ := begin(t)
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		let() // the gate lives on
		exit(cmd)
		if got := answers(100); got["four"] == 0 {
			t.Errorf("nothing was left: %v", got)
		}
		if r := ai(t, "verify", dir, "--to", "live"); r.code != 5 || !strings.Contains(r.stdout, "serve 90, serve-canary 10") {
			t.Errorf("verify: exit %d\n%s%s", r.code, r.stdout, r.stderr)
		}
		must(t, "rollback", dir, "--to", "live", "--yes")
		all(t, "two")
	})
}
