package drift

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"

	kjson "sigs.k8s.io/json"
)

// Reference is what a model was trained on, as its training counted it. It
// lies beside the model, as reference.json:
//
//	{"features": {"0": {"bounds": [0.25, 0.5], "counts": [40, 9, 1]}},
//	 "classes": {"three": 23, "eight": 27}, "accuracy": 0.95}
type Reference struct {
	// Features are by name, as the served model's metrics name them.
	Features map[string]Histogram `json:"features"`
	// Classes are how often each was the label; empty: not compared.
	Classes map[string]float64 `json:"classes,omitempty"`
	// Accuracy is the one on held-out samples, from 0 to 1; nil: the model has
	// none, as one that predicts a number.
	Accuracy *float64 `json:"accuracy,omitempty"`
}

// ReferenceError says what is wrong with a reference.
type ReferenceError struct{ Err error }

func (e *ReferenceError) Error() string { return fmt.Sprintf("reference: %v", e.Err) }
func (e *ReferenceError) Unwrap() error { return e.Err }

// MaxBytes is the largest reference, or page of metrics, that is read.
const MaxBytes = 16 << 20

// ReadReference reads reference.json. A field that is unknown or there twice,
// a count that is none, and bounds that do not rise are a *ReferenceError.
func ReadReference(r io.Reader) (*Reference, error) {
	content, err := readAll(r)
	if err != nil {
		return nil, &ReferenceError{err}
	}
	var ref Reference
	strict, err := kjson.UnmarshalStrict(content, &ref)
	if err = errors.Join(append(strict, err)...); err != nil {
		return nil, &ReferenceError{err}
	}
	if err := ref.check(); err != nil {
		return nil, &ReferenceError{err}
	}
	return &ref, nil
}

func readAll(r io.Reader) ([]byte, error) {
	content, err := io.ReadAll(io.LimitReader(r, MaxBytes+1))
	if err == nil && len(content) > MaxBytes {
		return nil, fmt.Errorf("larger than %d MiB", MaxBytes>>20)
	}
	return content, err
}

func (r *Reference) check() error {
	if len(r.Features) == 0 {
		return errors.New("features: none")
	}
	for _, name := range slices.Sorted(maps.Keys(r.Features)) {
		if err := r.Features[name].check(); err != nil {
			return fmt.Errorf("features.%s: %w", name, err)
		}
	}
	for _, class := range slices.Sorted(maps.Keys(r.Classes)) {
		if err := checkCount(r.Classes[class]); err != nil {
			return fmt.Errorf("classes.%s: %w", class, err)
		}
	}
	if len(r.Classes) > 0 && sum(r.Classes) == 0 {
		return errors.New("classes: no sample was counted")
	}
	if a := r.Accuracy; a != nil && !(*a >= 0 && *a <= 1) {
		return fmt.Errorf("accuracy: %v is not from 0 to 1", *a)
	}
	return nil
}

func (h Histogram) check() error {
	if err := checkBounds(h.Bounds); err != nil {
		return err
	}
	if len(h.Counts) != len(h.Bounds)+1 {
		return fmt.Errorf("%d counts for %d bounds: want one more than bounds, the last of the values above all of them", len(h.Counts), len(h.Bounds))
	}
	for _, c := range h.Counts {
		if err := checkCount(c); err != nil {
			return err
		}
	}
	if h.Total() == 0 {
		return errors.New("no value was counted")
	}
	return nil
}

func checkBounds(bounds []float64) error {
	if len(bounds) == 0 {
		return errors.New("no bounds")
	}
	for i, b := range bounds {
		if math.IsNaN(b) || math.IsInf(b, 0) || i > 0 && b <= bounds[i-1] {
			return fmt.Errorf("bounds %v do not rise", bounds)
		}
	}
	return nil
}

// maxCount is the largest number up to which a float64 holds every integer.
const maxCount = 1 << 53

func checkCount(c float64) error {
	if !(c >= 0 && c <= maxCount) || c != math.Trunc(c) {
		return fmt.Errorf("%v is no count", c)
	}
	return nil
}

func sum(counts map[string]float64) float64 {
	var n float64
	for _, c := range counts {
		n += c
	}
	return n
}
