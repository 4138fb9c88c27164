package drift

import (
	"fmt"
	"maps"
	"math"
	"slices"
)

// Feature is how far one feature moved.
type Feature struct {
	Name string  `json:"name"`
	PSI  float64 `json:"psi"`
	KS   float64 `json:"ks"`
}

// Report is how far what the model is asked moved from what it was trained on.
// Without a sample there is nothing to compare, and all of it is zero.
type Report struct {
	// Samples is how many requests it rests on: of the feature that was seen
	// least often.
	Samples  float64   `json:"samples"`
	Features []Feature `json:"features,omitempty"` // sorted, the farthest first
	PSIMean  float64   `json:"psiMean"`
	PSIMax   float64   `json:"psiMax"`
	KSMax    float64   `json:"ksMax"`
	// PredictionPSI is that of the predicted classes against the labels of
	// training; nil: one of the two has none.
	PredictionPSI *float64 `json:"predictionPsi,omitempty"`
	// Labelled is how many predictions people labelled since.
	Labelled          float64  `json:"labelled"`
	Accuracy          *float64 `json:"accuracy,omitempty"` // of these; nil: none
	ReferenceAccuracy *float64 `json:"referenceAccuracy,omitempty"`
}

// MismatchError says that what is counted cannot be compared: reference and
// served model are of different codes.
type MismatchError struct{ Feature, Reason string }

func (e *MismatchError) Error() string { return fmt.Sprintf("feature %q %s", e.Feature, e.Reason) }

// Compare compares what was counted within a window with the reference. It
// returns a *MismatchError.
func Compare(ref *Reference, window Counters) (*Report, error) {
	r := &Report{Samples: math.Inf(1), Labelled: window.Labelled, ReferenceAccuracy: ref.Accuracy}
	if window.Labelled > 0 {
		accuracy := window.Correct / window.Labelled
		r.Accuracy = &accuracy
	}
	if n := sum(window.Predictions); n > 0 && len(ref.Classes) > 0 {
		psi := PSI(aligned(ref.Classes, window.Predictions))
		r.PredictionPSI = &psi
	}
	asked := false
	for _, name := range slices.Sorted(maps.Keys(window.Features)) {
		if _, known := ref.Features[name]; !known {
			return nil, &MismatchError{name, "is none of the reference's"}
		}
		asked = asked || window.Features[name].Total() > 0
	}
	if !asked {
		r.Samples = 0
		return r, nil
	}
	for _, name := range slices.Sorted(maps.Keys(ref.Features)) {
		then, now := ref.Features[name], window.Features[name]
		switch {
		case now.Counts == nil:
			return nil, &MismatchError{name, "is in the reference, and the served model does not count it"}
		case !then.sameBounds(now):
			return nil, &MismatchError{name, fmt.Sprintf("has the bounds %v in the reference and %v in the served model", then.Bounds, now.Bounds)}
		}
		r.Samples = min(r.Samples, now.Total())
		if now.Total() == 0 {
			continue // was not asked with it
		}
		r.Features = append(r.Features, Feature{Name: name, PSI: PSI(then.Counts, now.Counts), KS: KS(then.Counts, now.Counts)})
	}
	for _, f := range r.Features {
		r.PSIMean += f.PSI / float64(len(r.Features))
		r.PSIMax = max(r.PSIMax, f.PSI)
		r.KSMax = max(r.KSMax, f.KS)
	}
	slices.SortStableFunc(r.Features, func(a, b Feature) int {
		if a.PSI == b.PSI {
			return 0
		}
		if a.PSI > b.PSI {
			return -1
		}
		return 1
	})
	return r, nil
}

// aligned returns the counts of two maps in one order of all their keys.
func aligned(a, b map[string]float64) (x, y []float64) {
	keys := map[string]bool{}
	for k := range a {
		keys[k] = true
	}
	for k := range b {
		keys[k] = true
	}
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		x, y = append(x, a[k]), append(y, b[k])
	}
	return x, y
}
