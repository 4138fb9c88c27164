package promote

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/apply/applytest"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

type silence struct{}

func (silence) Start(string)        {}
func (silence) Note(string, ...any) {}
func (silence) End(error)           {}

// cluster is one that holds objects, and a promoter for it.
func cluster(t *testing.T, objects ...*unstructured.Unstructured) (*Promoter, *fake.FakeDynamicClient) {
	t.Helper()
	d, m := applytest.New(t, objects...)
	return &Promoter{
		Cluster:  &apply.Client{Dynamic: d, Mapper: m},
		Store:    &release.Store{Client: d, Project: "digits", Namespace: "ns"},
		Target:   Target{Project: "digits", Namespace: "ns"},
		Reporter: silence{},
		Who:      func(context.Context) string { return "me" },
		Host:     "here",
		Now:      time.Now,
	}, d
}

// member is an object of the release, as it lives in the cluster.
func member(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	obj := object(t, text)
	own([]*unstructured.Unstructured{obj}, "digits", release.ID("digits", "ns"))
	obj.SetUID(types.UID("uid-" + obj.GetName()))
	obj.SetResourceVersion("1")
	return obj
}

func formersOf(objects ...*unstructured.Unstructured) []former {
	var out []former
	for _, obj := range objects {
		out = append(out, former{release.Entry{Ref: apply.RefOf(obj), Receipt: apply.Receipt{UID: obj.GetUID()}}, obj})
	}
	return out
}

func TestPruneIsRefusedAboveItsLimit(t *testing.T) {
	maps := func(n int, format string) []*unstructured.Unstructured {
		var out []*unstructured.Unstructured
		for i := range n {
			out = append(out, object(t, fmt.Sprintf("{apiVersion: v1, kind: ConfigMap, metadata: {name: "+format+", namespace: ns}}", i)))
		}
		return out
	}
	for _, c := range []struct {
		name   string
		prune  []*unstructured.Unstructured
		of     int
		bundle []*unstructured.Unstructured
		o      Options
		want   int // refused objects; 0: none
	}{
		{name: "one of three is no accident", prune: maps(1, "a-%d"), of: 3},
		{name: "three of four neither", prune: maps(3, "a-%d"), of: 4},
		{name: "four of ten are", prune: maps(4, "a-%d"), of: 10, want: 4},
		{name: "thirty percent are not more than that", prune: maps(30, "a-%d"), of: 100},
		{name: "thirty-one of a hundred are", prune: maps(31, "a-%d"), of: 100, want: 31},
		{name: "as many as are permitted", prune: maps(50, "a-%d"), of: 100, o: Options{PruneMax: 50}},
		{name: "all when that is permitted", prune: maps(9, "a-%d"), of: 9, o: Options{PruneMax: 100}},
		{name: "what was named does not count", prune: maps(4, "a-%d"), of: 8, o: Options{PruneAlso: []string{"ConfigMap/a-0"}}},
		{name: "generations that gave way to the next do not count", prune: maps(5, "settings-%d-5g2h9k7mtb"), of: 10, bundle: maps(5, "settings-%d-9k7mtb5g2h")},
		{name: "generations without a next one do", prune: maps(5, "settings-%d-5g2h9k7mtb"), of: 10, bundle: maps(1, "settings-%d-9k7mtb5g2h"), want: 4},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := limitPrune(formersOf(c.prune...), &release.State{Inventory: make([]release.Entry, c.of)}, c.bundle, c.o)
			var limit *PruneLimitError
			if c.want == 0 && err != nil || c.want > 0 && (!errors.As(err, &limit) || len(limit.Refs) != c.want) {
				t.Fatalf("err = %v, want %d objects refused", err, c.want)
			}
			if c.want > 0 {
				c.o.PruneMax = limit.Needed()
				if err := limitPrune(formersOf(c.prune...), &release.State{Inventory: make([]release.Entry, c.of)}, c.bundle, c.o); err != nil {
					t.Errorf("with the percentage that it asks for: %v", err)
				}
			}
		})
	}
}

func TestLineage(t *testing.T) {
	for name, want := range map[string]string{
		"train-1a2b3c4d": "train", "train-1a2b3c4d-r7": "train", "digits-code-9c1f0e5a77aa": "digits-code",
		"settings-5g2h9k7mtb": "settings", "settings": "settings", "cache-7d": "cache-7d", "a-release": "a-release",
	} {
		if got := lineage(apply.Ref{Kind: "Job", Name: name}); got.Name != want {
			t.Errorf("%s is of %s, want %s", name, got.Name, want)
		}
	}
}

func TestWhatGoesFirst(t *testing.T) {
	var got []string
	for _, group := range lastFirst(formersOf(
		object(t, `{apiVersion: v1, kind: Namespace, metadata: {name: ns}}`),
		object(t, `{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition, metadata: {name: widgets.example.org}, spec: {group: example.org, names: {kind: Widget}}}`),
		object(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: c}}`),
		object(t, `{apiVersion: v1, kind: Service, metadata: {name: s}}`),
		object(t, `{apiVersion: example.org/v1, kind: Widget, metadata: {name: w}}`),
		object(t, `{apiVersion: apps/v1, kind: Deployment, metadata: {name: operator}}`),
		object(t, `{apiVersion: batch/v1, kind: Job, metadata: {name: j}}`),
		object(t, `{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {name: v}}`),
	)) {
		for _, f := range group {
			got = append(got, f.entry.Kind)
		}
	}
	want := []string{"ValidatingWebhookConfiguration", "Widget", "Job", "Deployment", "Service", "ConfigMap", "CustomResourceDefinition", "Namespace"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAnObjectThatChangedSinceItWasSeenIsLookedAtAgain(t *testing.T) {
	const text = `{apiVersion: v1, kind: ConfigMap, metadata: {name: x, namespace: ns}}`
	seen := member(t, text)
	for _, c := range []struct {
		name string
		edit func(live *unstructured.Unstructured)
		gone bool // from the inventory
		left bool // in the cluster
	}{
		{"only written to", func(*unstructured.Unstructured) {}, true, false},
		{"given a keep annotation", func(live *unstructured.Unstructured) {
			live.SetAnnotations(map[string]string{KeepAnnotation: "keep"})
		}, false, true},
		{"made anew by somebody", func(live *unstructured.Unstructured) { live.SetUID("theirs") }, true, true},
		{"taken from us", func(live *unstructured.Unstructured) { live.SetLabels(nil) }, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			live := seen.DeepCopy()
			live.SetResourceVersion("2")
			c.edit(live)
			p, d := cluster(t, live)
			d.PrependReactor("delete", "configmaps", func(a clienttesting.Action) (bool, runtime.Object, error) {
				pre := a.(clienttesting.DeleteActionImpl).DeleteOptions.Preconditions
				if pre == nil || pre.UID == nil || pre.ResourceVersion == nil {
					t.Error("a deletion without preconditions")
					return false, nil, nil
				}
				if *pre.UID != live.GetUID() || *pre.ResourceVersion != live.GetResourceVersion() {
					return true, nil, apierrors.NewConflict(schema.GroupResource{Resource: "configmaps"}, "x", errors.New("precondition"))
				}
				return false, nil, nil
			})
			gone, err := p.deleteAll(t.Context(), formersOf(seen), deletion{keep: func(f former) string { return reasonOfOthers(f.live) }})
			if err != nil || gone[apply.RefOf(seen)] != c.gone {
				t.Errorf("gone = %v, %v", gone, err)
			}
			_, err = p.Cluster.Get(t.Context(), apply.RefOf(seen))
			if left := err == nil; left != c.left {
				t.Errorf("it is left: %v, %v", left, err)
			}
		})
	}
}

func TestWhatCouldNotBeDeletedIsNamed(t *testing.T) {
	a, b := member(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: a, namespace: ns}}`), member(t, `{apiVersion: v1, kind: ConfigMap, metadata: {name: b, namespace: ns}}`)
	p, d := cluster(t, a, b)
	d.PrependReactor("delete", "configmaps", func(action clienttesting.Action) (bool, runtime.Object, error) {
		if action.(clienttesting.DeleteAction).GetName() == "a" {
			return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "configmaps"}, "a", errors.New("a policy says no"))
		}
		return false, nil, nil
	})
	gone, err := p.deleteAll(t.Context(), formersOf(a, b), deletion{keep: func(former) string { return "" }})
	var failed *PruneError
	if !errors.As(err, &failed) || len(failed.Refs) != 1 || failed.Refs[0].Name != "a" || !strings.Contains(err.Error(), "a policy says no") {
		t.Errorf("err = %v", err)
	}
	if gone[apply.RefOf(a)] || !gone[apply.RefOf(b)] {
		t.Errorf("gone = %v", gone)
	}
}

func TestSettleKeepsWhatIsKnownOfObjectsThatWereNotReached(t *testing.T) {
	p, _ := cluster(t)
	ref := func(name string) apply.Ref { return apply.Ref{Kind: "ConfigMap", Namespace: "ns", Name: name} }
	old := apply.Receipt{UID: "old", ResourceVersion: "7", Sum: "s"}
	plan := &Plan{
		Revision: 2,
		state: &release.State{Inventory: []release.Entry{
			{Ref: ref("reached"), Receipt: old, Release: 1},
			{Ref: ref("not reached"), Receipt: old, Release: 1},
			{Ref: ref("kept"), Receipt: old, Release: 1},
			{Ref: ref("to prune"), Receipt: old, Release: 1},
			{Ref: apply.Ref{Kind: "Namespace", Name: "ns"}, Release: 1, Made: true},
		}},
		Changes: &apply.Plan{Changes: []apply.Change{
			{Action: apply.Update, Ref: ref("reached")},
			{Action: apply.Update, Ref: ref("not reached")},
			{Action: apply.Create, Ref: ref("new")},
			{Action: apply.Unchanged, Ref: apply.Ref{Kind: "Namespace", Name: "ns"}},
			{Action: apply.Prune, Ref: ref("to prune")},
		}},
		Kept:  []Kept{{Entry: release.Entry{Ref: ref("kept")}}},
		prune: []former{{entry: release.Entry{Ref: ref("to prune")}}},
	}
	r := &run{Promoter: p, plan: plan, receipts: map[apply.Ref]apply.Receipt{ref("reached"): {UID: "new"}}}
	r.begin()
	r.settle()
	got := map[string]string{}
	for _, e := range plan.state.Inventory {
		got[e.Name] = fmt.Sprintf("%s %d %v", e.UID, e.Release, e.Made)
	}
	want := map[string]string{"reached": "new 2 false", "not reached": "old 2 false", "new": " 2 false", "kept": "old 1 false", "to prune": "old 1 false", "ns": " 2 true"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestANamespaceIsOursWhenTheReleaseMadeIt(t *testing.T) {
	p, _ := cluster(t)
	ref := apply.Ref{Kind: "Namespace", Name: "ns"}
	for name, c := range map[string]struct {
		change apply.Change
		made   bool
	}{
		"made now":                               {apply.Change{Action: apply.Create, Ref: ref}, true},
		"made by a promotion that died at once":  {apply.Change{Action: apply.Unchanged, Ref: ref, Live: member(t, `{apiVersion: v1, kind: Namespace, metadata: {name: ns}}`)}, true},
		"there before, and without our label":    {apply.Change{Action: apply.Update, Ref: ref, Live: object(t, `{apiVersion: v1, kind: Namespace, metadata: {name: ns}}`)}, false},
		"of an inventory that does not say so":   {apply.Change{Action: apply.Unchanged, Ref: ref}, false},
		"no namespace, though it is created now": {apply.Change{Action: apply.Create, Ref: apply.Ref{Kind: "ConfigMap", Name: "ns"}}, false},
	} {
		r := &run{Promoter: p, plan: &Plan{state: &release.State{}, Changes: &apply.Plan{Changes: []apply.Change{c.change}}}}
		r.begin()
		if got := r.plan.state.Inventory[0].Made; got != c.made {
			t.Errorf("%s: made = %v", name, got)
		}
	}
}
