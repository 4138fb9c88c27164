//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Projects of ten shapes: `init` makes a bundle that renders and that `dev
// --once` runs, or says exactly what is missing, as `dev` does then.
func TestInitOnProjectsOfEveryShape(t *testing.T) {
	for _, c := range []struct {
		shape, sub string
		prints     string // a line of the program's, in the pod's log
		builds     bool   // the Dockerfile needs nothing that is not here
		refused    string // the error's ID
		missing    []string
	}{
		{shape: "script", prints: `"epoch": 19`},
		{shape: "package", prints: "epoch 9 accuracy 1.00"},
		{shape: "dockerfile", prints: "step 40 loss", builds: true, missing: []string{"missing: image dockerfile:1 has to be built\n"}},
		{shape: "kustomize", prints: "/2 epoch 4 loss"},
		{shape: "monorepo", sub: "vision", prints: "epoch 9 loss", refused: "INI-004", missing: []string{
			"2 training projects: ranking (python3 main.py), vision (python3 train.py)", "kubectl ai init vision\n",
		}},
		{shape: "torchrun", missing: []string{"missing: image torchrun:1 has to be built, with torch, numpy\n"}},
		{shape: "requirements", missing: []string{"missing: image requirements:1 has to be built, with scikit-learn, pandas, featurestore, pyyaml\n"}},
		{shape: "uv", missing: []string{"missing: image uv:1 has to be built, with numpy, tqdm\n"}},
		{shape: "notebook", refused: "INI-003", missing: []string{
			"they import pandas, scikit-learn: list these in requirements.txt", "train.ipynb cell 2: !mkdir -p data", "next:  jupyter nbconvert --to script train.ipynb",
		}},
		{shape: "nocode", refused: "INI-002", missing: []string{"no Python file, and no Dockerfile with a command"}},
	} {
		t.Run(c.shape, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), c.shape)
			if err := os.CopyFS(dir, os.DirFS(filepath.Join(root, "plugin/scaffold/testdata", c.shape))); err != nil {
				t.Fatal(err)
			}
			if c.refused != "" {
				r := ai(t, "init", dir)
				if r.code == 0 || !strings.Contains(r.stderr, "error["+c.refused+"]") || r.stdout != "" {
					t.Fatalf("exit %d: %s%s", r.code, r.stdout, r.stderr)
				}
				saysAll(t, r.stderr, c.missing)
				if c.sub == "" {
					return
				}
				c.missing, dir = nil, filepath.Join(dir, c.sub)
			}
			said := must(t, "init", dir).stderr
			saysAll(t, said, c.missing)
			if len(c.missing) == 0 && strings.Contains(said, "missing:") {
				t.Errorf("init says that something is missing:\n%s", said)
			}
			for _, environment := range []string{"sandbox", "production"} {
				must(t, "render", dir, "-e", environment)
			}
			ns := "init-project-" + c.shape
			dev := []string{"dev", dir, "--once", "-n", ns, "--context", "kind-" + sandboxName, "--timeout", "4m"}
			if len(c.missing) > 0 {
				image := c.shape + ":1"
				forget(image) // of a run before
				t.Cleanup(func() { forget(image) })
				if r := ai(t, dev...); r.code != 3 || !strings.Contains(r.stderr, "error[INI-012]: runtime image "+image+" is not built") {
					t.Fatalf("dev without the image: exit %d\n%s", r.code, r.stderr)
				} else {
					for _, m := range c.missing {
						if _, packages, ok := strings.Cut(strings.TrimSpace(m), "built, with "); ok {
							saysAll(t, r.stderr, []string{"and has to bring " + packages})
						}
					}
					saysAll(t, r.stderr, []string{"next:  docker build -t " + image + " " + dir})
				}
				if !c.builds {
					return // its packages are on the Internet
				}
				build := exec.CommandContext(t.Context(), "docker", "build", "-q", "-t", image, dir)
				build.Env = append(os.Environ(), "DOCKER_BUILDKIT=0")
				if out, err := build.CombinedOutput(); err != nil {
					t.Fatalf("the command that dev names: %v\n%s", err, out)
				}
			}
			t.Cleanup(func() {
				_, _ = tryKubectl(context.Background(), sandboxName, "", "delete", "namespace", ns, "--ignore-not-found", "--wait=false")
			})
			r := must(t, dev...)
			if !strings.Contains(r.stdout+r.stderr, "running on") {
				t.Errorf("no rank runs the code:\n%s%s", r.stdout, r.stderr)
			}
			pod := strings.Fields(kubectl(t, sandboxName, "get", "pods", "-n", ns, "-o", "name"))[0]
			eventually(t, 30*time.Second, func() error {
				if log := kubectl(t, sandboxName, "logs", "-n", ns, pod, "-c", "trainer"); !strings.Contains(log, c.prints) {
					return fmt.Errorf("%q is not in the log:\n%s", c.prints, log)
				}
				return nil
			})
		})
	}
}

// forget removes an image from this machine and from the sandbox's nodes.
func forget(image string) {
	_ = exec.Command("docker", "rmi", image).Run()
	for _, node := range []string{sandboxName + "-control-plane", sandboxName + "-worker"} {
		_ = exec.Command("docker", "exec", node, "crictl", "rmi", image).Run()
	}
}

// saysAll checks that a text has all the parts.
func saysAll(t *testing.T, text string, parts []string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("%q is not in\n%s", part, text)
		}
	}
}
