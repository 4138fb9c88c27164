package command

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/kubectl-ai/kubectl-ai/kustomize/bundle"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
)

func TestWhoDecidesTheNamespace(t *testing.T) {
	const secret = "---\napiVersion: v1\nkind: Secret\nmetadata: {name: s, namespace: shared}\n"
	for _, c := range []struct {
		name, file, overlay, more string
		flags                     []string
		want                      string
		refused                   string // the object that names another
	}{
		{name: "nobody", want: "default"},
		{name: "the context's own", file: "{context: home}", want: "mine"},
		{name: "the context of the command line", flags: []string{"--context", "home"}, want: "mine"},
		{name: "the overlay before the context", file: "{context: home}", overlay: "ml", want: "ml"},
		{name: "the project file before the context", file: "{context: home, namespace: team}", want: "team"},
		{name: "-n before all that leave it open", file: "{context: home, namespace: team}", flags: []string{"-n", "x"}, want: "x"},
		{name: "-n that says the same", overlay: "ml", flags: []string{"-n", "ml"}, want: "ml"},
		{name: "-n against the overlay", overlay: "ml", flags: []string{"-n", "x"}, refused: "Job/j"},
		{name: "-n against any object, as kubectl apply -n", more: secret, flags: []string{"-n", "x"}, refused: "Secret/s"},
		{name: "the project file against the overlay", file: "{namespace: team}", overlay: "ml", refused: "Job/j"},
		{name: "the project file and an object that nothing follows", file: "{namespace: team}", more: secret, want: "team"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			file := "apiVersion: kubectl-ai.dev/v1alpha1\nkind: Project\nmetadata: {name: p}\ncode: [{path: src, mountPath: /app}]\n"
			if c.file != "" {
				file += "environments: {sandbox: " + c.file + "}\n"
			}
			overlay := "resources: [job.yaml]\n"
			if c.overlay != "" {
				overlay += "namespace: " + c.overlay + "\n"
			}
			for name, content := range map[string]string{
				"kubectl-ai.yaml": file, "src/train.py": "", "overlays/sandbox/kustomization.yaml": overlay,
				"overlays/sandbox/job.yaml": "apiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\nspec: {template: {spec: {containers: [{name: c, image: i, workingDir: /app}]}}}\n" + c.more,
			} {
				path := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			r, err := render(factory(t, c.flags...), dir, project.Sandbox)
			var other *bundle.NamespaceError
			switch {
			case c.refused != "":
				if !errors.As(err, &other) || other.Object != c.refused {
					t.Errorf("%v; want that %s is refused", err, c.refused)
				}
			case err != nil:
				t.Error(err)
			case r.namespace != c.want:
				t.Errorf("namespace %s, want %s", r.namespace, c.want)
			}
		})
	}
}
