package drift_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/plugin/drift"
)

func TestReadReference(t *testing.T) {
	accuracy := 0.95
	whole := &drift.Reference{
		Features: map[string]drift.Histogram{"0": {Bounds: []float64{0.25, 0.5}, Counts: []float64{40, 9, 1}}},
		Classes:  map[string]float64{"3": 23, "8": 27},
		Accuracy: &accuracy,
	}
	for _, c := range []struct {
		name, text string
		want       *drift.Reference
		wrong      string
	}{
		{name: "whole", text: `{"features": {"0": {"bounds": [0.25, 0.5], "counts": [40, 9, 1]}}, "classes": {"3": 23, "8": 27}, "accuracy": 0.95}`, want: whole},
		{
			name: "features alone", text: `{"features": {"0": {"bounds": [0.25, 0.5], "counts": [40, 9, 1]}}}`,
			want: &drift.Reference{Features: whole.Features},
		},
		{name: "nothing", text: ``, wrong: "unexpected end"},
		{name: "cut", text: `{"features": {"0": {"bou`, wrong: "unexpected end"},
		{name: "more behind it", text: `{"features": {"0": {"bounds": [1], "counts": [1, 1]}}} {}`, wrong: "after top-level value"},
		{name: "no features", text: `{"accuracy": 0.9}`, wrong: "features: none"},
		{name: "a field that nobody knows", text: `{"features": {"0": {"bounds": [1], "counts": [1, 1]}}, "colour": 0.9}`, wrong: `unknown field "colour"`},
		{name: "a feature twice", text: `{"features": {"0": {"bounds": [1], "counts": [1, 1]}, "0": {"bounds": [1], "counts": [2, 1]}}}`, wrong: "duplicate"},
		{name: "no count above the bounds", text: `{"features": {"0": {"bounds": [1, 2], "counts": [1, 1]}}}`, wrong: "2 counts for 2 bounds"},
		{name: "bounds that fall", text: `{"features": {"0": {"bounds": [2, 1], "counts": [1, 1, 1]}}}`, wrong: "do not rise"},
		{name: "no bounds", text: `{"features": {"0": {"bounds": [], "counts": [1]}}}`, wrong: "no bounds"},
		{name: "a share instead of a count", text: `{"features": {"0": {"bounds": [1], "counts": [0.5, 0.5]}}}`, wrong: "0.5 is no count"},
		{name: "a negative count", text: `{"features": {"0": {"bounds": [1], "counts": [-1, 5]}}}`, wrong: "-1 is no count"},
		{name: "nothing counted", text: `{"features": {"0": {"bounds": [1], "counts": [0, 0]}}}`, wrong: "no value was counted"},
		{name: "no class counted", text: `{"features": {"0": {"bounds": [1], "counts": [1, 0]}}, "classes": {"3": 0}}`, wrong: "no sample was counted"},
		{name: "an accuracy in percent", text: `{"features": {"0": {"bounds": [1], "counts": [1, 0]}}, "accuracy": 95}`, wrong: "95 is not from 0 to 1"},
		{name: "NaN, as Python writes it", text: `{"features": {"0": {"bounds": [1], "counts": [1, 0]}}, "accuracy": NaN}`, wrong: "invalid character 'N'"},
		{name: "too large", text: strings.Repeat(" ", drift.MaxBytes) + `{}`, wrong: "larger than 16 MiB"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := drift.ReadReference(strings.NewReader(c.text))
			if c.wrong == "" {
				if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
					t.Fatalf("%v\n%s", err, diff)
				}
				return
			}
			var wrong *drift.ReferenceError
			if !errors.As(err, &wrong) || !strings.Contains(err.Error(), c.wrong) {
				t.Errorf("err = %v, want one that says %q", err, c.wrong)
			}
		})
	}
}

func FuzzReadReference(f *testing.F) {
	f.Add(`{"features": {"0": {"bounds": [0.25, 0.5], "counts": [40, 9, 1]}}, "classes": {"3": 23}, "accuracy": 0.95}`)
	f.Add(`{"features": {"": {"bounds": [-1e308, 1e308], "counts": [0, 9007199254740992, 0]}}}`)
	f.Fuzz(func(t *testing.T, text string) {
		ref, err := drift.ReadReference(strings.NewReader(text))
		if err != nil {
			return
		}
		again, err := json.Marshal(ref)
		if err != nil {
			t.Fatal(err)
		}
		back, err := drift.ReadReference(strings.NewReader(string(again)))
		if err != nil {
			t.Fatalf("%s: %v", again, err)
		}
		r, err := drift.Compare(ref, drift.Counters{Features: back.Features, Predictions: back.Classes})
		if err != nil || r.PSIMax != 0 || r.KSMax != 0 {
			t.Errorf("compared with itself: %+v, %v", r, err)
		}
	})
}
