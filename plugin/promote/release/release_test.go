package release

import (
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes/fake"
)

func TestReleasesAreRememberedWithTheirObjects(t *testing.T) {
	s := &Store{Client: fake.NewClientset(), Namespace: "n", Project: "p"}
	obj := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "v1", "kind": "ConfigMap", "metadata": map[string]any{"name": "c"}, "data": map[string]any{"n": "1"}}}
	for i := range 15 {
		before, err := s.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		r := &Release{Status: Failed, Objects: []*unstructured.Unstructured{obj}, Inventory: []Item{{Kind: "ConfigMap", Name: fmt.Sprint(i)}}}
		if i == 2 {
			r.Status = Deployed
		}
		if err := s.Save(t.Context(), r, before); err != nil {
			t.Fatal(err)
		}
	}
	all, err := s.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if n := len(all); n < keep || n > keep+1 || all[n-1].Revision != 15 {
		t.Errorf("%d releases are kept, the last is %d", n, all[n-1].Revision)
	}
	current, ok := Current(all)
	if !ok || current.Revision != 3 {
		t.Errorf("current = %d: the last good release was forgotten", current.Revision)
	}
	if diff := cmp.Diff(obj.Object, current.Objects[0].Object); diff != "" {
		t.Error(diff)
	}
	if owned := Owned(all); len(owned) != len(all) {
		t.Errorf("%d objects are owned, want those of the current release and all failed ones since", len(owned))
	}
}

func TestNoReleaseIsATypedError(t *testing.T) {
	var none *NotFoundError
	if !errors.As(error(&NotFoundError{Project: "p"}), &none) {
		t.Error("not a *NotFoundError")
	}
	if _, ok := Current(nil); ok {
		t.Error("there is a current release among none")
	}
}

func FuzzDecode(f *testing.F) {
	raw, err := encode(Release{Revision: 1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(_ *testing.T, raw []byte) { _, _ = decode(raw) })
}
