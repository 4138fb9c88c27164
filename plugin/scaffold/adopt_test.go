package scaffold_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubectl-ai/kubectl-ai/kustomize/bundle"
	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/scaffold"
)

// workloads is a manifest of one Job with these containers.
func workloads(containers string) string {
	return "apiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\nspec:\n  template:\n    spec:\n      restartPolicy: Never\n      containers:\n" + containers
}

func TestKustomizationsThatAreThere(t *testing.T) {
	for _, c := range []struct {
		name   string
		files  map[string]string
		new    string
		target string // and its mountPath; "": refused
		says   string // of the refusal
	}{
		{
			name: "one at the top is every environment's", new: "kubectl-ai.yaml", target: "Job/j/a /srv",
			files: map[string]string{"kustomization.yaml": "resources: [job.yaml]\n", "job.yaml": workloads("      - {name: a, image: i, workingDir: /srv, command: [python, train.py]}\n")},
		},
		{
			name: "a container without a workingDir is named", new: "k8s/overlays/production/kustomization.yaml k8s/overlays/sandbox/kustomization.yaml kubectl-ai.yaml", target: "Job/j/a /app",
			files: map[string]string{"k8s/base/kustomization.yaml": "resources: [job.yaml]\n", "k8s/base/job.yaml": workloads("      - {name: a, image: i, command: [python, /app/train.py]}\n      - {name: b, image: i}\n")},
		},
		{
			name: "the Dockerfile says where the code goes", new: "kubectl-ai.yaml", target: "Job/j/a /workspace",
			files: map[string]string{"Dockerfile": "FROM x\nWORKDIR /workspace\nCOPY . .\n", "kustomization.yaml": "resources: [job.yaml]\n", "job.yaml": workloads("      - {name: a, image: i}\n")},
		},
		{
			name: "two that start Python", says: "Job/j/a, Job/j/b",
			files: map[string]string{"kustomization.yaml": "resources: [job.yaml]\n", "job.yaml": workloads("      - {name: a, image: i, command: [python, train.py]}\n      - {name: b, image: i, command: [python, serve.py]}\n")},
		},
		{
			name: "one of another project below", new: "base/job.yaml base/kustomization.yaml kubectl-ai.yaml overlays/production/kustomization.yaml overlays/production/namespace.yaml overlays/sandbox/kustomization.yaml", target: "Job/p/trainer /app",
			files: map[string]string{"vendor/thing/kustomization.yaml": "resources: []\n"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := filepath.Join(t.TempDir(), "p")
			c.files["train.py"] = trains
			for name, content := range c.files {
				file := filepath.Join(root, name)
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			plan, err := scaffold.Make(os.DirFS(root), scaffold.Options{Name: "p", Render: renderIn(root)})
			if c.target == "" {
				var e *scaffold.AdoptError
				if !errors.As(err, &e) || !strings.Contains(err.Error(), c.says) {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(plan.Paths(), " "); got != c.new {
				t.Errorf("new: %s", got)
			}
			if err := plan.Write(root); err != nil {
				t.Fatal(err)
			}
			p, err := project.Load(root)
			if err != nil {
				t.Fatal(err)
			}
			for _, environment := range []string{project.Sandbox, project.Production} {
				env, err := p.Environment(environment)
				if err != nil {
					t.Fatal(err)
				}
				objects, err := bundle.Render(env.Overlay, bundle.Options{})
				if err != nil {
					t.Fatal(err)
				}
				targets, err := workload.Select(objects, p.Code[0].MountPath, p.Code[0].Targets)
				if err != nil {
					t.Fatal(err)
				}
				if got := targets[0].String() + " " + targets[0].MountPath; got != c.target || len(targets) != 1 {
					t.Errorf("%s: the code goes to %s", environment, got)
				}
			}
		})
	}
}

// A kustomization at the top that names a namespace keeps it: the project file
// would name another for production.
func TestANamespaceThatIsNamedStays(t *testing.T) {
	root := t.TempDir()
	for name, content := range map[string]string{
		"kustomization.yaml": "namespace: theirs\nresources: [job.yaml]\n",
		"job.yaml":           workloads("      - {name: a, image: i, workingDir: /srv, command: [python, train.py]}\n"),
	} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	plan, err := scaffold.Make(os.DirFS(root), scaffold.Options{Name: "p", Render: renderIn(root)})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range plan.Files {
		if strings.Contains(string(f.Content), "namespace:") {
			t.Errorf("%s names a namespace:\n%s", f.Path, f.Content)
		}
	}
}
