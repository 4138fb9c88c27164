// Package imports holds the rule of which package may know which, as a test
// that explains it.
package imports

import (
	"os/exec"
	"strings"
	"testing"
)

const module = "github.com/kubectl-ai/kubectl-ai"

// rules say what a package, and what it depends on, must not contain.
var rules = []struct {
	packages string
	never    []string
	because  string
}{
	{"./sandbox/... ./kustomize/...", []string{module + "/plugin"}, "data flows command → domain → cluster: these know nothing of the plugin"},
	{"./cmd/ai-agent ./plugin/reload/session ./plugin/reload/tree ./plugin/reload/wire", []string{"k8s.io/", "sigs.k8s.io/"}, "the agent and its protocol link no Kubernetes library"},
	{"./cmd/kubectl-ai ./cmd/nvidia-smi ./cmd/ai-registry ./cmd/ai-services ./cmd/ai-agent", []string{"github.com/NVIDIA/go-nvml"}, "go-nvml needs cgo: ai-gpu alone has it"},
	{"./cmd/kubectl-ai ./cmd/ai-services", []string{"k8s.io/client-go/informers", "k8s.io/client-go/kubernetes/typed/apps"}, "the clients and informers of every API group are 18 MB: plugin/clientset and tools/cache do"},
	{"./plugin/project ./plugin/observe ./plugin/apply ./plugin/catalog ./plugin/edge ./plugin/drift/...", []string{module + "/plugin/command", module + "/plugin/explain", module + "/plugin/term"}, "domain packages return typed errors; only commands put them into words"},
	{"./plugin/live ./plugin/dashboard", []string{module + "/plugin/command", module + "/plugin/explain", module + "/plugin/term"}, "a live state is data: commands draw it in a terminal"},
	{"./plugin/promote/... ./plugin/reload/... ./plugin/run/... ./plugin/capacity", []string{module + "/plugin/command", module + "/plugin/explain", module + "/plugin/term", module + "/sandbox"}, "domain packages know neither the terminal nor the sandbox"},
}

func TestImportsGoOneWay(t *testing.T) {
	for _, rule := range rules {
		args := append([]string{"list", "-deps", "-f", "{{.ImportPath}}"}, strings.Fields(rule.packages)...)
		cmd := exec.Command("go", args...)
		cmd.Dir = "../.."
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("go %v: %v", args, err)
		}
		for path := range strings.Lines(string(out)) {
			for _, never := range rule.never {
				if strings.HasPrefix(path, never) {
					t.Errorf("%s depend on %s: %s", rule.packages, strings.TrimSpace(path), rule.because)
				}
			}
		}
	}
}
