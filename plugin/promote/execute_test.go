package promote

import (
	"testing"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

// A run that dies between the record and the pointer leaves a whole release.
// The next one finishes that, and makes no second one of it.
func TestWhatWasRecordedIsNotRecordedTwice(t *testing.T) {
	p, _ := cluster(t)
	packed, err := release.Manifests(nil)
	if err != nil {
		t.Fatal(err)
	}
	died := &release.State{Current: 1, Last: 1, Pending: 2, Begun: &release.Begun{Doing: "promote"}, Inventory: []release.Entry{{Ref: apply.Ref{Kind: "ConfigMap", Namespace: "ns", Name: "pruned"}}}}
	if err := p.Store.Save(t.Context(), died); err != nil {
		t.Fatal(err)
	}
	if err := p.Store.Add(t.Context(), died, release.Record{Revision: 2, Project: "digits", Namespace: "ns", Status: release.Deployed, BundleDigest: "sha256:b"}, packed); err != nil {
		t.Fatal(err)
	}
	state, err := p.Store.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	plan := &Plan{Revision: 3, Bundle: "sha256:b", state: state, Changes: &apply.Plan{}, manifests: packed}
	if plan.Nothing() {
		t.Fatal("there is nothing to do, it says")
	}
	record, err := p.Execute(t.Context(), plan)
	if err != nil || record.Revision != 2 {
		t.Fatalf("release %d, %v", record.Revision, err)
	}
	records, state, err := p.Store.History(t.Context())
	if err != nil || len(records) != 1 || state.Current != 2 || state.Pending != 0 || state.Unsettled || len(state.Inventory) > 0 {
		t.Errorf("%+v, %+v, %v", records, state, err)
	}
}
