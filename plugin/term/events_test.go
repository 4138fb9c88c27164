package term_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ai/kubectl-ai/plugin/term"
)

func TestEventsAreJSONLines(t *testing.T) {
	var talk bytes.Buffer
	streams := term.Streams{IOStreams: genericiooptions.IOStreams{ErrOut: &talk}, Events: true}
	p := term.NewProgress(streams)
	p.Start("Apply 3 jobs")
	p.Note("Job/a: %d of 2 ranks ready", 1)
	p.End(errors.New("refused"))
	streams.Talk("3 created")

	var got []term.Event
	for d := json.NewDecoder(&talk); d.More(); {
		var e term.Event
		if err := d.Decode(&e); err != nil {
			t.Fatal(err)
		}
		if e.APIVersion == "" || e.Time.IsZero() {
			t.Errorf("%+v", e)
		}
		got = append(got, term.Event{Kind: e.Kind, Step: e.Step, Message: e.Message, Error: e.Error})
	}
	want := []term.Event{
		{Kind: "Started", Step: "Apply 3 jobs"},
		{Kind: "Note", Message: "Job/a: 1 of 2 ranks ready"},
		{Kind: "Finished", Step: "Apply 3 jobs", Error: "refused"},
		{Kind: "Note", Message: "3 created"},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}
