package command

import (
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/plugin/live"
	"github.com/kubectl-ai/kubectl-ai/plugin/run"
)

func seenState(now time.Time) live.State {
	progress, value := run.Number(62), run.Number(0.4213)
	eta := now.Add(40 * time.Second)
	return live.State{
		Project: "digits", Environment: "sandbox", Context: "kind-ai", Namespace: "digits",
		Runs: []live.Run{{
			ID: "k7x2mq", Stage: "train", Phase: "Running", Progress: &progress, Step: 124, Metric: "loss", ETA: &eta, Started: now.Add(-time.Minute), Generation: 7, Wanted: 2,
			Metrics: []live.Curve{{Name: "loss", Last: 0.4213, Values: []run.Number{2, 1.5, 1, 0.8, 0.4213}}},
			Ranks: []live.Rank{
				{Index: 0, Pod: "p0", Node: "ai-worker", Phase: "Running", Step: 124, Value: &value, Generation: 7, GPUs: 1, Devices: []int{0}},
				{Index: 1, Pod: "p1", Node: "ai-worker", Phase: "Pending", Trouble: "container main: ImagePullBackOff: no such image", GPUs: 1, Devices: []int{2}, Faulty: true, Restarts: 3},
			},
		}},
		Nodes: []live.Node{{Name: "ai-worker", Ready: true, Capacity: 4, Allocatable: 3, GPUs: []live.GPU{{Index: 2, Fault: "XID 79: GPU has fallen off the bus"}}}},
	}
}

func TestTheTreeIsReadAtEveryWidth(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	for width, want := range map[int]string{
		120: `
digits · sandbox · kind-ai · namespace digits

● Running  k7x2mq  train  62 %  step 124  loss 0.4213  █▆▄▃▁  about 40s left  for 60s  gen 7
├ ● Running  rank 0  step 124  loss 0.4213  gen 7  GPU 0  on ai-worker
└ ○ Pending  rank 1  container main: ImagePullBackOff: no such image  GPU 2 broken  3 restarts  on ai-worker

ai-worker  3 of 4 GPUs healthy  0 held  GPU 2: XID 79: GPU has fallen off the bus`,
		40: `
digits · sandbox · kind-ai
namespace digits

● Running  k7x2mq  train  62 %  step 124
    loss 0.4213  █▆▄▃▁  about 40s left
    for 60s  gen 7
├ ● Running  rank 0  step 124
│   loss 0.4213  gen 7  GPU 0
│   on ai-worker
└ ○ Pending  rank 1
    container main: ImagePullBackOff: no
    such image  GPU 2 broken  3 restarts
    on ai-worker

ai-worker  3 of 4 GPUs healthy  0 held
    GPU 2: XID 79: GPU has fallen off
    the bus`,
	} {
		tree := liveTree{width: width, now: now}
		got := "\n" + strings.Join(tree.draw(seenState(now), ""), "\n")
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%d columns: %s", width, d)
		}
		colored := liveTree{width: width, now: now, color: true}
		if plain := ansi.Strip("\n" + strings.Join(colored.draw(seenState(now), ""), "\n")); plain != got {
			t.Errorf("with colour it says something else: %s", cmp.Diff(got, plain))
		}
		for line := range strings.Lines(got) {
			if w := ansi.StringWidth(strings.TrimSuffix(line, "\n")); w > width {
				t.Errorf("%d columns: %d in %q", width, w, line)
			}
		}
	}
}

// Without a terminal a line is printed for what changed, and for nothing else.
func TestPlainLinesTellWhatChanged(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	w := &statusWatch{told: map[string]string{}, heard: map[string]time.Time{}, done: map[string]bool{}}
	s := seenState(now)
	want := []string{
		"run k7x2mq: Running",
		"run k7x2mq: 62 %, step 124, loss 0.4213, about 40s left",
		"run k7x2mq: rank 0: Running",
		"run k7x2mq: rank 1: Pending: container main: ImagePullBackOff: no such image: its GPU is broken",
		"node ai-worker: GPU 2: XID 79: GPU has fallen off the bus",
	}
	if d := cmp.Diff(want, w.news(s, now)); d != "" {
		t.Error(d)
	}
	if again := w.news(s, now.Add(time.Second)); len(again) != 0 {
		t.Errorf("nothing changed: %q", again)
	}
	s.Runs[0].Step = 125
	if soon := w.news(s, now.Add(2*time.Second)); len(soon) != 0 {
		t.Errorf("too often: %q", soon)
	}
	s.Runs[0].Phase, s.Runs[0].Done, s.Runs[0].Reason = "Failed", true, "rank 1 ended with exit 3"
	s.Nodes[0].GPUs[0].Fault = ""
	want = []string{"run k7x2mq: Failed: rank 1 ended with exit 3", "run k7x2mq: 62 %, step 125, loss 0.4213", "node ai-worker: GPU 2: healthy"}
	if d := cmp.Diff(want, w.news(s, now.Add(3*time.Second))); d != "" {
		t.Error(d)
	}
}

func TestASparklineLeavesGapsForWhatIsNoNumber(t *testing.T) {
	nan := run.Number(0)
	_ = nan.UnmarshalJSON([]byte(`"NaN"`))
	for _, test := range []struct {
		name   string
		values []run.Number
		want   string
	}{
		{"falls", []run.Number{8, 7, 6, 5, 4, 3, 2, 1}, "█▇▆▅▄▃▂▁"},
		{"is flat", []run.Number{3, 3, 3}, "▁▁▁"},
		{"is NaN for a while", []run.Number{1, nan, 2}, "▁ █"},
		{"is one value", []run.Number{1}, ""},
	} {
		if got := spark(test.values, 12); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
