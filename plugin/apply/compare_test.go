package apply

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

func TestCompare(t *testing.T) {
	list := func(texts ...string) []*unstructured.Unstructured {
		var out []*unstructured.Unstructured
		for _, text := range texts {
			out = append(out, object(t, text))
		}
		return out
	}
	plan := Compare(
		list(`{apiVersion: v1, kind: ConfigMap, metadata: {name: same}, data: {a: "1"}}`,
			`{apiVersion: v1, kind: ConfigMap, metadata: {name: other}, data: {a: "1"}}`,
			`{apiVersion: v1, kind: ConfigMap, metadata: {name: gen-1}, data: {a: "1"}}`,
			`{apiVersion: v1, kind: ConfigMap, metadata: {name: gone}}`,
			`{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {p: aHVudGVyMg==}}`),
		list(`{apiVersion: v1, kind: ConfigMap, metadata: {name: same}, data: {a: "1"}}`,
			`{apiVersion: v1, kind: ConfigMap, metadata: {name: other}, data: {a: "2"}}`,
			`{apiVersion: v1, kind: ConfigMap, metadata: {name: gen-2}, data: {a: "2"}}`,
			`{apiVersion: v1, kind: ConfigMap, metadata: {name: new}}`,
			`{apiVersion: v1, kind: Secret, metadata: {name: s}, data: {p: c3dvcmRmaXNo}}`),
		func(r Ref) Ref {
			r.Name, _, _ = strings.Cut(r.Name, "-")
			return r
		})
	got := map[string]Action{}
	for _, c := range plan.Changes {
		got[c.Ref.Name] = c.Action
	}
	want := map[string]Action{"same": Unchanged, "other": Update, "gen-2": Update, "new": Create, "gone": Prune, "s": Update}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	var b strings.Builder
	if err := plan.WriteDiff(&b); err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"aHVudGVyMg==", "hunter2", "c3dvcmRmaXNo", "swordfish"} {
		if strings.Contains(b.String(), secret) {
			t.Errorf("a Secret's value is shown:\n%s", b.String())
		}
	}
	if !strings.Contains(b.String(), "gen-1") || !strings.Contains(b.String(), "***") {
		t.Errorf("the diff lacks what changed:\n%s", b.String())
	}
}
