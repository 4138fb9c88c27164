package drift

import "fmt"

// Thresholds say how far is too far.
type Thresholds struct {
	// PSI is the largest mean of the features' population stability indices.
	PSI float64 `json:"psi"`
	// Accuracy is the least accuracy on labelled predictions, from 0 to 1;
	// 0: not judged.
	Accuracy float64 `json:"accuracy,omitempty"`
	// Samples is how many requests, or labelled predictions, are the least to
	// judge by: few ones look like another population by chance (see PSI).
	Samples float64 `json:"samples"`
}

// Verdict is what thresholds say of a report.
type Verdict struct {
	// Exceeded are the thresholds that were passed, in words; none: calm.
	Exceeded []string `json:"exceeded,omitempty"`
	// Undecided is why some of it was not judged, in words.
	Undecided []string `json:"undecided,omitempty"`
}

// Judge judges what there are enough samples for.
func (t Thresholds) Judge(r *Report) Verdict {
	var v Verdict
	switch {
	case r.Samples < t.Samples:
		v.Undecided = append(v.Undecided, fmt.Sprintf("%v requests in the window, %v are the least to judge by", r.Samples, t.Samples))
	case r.PSIMean > t.PSI:
		v.Exceeded = append(v.Exceeded, fmt.Sprintf("mean PSI %.3f, over %v", r.PSIMean, t.PSI))
	}
	switch {
	case t.Accuracy == 0:
	case r.Labelled < t.Samples:
		v.Undecided = append(v.Undecided, fmt.Sprintf("%v labelled predictions in the window, %v are the least to judge by", r.Labelled, t.Samples))
	case r.Accuracy != nil && *r.Accuracy < t.Accuracy:
		v.Exceeded = append(v.Exceeded, fmt.Sprintf("accuracy %.3f, under %v", *r.Accuracy, t.Accuracy))
	}
	return v
}
