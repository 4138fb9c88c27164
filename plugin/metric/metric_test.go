package metric

import (
	"errors"
	"math"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestParse(t *testing.T) {
	one := func(v float64) Report {
		return Report{Metrics: []Value{{"accuracy", v}}, Progress: math.NaN(), Remaining: -1}
	}
	for _, c := range []struct {
		name, line string
		want       Report
		talk       bool
		malformed  bool
	}{
		{name: "a number", line: `{"metrics": [{"name": "accuracy", "value": 0.97}]}`, want: one(0.97)},
		{name: "a string, as a TrainJob has it", line: `{"trainerStatus": {"metrics": [{"name": "accuracy", "value": "0.97"}], "lastUpdatedTime": "x"}}`, want: one(0.97)},
		{
			name: "more", line: ` {"step": 3, "metrics": [{"name": "accuracy", "value": 1}, {"name": "loss", "value": -1e-3}], "progressPercentage": 80, "estimatedRemainingSeconds": 20}`,
			want: Report{Metrics: []Value{{"accuracy", 1}, {"loss", -1e-3}}, Progress: 80, Remaining: 20},
		},
		{name: "NaN, as Python writes it", line: `{"metrics": [{"name": "accuracy", "value": NaN}]}`, want: one(math.NaN())},
		{name: "-Infinity", line: `{"metrics": [{"name": "accuracy", "value": -Infinity}]}`, want: one(math.Inf(-1))},
		{name: "NaN in a name stays", line: `{"metrics": [{"name": "a\"NaN", "value": NaN}]}`, want: Report{Metrics: []Value{{`a"NaN`, math.NaN()}}, Progress: math.NaN(), Remaining: -1}},
		{name: "no metrics in it", line: `{"metrics": []}`, want: Report{Progress: math.NaN(), Remaining: -1}},
		{name: "talk", line: "epoch 3: accuracy 0.97", talk: true},
		{name: "other JSON", line: `{"loss": 0.1}`, talk: true},
		{name: "the word elsewhere", line: `{"say": "metrics", "x": {"metrics": 1}}`, talk: true},
		{name: "nothing", line: "", talk: true},
		{name: "cut", line: `{"metrics": [{"name": "accuracy", "val`, malformed: true},
		{name: "no number", line: `{"metrics": [{"name": "accuracy", "value": "good"}]}`, malformed: true},
		{name: "a map", line: `{"metrics": {"accuracy": 1}}`, malformed: true},
		{name: "no name", line: `{"metrics": [{"value": 1}]}`, malformed: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Parse([]byte(c.line))
			var malformed *MalformedError
			if errors.Is(err, ErrTalk) != c.talk || errors.As(err, &malformed) != c.malformed {
				t.Fatalf("err = %v", err)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.EquateNaNs()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"metrics": [{"name": "a\"NaN", "value": NaN}], "progressPercentage": "1e999"}`))
	f.Add([]byte(`{"trainerStatus": {"metrics": [{"name": "a", "value": "-Infinity"}]}}`))
	f.Add([]byte(`{"metrics":NaN"`))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := Parse(line)
		if err != nil && len(r.Metrics) > 0 {
			t.Errorf("%v and %v", r, err)
		}
		for _, m := range r.Metrics {
			if m.Name == "" {
				t.Error("a metric without a name")
			}
		}
	})
}
