package scaffold_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/kustomize/bundle"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/scaffold"
)

// All or nothing, and nothing in place of something.
func TestWriteLeavesTheFolderAsItWas(t *testing.T) {
	plan := &scaffold.Plan{Files: []scaffold.File{{"base/a", []byte("1")}, {"overlays/x/b", []byte("2")}, {"kubectl-ai.yaml", []byte("3")}}}
	for _, c := range []struct {
		name   string
		there  map[string]string // "": a folder
		exists []string
	}{
		{"one file is there", map[string]string{"overlays/x/b": "mine"}, []string{"overlays/x/b"}},
		{"all are", map[string]string{"base/a": "x", "overlays/x/b": "y", "kubectl-ai.yaml": "z"}, []string{"base/a", "overlays/x/b", "kubectl-ai.yaml"}},
		{"a folder is called like a file", map[string]string{"kubectl-ai.yaml/": ""}, []string{"kubectl-ai.yaml"}},
		{"a file is called like a folder", map[string]string{"overlays": "mine"}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			for name, content := range c.there {
				file := filepath.Join(root, name)
				if content == "" {
					file = filepath.Join(file, "inside")
				}
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			before := tree(t, root)
			err := plan.Write(root)
			var e *scaffold.ExistsError
			if err == nil || errors.As(err, &e) != (c.exists != nil) || e != nil && cmp.Diff(c.exists, e.Files) != "" {
				t.Errorf("%v", err)
			}
			if diff := cmp.Diff(before, tree(t, root)); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("a link that leads elsewhere is there", func(t *testing.T) {
		root, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), "x")
		if err := os.Symlink(elsewhere, filepath.Join(root, "kubectl-ai.yaml")); err != nil {
			t.Fatal(err)
		}
		if err := plan.Write(root); !errors.As(err, new(*scaffold.ExistsError)) {
			t.Error(err)
		}
		if _, err := os.Stat(elsewhere); err == nil {
			t.Error("it was written through the link")
		}
	})
	t.Run("into a folder that is not there", func(t *testing.T) {
		root := filepath.Join(t.TempDir(), "a", "b")
		if err := plan.Write(root); err != nil {
			t.Fatal(err)
		}
		if got := tree(t, root); got["overlays/x/b"] != "2" || got["kubectl-ai.yaml"] != "3" {
			t.Error(got)
		}
	})
}

// Every template renders in all of its environments, wherever it is copied to.
func TestTemplates(t *testing.T) {
	names, about := scaffold.Templates()
	if diff := cmp.Diff([]string{"char-lm", "digits", "torch-ddp", "tune"}, names); diff != "" {
		t.Fatal(diff)
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			if about[name] == "" {
				t.Error("it says nothing of itself")
			}
			root := filepath.Join(t.TempDir(), "copy")
			plan, err := scaffold.FromTemplate(name)
			if err != nil {
				t.Fatal(err)
			}
			if err := plan.Write(root); err != nil {
				t.Fatal(err)
			}
			p, err := project.Load(root)
			if err != nil {
				t.Fatal(err)
			}
			for _, env := range p.Environments {
				if env.Name == "live" {
					continue // takes the model that validation saves
				}
				if _, err := bundle.Render(env.Overlay, bundle.Options{}); err != nil {
					t.Error(err)
				}
			}
			if last := plan.Files[len(plan.Files)-1].Path; last != project.FileName {
				t.Errorf("%s is written last", last)
			}
		})
	}
	if _, err := scaffold.FromTemplate("digit"); !errors.As(err, new(*scaffold.TemplateError)) {
		t.Error(err)
	}
}

// The image that a bundle's own Dockerfile makes is on no registry.
func TestUnbuilt(t *testing.T) {
	for _, c := range []struct{ project, image, dir, want string }{
		{"char-lm", "char-lm:1", "../../samples/char-lm", "runtime image char-lm:1 is not built: it is neither on this machine nor in the sandbox, and has to bring numpy"},
		{"dockerfile", "dockerfile:1", "testdata/dockerfile", "runtime image dockerfile:1 is not built: it is neither on this machine nor in the sandbox"},
		{"char-lm", "python:3.11-slim", "../../samples/char-lm", ""},
		{"char-lm", "registry.example/char-lm:1", "../../samples/char-lm", ""},
		{"script", "script:1", "testdata/script", ""}, // no Dockerfile
	} {
		err := scaffold.Unbuilt(os.DirFS(c.dir), c.dir, c.project, c.image)
		if got := ""; err != nil {
			if got = err.Error(); got != c.want {
				t.Errorf("%s: %s", c.image, got)
			}
		} else if c.want != "" {
			t.Errorf("%s: nothing", c.image)
		}
	}
}
