package carrier

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
)

// elsewhere are the same targets in another namespace.
func elsewhere(t *testing.T) []workload.Target {
	t.Helper()
	list := targets(t, "as the overlay has it")
	list[0].Object.SetNamespace("other")
	return list
}

func TestTheConfigMapsOfAReleaseGoToAnotherEnvironment(t *testing.T) {
	from, _ := newRegistry(t)
	code := newCode(t, map[string]string{"train.py": "print(1)\n", "pkg/data.bin": "\xff\xfe", "run.sh*": "#!/bin/sh\n"}, nil)
	list := targets(t, from+"/none:1")
	carried, err := (&ConfigMaps{Resolver: &Resolver{}, Project: "p"}).Carry(t.Context(), code.Code, list, quiet{})
	if err != nil {
		t.Fatal(err)
	}
	stored := func() []*unstructured.Unstructured {
		out := []*unstructured.Unstructured{list[0].Object.DeepCopy()}
		for _, obj := range carried.Objects {
			obj = obj.DeepCopy()
			obj.SetLabels(map[string]string{"release": "the first"})
			out = append(out, obj)
		}
		return out
	}
	again := func(objects []*unstructured.Unstructured) (*Result, []workload.Target, error) {
		to := elsewhere(t)
		result, err := (&Released{Form: FormatConfigMap, Digest: code.Digest(), Images: carried.Images, Stored: objects, Project: "p"}).Carry(t.Context(), to)
		return result, to, err
	}
	result, to, err := again(stored())
	if err != nil {
		t.Fatal(err)
	}
	if len(result.Objects) != len(carried.Objects) || result.Objects[0].GetNamespace() != "other" || len(result.Objects[0].GetLabels()) > 0 || !slices.Equal(result.Code, carried.Code) {
		t.Errorf("%v, %v", result.Objects, result.Code)
	}
	index, err := Mounted(to[0], func(string) (*unstructured.Unstructured, error) { return result.Objects[0], nil })
	if err != nil || index.Digest() != code.Digest() {
		t.Errorf("the pods would see %s, want %s, %v", index.Digest(), code.Digest(), err)
	}
	if got := to[0].Container.Image(); got != carried.Images[to[0].String()] {
		t.Errorf("runs %s", got)
	}

	var not *NotReleasedError
	if _, _, err := again(stored()[:1]); !errors.As(err, &not) {
		t.Errorf("without its ConfigMap: %v", err)
	}
	if _, _, err := again(stored()[1:]); !errors.As(err, &not) {
		t.Errorf("without a pod template: %v", err)
	}
	changed := stored()
	data, _, _ := unstructured.NestedStringMap(changed[1].Object, "data")
	for key := range data {
		_ = unstructured.SetNestedField(changed[1].Object, "print(2)\n", "data", key)
	}
	if _, _, err := again(changed); !errors.As(err, &not) {
		t.Errorf("other code than its record says: %v", err)
	}
}

func TestTheImagesOfAReleaseAreCopiedByDigest(t *testing.T) {
	from, _ := newRegistry(t)
	to, writes := newRegistry(t)
	img := platformImage(t, "amd64")
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	repo := from + "/staging/p/python"
	tag, err := name.NewTag(repo + ":x")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(tag, img); err != nil {
		t.Fatal(err)
	}
	code := newCode(t, map[string]string{"train.py": "print(1)\n"}, nil)
	image := repo + "@" + digest.String()
	released := Released{Form: FormatLayer, Digest: code.Digest(), Images: map[string]string{"Job/j/a": image, "Job/j/b": image}, Registry: from + "/staging", Project: "p"}

	list := elsewhere(t)
	result, err := released.Carry(t.Context(), list)
	if err != nil {
		t.Fatal(err)
	}
	if sent, err := result.Push(t.Context(), quiet{}); err != nil || sent != 0 || list[0].Container.Image() != image {
		t.Errorf("within one registry: %s, %d sent, %v", list[0].Container.Image(), sent, err)
	}

	released.Registry = to + "/production"
	want := to + "/production/p/python@" + digest.String()
	list = elsewhere(t)
	if result, err = released.Carry(t.Context(), list); err != nil {
		t.Fatal(err)
	}
	if writes.Load() != 0 {
		t.Error("something was pushed before Push")
	}
	for _, target := range list {
		if target.Container.Image() != want || result.Images[target.String()] != want {
			t.Errorf("%s runs %s, want %s", target, target.Container.Image(), want)
		}
	}
	if sent, err := result.Push(t.Context(), quiet{}); err != nil || sent != 1 {
		t.Fatalf("%d sent, %v", sent, err)
	}
	ref, err := name.NewDigest(want)
	if err != nil {
		t.Fatal(err)
	}
	if head, err := remote.Head(ref); err != nil || head.Digest != digest {
		t.Errorf("%v, %v", head, err)
	}

	t.Run("an image volume's too, and the runtime image stays", func(t *testing.T) {
		stored := targets(t, "i")
		mount(stored[0], imageSource(image), code.Digest())
		volume := released
		volume.Form, volume.Images, volume.Stored = FormatImageVolume, map[string]string{"Job/j/a": "runtime@sha256:x"}, []*unstructured.Unstructured{stored[0].Object}
		list := elsewhere(t)
		if _, err := volume.Carry(t.Context(), list); err != nil {
			t.Fatal(err)
		}
		templates, err := workload.Templates(list[0].Object)
		if err != nil {
			t.Fatal(err)
		}
		if got := Mount(templates[0]); got != want || list[1].Container.Image() != "runtime@sha256:x" {
			t.Errorf("mounts %s, runs %s", got, list[1].Container.Image())
		}
	})

	t.Run("what a release does not have is named", func(t *testing.T) {
		var not *NotReleasedError
		lacking := released
		lacking.Images = map[string]string{"Job/j/a": image, "Job/other/b": repo + "@" + strings.Replace(digest.String(), digest.Hex[:4], "0000", 1)}
		if _, err := lacking.Carry(t.Context(), elsewhere(t)); !errors.As(err, &not) || !strings.Contains(err.Error(), "Job/j/b") {
			t.Errorf("a container without an image: %v", err)
		}
		lacking.Images = map[string]string{"Job/j/a": "python:3"}
		if _, err := lacking.Carry(t.Context(), elsewhere(t)); !errors.As(err, &not) {
			t.Errorf("an image without a digest: %v", err)
		}
	})
}
