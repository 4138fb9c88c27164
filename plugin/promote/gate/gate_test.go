package gate

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/plugin/project"
)

func keeper(samples ...Sample) *Keeper {
	limit := 0.9
	return &Keeper{
		Metrics: []project.Metric{{Name: "accuracy", Goal: project.Maximize, Threshold: &limit}},
		Sample:  func(context.Context, string, string) ([]Sample, error) { return samples, nil },
		Now:     func() time.Time { return time.Unix(1000, 0) },
	}
}

func TestAMetricGate(t *testing.T) {
	for _, c := range []struct {
		name   string
		sample Sample
		passes bool
		says   string
	}{
		{"good enough", Sample{Reported: true, Value: 0.9}, true, "0.9; at least 0.9 is wanted"},
		{"not good enough", Sample{Reported: true, Value: 0.8999}, false, "0.8999; at least 0.9"},
		{"NaN", Sample{Reported: true, Value: math.NaN()}, false, "NaN; at least"},
		{"infinite", Sample{Reported: true, Value: math.Inf(1)}, true, "+Inf"},
		{"never reported", Sample{Where: "in the sandbox"}, false, "never reported; at least 0.9 is wanted; in the sandbox"},
		{"only in lines that cannot be read", Sample{Malformed: 3}, false, "3 lines that were meant to report"},
	} {
		t.Run(c.name, func(t *testing.T) {
			found, err := keeper(c.sample).Check(t.Context(), []project.Gate{{Metric: "accuracy", From: "sandbox"}})
			var refused *RefusedError
			if errors.As(err, &refused) == c.passes || len(found) != 1 || found[0].Passed != c.passes || !strings.Contains(found[0].Detail, c.says) {
				t.Errorf("%+v, %v", found, err)
			}
			if _, err := json.Marshal(found); err != nil {
				t.Error(err) // NaN and the infinite are no JSON
			}
		})
	}
}

func TestOfSeveralClustersEachHasToMeetTheThreshold(t *testing.T) {
	k := keeper(Sample{Reported: true, Value: 0.95, Context: "a"}, Sample{Reported: true, Value: 0.1, Context: "b"})
	k.Wave = 2
	_, err := k.Check(t.Context(), []project.Gate{{Metric: "accuracy"}})
	if want := "after wave 2: gate metric accuracy: 0.1; at least 0.9 is wanted; "; err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestALogIsReadBetweenItsTimes(t *testing.T) {
	at := func(second int, text string) string {
		return time.Date(2026, 1, 2, 3, 4, second, 500, time.UTC).Format(time.RFC3339Nano) + " " + text + "\n"
	}
	log := at(1, `{"metrics": [{"name": "accuracy", "value": 0.1}]}`) + // of the generation before
		at(3, "epoch 1") +
		at(4, `{"metrics": [{"name": "accuracy", "value": 0.5}, {"name": "loss", "value": 2}]}`) +
		at(5, `{"metrics": [{"name": "accuracy"`) +
		at(5, strings.Repeat("x", 2*longestLine)) +
		at(6, `{"metrics": [{"name": "accuracy", "value": 0.7}]}`) +
		"no time " + `{"metrics": [{"name": "accuracy", "value": 0.8}]}` + "\n" +
		at(9, `{"metrics": [{"name": "accuracy", "value": 0.99}]}`) // of the generation after
	var s Sample
	if err := s.Read(strings.NewReader(log), "accuracy", time.Date(2026, 1, 2, 3, 4, 2, 0, time.UTC), time.Date(2026, 1, 2, 3, 4, 8, 0, time.UTC)); err != nil {
		t.Fatal(err)
	}
	if want := (Sample{Reported: true, Value: 0.7, At: time.Date(2026, 1, 2, 3, 4, 6, 500, time.UTC), Malformed: 1}); s != want {
		t.Errorf("%+v, want %+v", s, want)
	}
	var last Sample
	if err := last.Read(strings.NewReader(strings.TrimSuffix(log, "\n")), "accuracy", time.Time{}, time.Time{}); err != nil || last.Value != 0.99 {
		t.Errorf("%+v, %v: the last line has no end", last, err)
	}
}

func TestACommandGate(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	run := func(mode string, timeout time.Duration) project.Gate {
		return project.Gate{Command: []string{self, "-test.run=^TestTheCommandOfAGate$", mode}, Timeout: timeout}
	}
	for _, c := range []struct {
		name, mode string
		timeout    time.Duration
		passes     bool
		detail     string
	}{
		{"it passes, and sees the release", "pass", time.Minute, true, "exit 0"},
		{"it fails, and its last line is said", "fail", time.Minute, false, "exit status 3: smoke: no answer"},
		{"it does not end", "hang", 300 * time.Millisecond, false, "longer than 300ms"},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := keeper()
			k.Dir, k.Env = t.TempDir(), []string{"KUBECTL_AI_GATE_TEST=" + c.mode, "KUBECTL_AI_CONTEXT=prod"}
			found, err := k.Check(t.Context(), []project.Gate{run(c.mode, c.timeout)})
			if (err == nil) != c.passes || !strings.Contains(found[0].Detail, c.detail) {
				t.Errorf("%+v, %v", found[0], err)
			}
			if c.mode == "pass" && !strings.Contains(found[0].Command.Output, "context prod") {
				t.Errorf("output %q", found[0].Command.Output)
			}
		})
	}
	t.Run("one that is not there", func(t *testing.T) {
		found, err := keeper().Check(t.Context(), []project.Gate{{Command: []string{"/no/such/program"}, Timeout: time.Minute}})
		var refused *RefusedError
		if !errors.As(err, &refused) || found[0].Command.Exit != -1 {
			t.Errorf("%+v, %v", found, err)
		}
	})
}

// The program that TestACommandGate runs: this test binary.
func TestTheCommandOfAGate(t *testing.T) {
	switch os.Getenv("KUBECTL_AI_GATE_TEST") {
	case "pass":
		t.Log("context " + os.Getenv("KUBECTL_AI_CONTEXT"))
		_, _ = os.Stdout.WriteString("context " + os.Getenv("KUBECTL_AI_CONTEXT") + "\n")
	case "fail":
		_, _ = os.Stderr.WriteString("smoke: no answer\n")
		os.Exit(3)
	case "hang":
		select {}
	}
}

func TestTheEndOfALongOutputIsKept(t *testing.T) {
	var out tail
	for range 10 {
		_, _ = out.Write([]byte(strings.Repeat("a", 3000)))
	}
	_, _ = out.Write([]byte("the end"))
	if s := out.String(); len(s) != kept || !strings.HasSuffix(s, "athe end") {
		t.Errorf("%d bytes", len(s))
	}
}

func TestApproval(t *testing.T) {
	for _, c := range []struct {
		name     string
		gate     project.Gate
		approved []string
		typed    []string // nil: nobody is there
		want     []string
		passes   bool
	}{
		{"beforehand", project.Gate{Approvals: 2}, []string{"ann", "bob"}, nil, []string{"ann", "bob"}, true},
		{"one twice is one", project.Gate{Approvals: 2}, []string{"ann", "ann"}, nil, []string{"ann"}, false},
		{"the rest on the terminal", project.Gate{Approvals: 2}, []string{"ann"}, []string{"bob"}, []string{"ann", "bob"}, true},
		{"nothing refuses", project.Gate{Approvals: 1}, nil, []string{""}, nil, false},
		{"of these alone", project.Gate{Approvals: 1, Approvers: []string{"bob"}}, []string{"ann"}, []string{"eve", "bob"}, []string{"bob"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			k := keeper()
			k.Approved = c.approved
			if c.typed != nil {
				k.Ask = func(context.Context, string) (string, error) {
					name := c.typed[0]
					c.typed = c.typed[1:]
					return name, nil
				}
			}
			found, err := k.Check(t.Context(), []project.Gate{c.gate})
			if (err == nil) != c.passes {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, found[0].Approvers); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAllThatIsWrongIsSaidAndPeopleAreNotAskedForNothing(t *testing.T) {
	k := keeper(Sample{})
	k.Ask = func(context.Context, string) (string, error) {
		t.Error("somebody was asked")
		return "", nil
	}
	found, err := k.Check(t.Context(), []project.Gate{{Approvals: 1}, {Metric: "accuracy"}, {Command: []string{"/no/such/program"}, Timeout: time.Minute}})
	if err == nil || len(found) != 2 || !strings.Contains(err.Error(), "gate metric accuracy") || !strings.Contains(err.Error(), "gate command /no/such/program") {
		t.Errorf("%+v, %v", found, err)
	}
}
