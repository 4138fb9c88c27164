package drift_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/plugin/drift"
)

const page = `# HELP feature_value What the model was asked with.
# TYPE feature_value histogram
feature_value_bucket{feature="0",le="0.25"} 2
feature_value_bucket{feature="0",le="0.5"} 2
feature_value_bucket{feature="0",le="+Inf"} 5
feature_value_sum{feature="0"} 3.5
feature_value_count{feature="0"} 5
# TYPE predictions_total counter
predictions_total{class="3"} 4
predictions_total{class="8"} 1
# TYPE labelled_total counter
labelled_total 2
# TYPE labelled_correct_total counter
labelled_correct_total 1
# TYPE model_info gauge
model_info{digest="sha256:aa"} 0
model_info{digest="sha256:bb"} 1
python_gc_objects_collected_total{generation="0"} 74
`

func TestReadMetrics(t *testing.T) {
	whole := &drift.Page{Model: "sha256:bb", Counters: drift.Counters{
		Features:    map[string]drift.Histogram{"0": {Bounds: []float64{0.25, 0.5}, Counts: []float64{2, 0, 3}}},
		Predictions: map[string]float64{"3": 4, "8": 1}, Labelled: 2, Correct: 1,
	}}
	without := func(line string) string { return strings.Replace(page, line+"\n", "", 1) }
	for _, c := range []struct {
		name, text string
		want       *drift.Page
		wrong      string
	}{
		{name: "whole", text: page, want: whole},
		{name: "none of ours", text: "up 1\n", want: &drift.Page{Counters: drift.Counters{Features: map[string]drift.Histogram{}, Predictions: map[string]float64{}}}},
		{name: "not typed", text: without("# TYPE feature_value histogram"), wrong: "without the line # TYPE feature_value histogram"},
		{name: "no +Inf", text: without(`feature_value_bucket{feature="0",le="+Inf"} 5`), wrong: `no bucket le="+Inf"`},
		{name: "counts of single bins", text: strings.Replace(page, `le="0.5"} 2`, `le="0.5"} 0`, 1), wrong: "not cumulative"},
		{name: "another count", text: strings.Replace(page, `_count{feature="0"} 5`, `_count{feature="0"} 6`, 1), wrong: "its count is 6"},
		{name: "a summary", text: strings.Replace(page, "feature_value histogram", "feature_value summary", 1), wrong: ""},
		{name: "more correct than labelled", text: strings.Replace(page, "correct_total 1", "correct_total 3", 1), wrong: "labelled_correct_total is 3, of 2"},
		{name: "NaN", text: strings.Replace(page, `class="3"} 4`, `class="3"} NaN`, 1), wrong: "NaN is no count"},
		{name: "a page of HTML", text: "<html>not found</html>\n", wrong: "invalid metric name"},
		{name: "braces without a name", text: "#TYPE A \n{}0", wrong: "invalid metric name"},
		{name: "cut", text: page[:300], wrong: "text format parsing error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := drift.ReadMetrics(strings.NewReader(c.text))
			if c.want != nil {
				if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
					t.Fatalf("%v\n%s", err, diff)
				}
				return
			}
			var wrong *drift.MetricsError
			if !errors.As(err, &wrong) || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("err = %v, want one that says %q", err, c.wrong)
			}
		})
	}
}

func FuzzReadMetrics(f *testing.F) {
	f.Add(page)
	f.Add("# TYPE feature_value histogram\nfeature_value_bucket{le=\"+Inf\"} NaN\nfeature_value_count NaN\n")
	f.Add("# TYPE feature_value histogram\nfeature_value_bucket{le=\"1\"} -1\nfeature_value_bucket{le=\"+Inf\"} -1\nfeature_value_count -1\n")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := drift.ReadMetrics(strings.NewReader(text))
		if err != nil {
			return
		}
		for name, h := range p.Features {
			for _, n := range h.Counts {
				if !(n >= 0) {
					t.Errorf("feature %q counts %v", name, h.Counts)
				}
			}
		}
		for _, h := range p.Since(p.Counters).Features {
			if h.Total() != 0 {
				t.Errorf("%v since itself", h)
			}
		}
	})
}

func histogram(counts ...float64) map[string]drift.Histogram {
	return map[string]drift.Histogram{"0": {Bounds: []float64{0.25, 0.5}, Counts: counts}}
}

func TestSince(t *testing.T) {
	earlier := drift.Counters{Features: histogram(2, 0, 3), Predictions: map[string]float64{"3": 4}, Labelled: 4, Correct: 3}
	for _, c := range []struct {
		name      string
		now, want drift.Counters
	}{
		{
			"more",
			drift.Counters{Features: histogram(3, 1, 3), Predictions: map[string]float64{"3": 5, "8": 1}, Labelled: 6, Correct: 4},
			drift.Counters{Features: histogram(1, 1, 0), Predictions: map[string]float64{"3": 1, "8": 1}, Labelled: 2, Correct: 1},
		},
		{
			"the process was restarted",
			drift.Counters{Features: histogram(2, 1, 0), Predictions: map[string]float64{"3": 3}, Labelled: 2, Correct: 2},
			drift.Counters{Features: histogram(2, 1, 0), Predictions: map[string]float64{"3": 3}, Labelled: 2, Correct: 2},
		},
		{
			"restarted, and more were labelled since",
			drift.Counters{Features: histogram(2, 0, 3), Predictions: map[string]float64{"3": 4}, Labelled: 5, Correct: 2},
			drift.Counters{Features: histogram(0, 0, 0), Predictions: map[string]float64{"3": 0}, Labelled: 5, Correct: 2},
		},
		{
			"other bounds",
			drift.Counters{Features: map[string]drift.Histogram{"0": {Bounds: []float64{1}, Counts: []float64{7, 7}}}, Predictions: map[string]float64{}, Labelled: 4, Correct: 3},
			drift.Counters{Features: map[string]drift.Histogram{"0": {Bounds: []float64{1}, Counts: []float64{7, 7}}}, Predictions: map[string]float64{}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, c.now.Since(earlier)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAdd(t *testing.T) {
	one := drift.Counters{Features: histogram(1, 0, 2), Predictions: map[string]float64{"3": 3}, Labelled: 2, Correct: 1}
	var sum drift.Counters
	for range 2 {
		if err := sum.Add(one); err != nil {
			t.Fatal(err)
		}
	}
	want := drift.Counters{Features: histogram(2, 0, 4), Predictions: map[string]float64{"3": 6}, Labelled: 4, Correct: 2}
	if diff := cmp.Diff(want, sum); diff != "" {
		t.Error(diff)
	}
	if one.Features["0"].Counts[0] != 1 || one.Predictions["3"] != 3 {
		t.Errorf("what was added has changed: %v", one)
	}
	var mismatch *drift.MismatchError
	if err := sum.Add(drift.Counters{Features: map[string]drift.Histogram{"0": {Bounds: []float64{1}, Counts: []float64{7, 7}}}}); !errors.As(err, &mismatch) {
		t.Errorf("other bounds: %v", err)
	}
	if diff := cmp.Diff(want, sum); diff != "" {
		t.Error(diff)
	}
}
