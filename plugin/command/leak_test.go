package command

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/carrier"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/inject"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// sample renders what dev and promote would apply of the digits sample.
func sample(t *testing.T) map[string][]*unstructured.Unstructured {
	t.Helper()
	const dir = "../../samples/digits"
	dev, err := render(factory(t), dir, project.Sandbox)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := inject.Inject(t.Context(), dev.objects, dev.targets, inject.Options{
		Project: dev.project.Name, AgentImage: "agent", StopSignal: "TERM", GracePeriod: time.Second,
		Entrypoint: func(context.Context, string) ([]string, []string, error) { return nil, nil, fmt.Errorf("nobody knows") },
	}); err != nil {
		t.Fatal(err)
	}
	production, err := render(factory(t), dir, project.Production)
	if err != nil {
		t.Fatal(err)
	}
	code := production.project.Code[0]
	index, err := tree.Scan(t.Context(), code.Path, treeOptions(code))
	if err != nil {
		t.Fatal(err)
	}
	carried, err := (&carrier.ConfigMaps{Resolver: &carrier.Resolver{Patience: time.Millisecond}, Project: production.project.Name}).
		Carry(t.Context(), carrier.Folder(code.Path, index), production.targets, silent{})
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]*unstructured.Unstructured{"dev": dev.objects, "promote": append(production.objects, carried.Objects...)}
}

type silent struct{}

func (silent) Start(string)        {}
func (silent) Note(string, ...any) {}
func (silent) End(error)           {}

// TestBundlesCarryNothingOfTheSandbox: a pod says nvidia.com/gpu, and nothing
// else tells it where it runs. What is rendered is the same where there is no
// sandbox, and no engine that could have one.
func TestBundlesCarryNothingOfTheSandbox(t *testing.T) {
	with := sample(t)
	t.Setenv("PATH", t.TempDir())
	t.Setenv("KUBECONFIG", "none")
	if diff := cmp.Diff(with, sample(t)); diff != "" {
		t.Errorf("with a sandbox within reach and without (-with +without):\n%s", diff)
	}
	for verb, objects := range with {
		for _, obj := range objects {
			walk(obj.Object, "", func(path, text string) {
				for _, word := range []string{"simulated", "nvidia-smi", "NVIDIA_", "/run/kubectl-ai", "/dev/nvidia", "kubectl-ai.dev/gpu", "kind-"} {
					if strings.Contains(text, word) && !strings.Contains(path, ".data.") {
						t.Errorf("%s of %s/%s: %s holds %q", verb, obj.GetKind(), obj.GetName(), path, text)
					}
				}
				for _, field := range []string{".runtimeClassName", ".nodeSelector", ".nodeName", ".affinity", ".tolerations"} {
					if strings.HasSuffix(path, field) {
						t.Errorf("%s of %s/%s: the pod is bound to nodes by %s", verb, obj.GetKind(), obj.GetName(), path)
					}
				}
			})
		}
	}
}

// walk calls visit for every key and every string of a document.
func walk(v any, path string, visit func(path, text string)) {
	switch v := v.(type) {
	case map[string]any:
		for key, item := range v {
			visit(path+"."+key, key)
			walk(item, path+"."+key, visit)
		}
	case []any:
		for i, item := range v {
			walk(item, fmt.Sprintf("%s[%d]", path, i), visit)
		}
	case string:
		visit(path, v)
	}
}
