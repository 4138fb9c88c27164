package drift_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/plugin/drift"
)

func TestCompareRefusesWhatIsNotComparable(t *testing.T) {
	ref := &drift.Reference{Features: histogram(40, 9, 1)}
	other := func(name string, h drift.Histogram) drift.Counters {
		return drift.Counters{Features: map[string]drift.Histogram{name: h}}
	}
	for _, c := range []struct {
		name   string
		window drift.Counters
		wrong  string
	}{
		{"a feature of another model", other("1", drift.Histogram{Bounds: []float64{1}, Counts: []float64{1, 1}}), "is none of the reference's"},
		{"other bounds", other("0", drift.Histogram{Bounds: []float64{1}, Counts: []float64{1, 1}}), "has the bounds [0.25 0.5] in the reference and [1]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var mismatch *drift.MismatchError
			if _, err := drift.Compare(ref, c.window); !errors.As(err, &mismatch) || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("err = %v, want one that says %q", err, c.wrong)
			}
		})
	}
	two := &drift.Reference{Features: map[string]drift.Histogram{"0": ref.Features["0"], "1": ref.Features["0"]}}
	var mismatch *drift.MismatchError
	if _, err := drift.Compare(two, drift.Counters{Features: histogram(1, 1, 1)}); !errors.As(err, &mismatch) || mismatch.Feature != "1" {
		t.Errorf("a feature that the served model does not count: %v", err)
	}
}

func TestJudge(t *testing.T) {
	accuracy := func(a float64) *float64 { return &a }
	limits := drift.Thresholds{PSI: 0.25, Accuracy: 0.9, Samples: 100}
	for _, c := range []struct {
		name   string
		report drift.Report
		want   drift.Verdict
	}{
		{"calm", drift.Report{Samples: 100, PSIMean: 0.25, Labelled: 100, Accuracy: accuracy(0.9)}, drift.Verdict{}},
		{
			"both too far",
			drift.Report{Samples: 100, PSIMean: 0.5, Labelled: 100, Accuracy: accuracy(0.8)},
			drift.Verdict{Exceeded: []string{"mean PSI 0.500, over 0.25", "accuracy 0.800, under 0.9"}},
		},
		{
			"too few to say",
			drift.Report{Samples: 99, PSIMean: 0.5, Labelled: 1, Accuracy: accuracy(0)},
			drift.Verdict{Undecided: []string{"99 requests in the window, 100 are the least to judge by", "1 labelled predictions in the window, 100 are the least to judge by"}},
		},
		{
			"nobody asked",
			drift.Report{},
			drift.Verdict{Undecided: []string{"0 requests in the window, 100 are the least to judge by", "0 labelled predictions in the window, 100 are the least to judge by"}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, limits.Judge(&c.report)); diff != "" {
				t.Error(diff)
			}
		})
	}
	if v := (drift.Thresholds{PSI: 0.25}).Judge(&drift.Report{Samples: 1, Labelled: 1, Accuracy: accuracy(0)}); len(v.Exceeded)+len(v.Undecided) > 0 {
		t.Errorf("an accuracy that nobody asked for was judged: %+v", v)
	}
}

func TestNothingAskedIsNothingToCompare(t *testing.T) {
	ref := &drift.Reference{Features: histogram(40, 9, 1)}
	for _, window := range []drift.Counters{{}, {Features: histogram(0, 0, 0)}} {
		r, err := drift.Compare(ref, window)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(&drift.Report{}, r); diff != "" {
			t.Error(diff)
		}
	}
}
