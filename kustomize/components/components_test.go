package components_test

import (
	"errors"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/kubectl-ai/kubectl-ai/kustomize/components"
	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
)

// every calls f with each form of each component and its objects.
func every(t *testing.T, f func(t *testing.T, c components.Component, v components.Variant, objects []*unstructured.Unstructured)) {
	t.Helper()
	list, err := components.Embedded().List()
	if err != nil {
		t.Fatal(err)
	}
	if len(list) == 0 {
		t.Fatal("the catalogue is empty")
	}
	for _, c := range list {
		for _, v := range c.Variants {
			t.Run(path.Join(c.Name, v.Folder), func(t *testing.T) {
				objects, err := c.Render(v.Folder)
				if err != nil {
					t.Fatal(err)
				}
				f(t, c, v, objects)
			})
		}
	}
}

// What a form needs is what its objects say: a kind that Kubernetes itself
// does not have.
func TestNeedsAreTheKindsOfOthers(t *testing.T) {
	every(t, func(t *testing.T, _ components.Component, v components.Variant, objects []*unstructured.Unstructured) {
		want, got := map[schema.GroupKind]bool{}, map[schema.GroupKind]bool{}
		for _, obj := range objects {
			if !scheme.Scheme.Recognizes(obj.GroupVersionKind()) {
				want[obj.GroupVersionKind().GroupKind()] = true
			}
		}
		for _, n := range v.Needs {
			got[n.GroupKind()] = true
		}
		if !maps.Equal(want, got) {
			t.Errorf("needs are %v, the objects have %v", got, want)
		}
	})
}

func TestObjectsAreLabelled(t *testing.T) {
	stages := []string{"data", "train", "tune", "validate", "serve"}
	every(t, func(t *testing.T, c components.Component, _ components.Variant, objects []*unstructured.Unstructured) {
		for _, obj := range objects {
			if got := obj.GetLabels()[components.Label]; got != c.Name {
				t.Errorf("%s has %s=%q", workload.Name(obj), components.Label, got)
			}
			stage, staged := obj.GetLabels()["kubectl-ai.dev/stage"]
			if staged && !slices.Contains(stages, stage) {
				t.Errorf("%s is of stage %q, want one of %v", workload.Name(obj), stage, stages)
			}
			templates, err := workload.Templates(obj)
			if err != nil {
				t.Fatal(err)
			}
			for _, template := range templates {
				labels, _ := template.Metadata()["labels"].(map[string]any)
				if got, _ := labels["kubectl-ai.dev/stage"].(string); got != stage {
					t.Errorf("%s is of stage %q and its pods of %q", workload.Name(obj), stage, got)
				}
			}
		}
	})
}

// The local form's images are those that the description names.
func TestImagesAreThoseOfTheLocalForm(t *testing.T) {
	every(t, func(t *testing.T, c components.Component, v components.Variant, objects []*unstructured.Unstructured) {
		if v.Folder != components.Local {
			return
		}
		found := map[string]bool{}
		for _, obj := range objects {
			templates, err := workload.Templates(obj)
			if err != nil {
				t.Fatal(err)
			}
			for _, template := range templates {
				for _, container := range append(template.InitContainers(), template.Containers()...) {
					found[container.Image()] = true
				}
			}
		}
		if got, want := slices.Sorted(slices.Values(c.Images)), slices.Sorted(maps.Keys(found)); !slices.Equal(got, want) {
			t.Errorf("images are %v, the containers have %v", got, want)
		}
	})
}

func TestADescriptionIsStrict(t *testing.T) {
	component := func(description string, folders ...string) fstest.MapFS {
		root := fstest.MapFS{"x/component.yaml": {Data: []byte(description)}}
		for _, folder := range folders {
			root["x/"+folder+"/kustomization.yaml"] = &fstest.MapFile{Data: []byte("kind: Component\n")}
		}
		return root
	}
	const two = "summary: s\nvariants:\n- {folder: local, summary: s}\n- {folder: production, summary: s}\n"
	for _, test := range []struct {
		name string
		root fstest.MapFS
		want string
	}{
		{"as it should be", component(two, "local", "production"), ""},
		{"a field that nobody knows", component(two+"colour: red\n", "local", "production"), `unknown field "colour"`},
		{"a field twice", component(two+"summary: s\n", "local", "production"), "already set"},
		{"no summary", component(strings.TrimPrefix(two, "summary: s\n"), "local", "production"), "summary is missing"},
		{"no local form", component("summary: s\nvariants: [{folder: production, summary: s}]\n", "production"), "variant local is missing"},
		{"a variant without a folder", component(two, "local"), "variant production has no folder"},
		{"a folder that is not described", component(two, "local", "production", "production-x"), "folder production-x is not described"},
		{"a need without an operator", component("summary: s\nvariants: [{folder: local, summary: s, needs: [{group: g, kind: K}]}]\n", "local"), "a need has group, kind and operator"},
		{"a footprint that shrinks", component(two+"footprint: [{pod: p, idleMiB: 5, testMiB: 4, test: t}]\n", "local", "production"), `footprint of "p"`},
		{"the name of another", component("name: other\n"+two, "local", "production"), `name is "other"`},
		{"no YAML", component("summary: [", "local"), "x/component.yaml"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := components.New(test.root).List()
			var file *components.FileError
			switch {
			case test.want == "" && err != nil:
				t.Fatal(err)
			case test.want == "":
			case !errors.As(err, &file) || !strings.Contains(err.Error(), test.want):
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestUnknownNames(t *testing.T) {
	var unknown *components.UnknownError
	if _, err := components.Embedded().Get("trian"); !errors.As(err, &unknown) || !slices.Contains(unknown.Known, "train") {
		t.Errorf("got %v", err)
	}
	train, err := components.Embedded().Get("train")
	if err != nil {
		t.Fatal(err)
	}
	var variant *components.UnknownVariantError
	if _, err := train.Variant("production-jobsets"); !errors.As(err, &variant) || !slices.Contains(variant.Known, components.Local) {
		t.Errorf("got %v", err)
	}
}
