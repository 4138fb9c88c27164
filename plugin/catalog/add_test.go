package catalog_test

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/kustomize/bundle"
	"github.com/kubectl-ai/kubectl-ai/kustomize/components"
	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
	"github.com/kubectl-ai/kubectl-ai/plugin/catalog"
)

// minimal is the smallest bundle with both overlays.
func minimal(t *testing.T) (root string, overlays func(production string) []catalog.Overlay) {
	t.Helper()
	root = t.TempDir()
	for name, content := range map[string]string{
		"base/kustomization.yaml":                "resources: []\n",
		"overlays/sandbox/kustomization.yaml":    "# sandbox\nnamespace: x\nresources: [../../base]\n",
		"overlays/production/kustomization.yaml": "namespace: x\n\nresources:\n- ../../base\n",
	} {
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root, func(production string) []catalog.Overlay {
		return []catalog.Overlay{
			{Environment: "sandbox", Dir: filepath.Join(root, "overlays/sandbox"), Variant: components.Local},
			{Environment: "production", Dir: filepath.Join(root, "overlays/production"), Variant: production},
		}
	}
}

// tree returns the files below a folder with their contents.
func tree(t *testing.T, root string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			files[name+"/"] = ""
			return err
		}
		raw, err := os.ReadFile(filepath.Join(root, name))
		files[name] = string(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func names(objects []*unstructured.Unstructured) []string {
	var out []string
	for _, obj := range objects {
		out = append(out, workload.Name(obj))
	}
	slices.Sort(out)
	return out
}

// Every form of every component: the overlays render what the form renders
// alone, and adding it again changes nothing.
func TestEveryFormFitsAMinimalBundle(t *testing.T) {
	list, err := components.Embedded().List()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list {
		for _, v := range c.Variants {
			if v.Folder == components.Local {
				continue
			}
			t.Run(path.Join(c.Name, v.Folder), func(t *testing.T) {
				root, overlays := minimal(t)
				added, err := catalog.Add(root, c, overlays(v.Folder), bundle.Options{})
				if err != nil {
					t.Fatal(err)
				}
				if want := []string{"overlays/sandbox/kustomization.yaml", "overlays/production/kustomization.yaml"}; !slices.Equal(added.Edited, want) || len(added.Written) == 0 {
					t.Errorf("added %+v", added)
				}
				for _, overlay := range overlays(v.Folder) {
					got, err := bundle.Render(overlay.Dir, bundle.Options{})
					if err != nil {
						t.Fatal(err)
					}
					alone, err := c.Render(overlay.Variant)
					if err != nil {
						t.Fatal(err)
					}
					want := names(alone)
					if c.Name == "tenant" { // the namespace is that of the overlay
						want[slices.Index(want, "Namespace/tenant")] = "Namespace/x"
						slices.Sort(want)
					}
					if diff := cmp.Diff(want, names(got)); diff != "" {
						t.Errorf("%s: %s", overlay.Environment, diff)
					}
				}
				before := tree(t, root)
				again, err := catalog.Add(root, c, overlays(v.Folder), bundle.Options{})
				if err != nil {
					t.Fatal(err)
				}
				if len(again.Written)+len(again.Edited) != 0 || !slices.Equal(again.Unchanged, added.Written) {
					t.Errorf("a second time added %+v", again)
				}
				if diff := cmp.Diff(before, tree(t, root)); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}

// All of the catalogue is in one bundle, as in samples/digits.
func TestComponentsFitTogether(t *testing.T) {
	root, overlays := minimal(t)
	list, err := components.Embedded().List()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list {
		if _, err := catalog.Add(root, c, overlays(components.Production), bundle.Options{}); err != nil {
			t.Errorf("%s beside those before it: %v", c.Name, err)
		}
	}
	taken, err := catalog.Taken(overlays("")[1].Dir)
	if err != nil || len(taken) != len(list) || taken["train"] != components.Production {
		t.Errorf("the overlay takes %v, %v", taken, err)
	}
}

func TestAnotherFormTakesThePlace(t *testing.T) {
	root, overlays := minimal(t)
	train, err := components.Embedded().Get("train")
	if err != nil {
		t.Fatal(err)
	}
	for _, form := range []string{components.Production, "production-jobset"} {
		if _, err := catalog.Add(root, train, overlays(form), bundle.Options{}); err != nil {
			t.Fatal(err)
		}
	}
	const want = "namespace: x\n\nresources:\n- ../../base\ncomponents:\n- ../../components/train/production-jobset\n"
	if got := tree(t, root)["overlays/production/kustomization.yaml"]; got != want {
		t.Errorf("got\n%s", got)
	}
	if files := tree(t, root); files["components/train/production-rayjob/rayjob.yaml"] != "" {
		t.Error("forms that nobody takes were copied too")
	}
}

// What cannot be done whole is not done at all.
func TestAddLeavesTheBundleAsItWas(t *testing.T) {
	train, err := components.Embedded().Get("train")
	if err != nil {
		t.Fatal(err)
	}
	write := func(t *testing.T, root, name, content string) {
		t.Helper()
		file := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct {
		name   string
		change func(t *testing.T, root string)
		form   string
		want   any
	}{
		{"a changed file", func(t *testing.T, root string) { write(t, root, "components/train/local/job.yaml", "mine: true\n") }, components.Production, new(*catalog.ChangedError)},
		{"an object of that name", func(t *testing.T, root string) {
			write(t, root, "base/kustomization.yaml", "resources: [service.yaml]\n")
			write(t, root, "base/service.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: train}\n")
		}, components.Production, new(*catalog.BreaksError)},
		{"a kustomization that is none", func(t *testing.T, root string) {
			write(t, root, "overlays/production/kustomization.yaml", "components: x\n")
		}, components.Production, new(*catalog.KustomizationError)},
		{"no kustomization", func(t *testing.T, root string) {
			if err := os.Remove(filepath.Join(root, "overlays/sandbox/kustomization.yaml")); err != nil {
				t.Fatal(err)
			}
		}, components.Production, new(*catalog.KustomizationError)},
		{"a form that is not there", func(*testing.T, string) {}, "production-jobsets", new(*components.UnknownVariantError)},
		{"a folder in the way", func(t *testing.T, root string) {
			write(t, root, "components/train/production", "a file\n")
		}, components.Production, new(*os.PathError)},
	} {
		t.Run(test.name, func(t *testing.T) {
			root, overlays := minimal(t)
			test.change(t, root)
			before := tree(t, root)
			_, err := catalog.Add(root, train, overlays(test.form), bundle.Options{})
			if !errors.As(err, test.want) {
				t.Errorf("got %v", err)
			}
			if diff := cmp.Diff(before, tree(t, root)); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("no overlays", func(t *testing.T) {
		var none *catalog.NoOverlayError
		if _, err := catalog.Add(t.TempDir(), train, nil, bundle.Options{}); !errors.As(err, &none) {
			t.Errorf("got %v", err)
		}
	})
}

// Code finds a Service at the same address, whatever the form.
func TestServicesHaveTheSamePortsInEveryForm(t *testing.T) {
	list, err := components.Embedded().List()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range list {
		ports := map[string]map[string]bool{}
		for _, v := range c.Variants {
			objects, err := c.Render(v.Folder)
			if err != nil {
				t.Fatal(err)
			}
			for _, obj := range objects {
				if obj.GetKind() != "Service" || obj.GroupVersionKind().Group != "" {
					continue
				}
				items, _, _ := unstructured.NestedSlice(obj.Object, "spec", "ports")
				var of []string
				for _, item := range items {
					m, _ := item.(map[string]any)
					of = append(of, fmt.Sprint(m["name"], " ", m["port"]))
				}
				slices.Sort(of)
				if ports[obj.GetName()] == nil {
					ports[obj.GetName()] = map[string]bool{}
				}
				ports[obj.GetName()][strings.Join(of, " ")] = true
			}
		}
		for name, seen := range ports {
			if len(seen) > 1 {
				t.Errorf("%s: Service %s has other ports in other forms: %v", c.Name, name, slices.Collect(maps.Keys(seen)))
			}
		}
	}
}
