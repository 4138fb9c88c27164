package evidence

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/journal"
	"github.com/kubectl-ai/kubectl-ai/plugin/run"
)

func TestFindRun(t *testing.T) {
	code, other := version("code"), version("other")
	ended := func(id string, at int64, change func(*run.Record)) run.Record {
		r := run.Record{ID: id, CodeDigest: code.Digest().String(), Carrier: "configMap", Phase: apply.Complete, Finished: time.Unix(at, 0).UTC(), Ranks: 2}
		if change != nil {
			change(&r)
		}
		return r
	}
	records := []run.Record{
		ended("early", 1, nil),
		ended("late", 9, nil),
		ended("middle", 5, nil),
		ended("failed", 10, func(r *run.Record) { r.Phase = apply.Failed }),
		ended("runs", 11, func(r *run.Record) { r.Phase = apply.Running }),
		ended("lost", 12, func(r *run.Record) { r.Phase = run.Lost }),
		ended("adopted", 13, func(r *run.Record) { r.Carrier = run.Released }),
		ended("other", 14, func(r *run.Record) { r.CodeDigest = other.Digest().String() }),
	}
	proof := FindRun(records, code.Digest().String())
	if proof == nil || proof.ID != "late" {
		t.Fatalf("%+v", proof)
	}
	want := &release.Evidence{Sandbox: "lab", Run: "late", Ran: time.Unix(9, 0).UTC(), Ranks: 2}
	if diff := cmp.Diff(want, RecordRun(proof, "lab")); diff != "" {
		t.Error(diff)
	}
	for name, records := range map[string][]run.Record{"none": nil, "those that prove nothing": records[3:]} {
		if r := FindRun(records, code.Digest().String()); r != nil {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestRanInAsksTheNodesThatRanIt(t *testing.T) {
	r := &run.Record{Nodes: []string{"a", "b"}, Images: []run.Image{
		{Container: "main", Image: "python:3.11", ID: "docker.io/library/import@sha256:aa"},
		{Container: "side", Image: "side:1", ID: "side@sha256:bb"},
	}}
	config := func(node, id string) string {
		if node == "b" && id == "docker.io/library/import@sha256:aa" {
			return "sha256:cc"
		}
		return ""
	}
	want := []journal.Runtime{
		{Container: "main", Image: "python:3.11", ID: "docker.io/library/import@sha256:aa", Config: "sha256:cc"},
		{Container: "side", Image: "side:1", ID: "side@sha256:bb"},
	}
	if diff := cmp.Diff(want, RanIn(r, config)); diff != "" {
		t.Error(diff)
	}
	images := []Image{{Target: "Job/a/main", Container: "main", Ref: "python:3.11", Digests: []string{"sha256:cc"}}}
	if _, err := Compare(journal.Generation{Runtimes: RanIn(r, config)}, images); err != nil {
		t.Errorf("the image that it ran in is another one: %v", err)
	}
}
