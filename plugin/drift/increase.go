package drift

import (
	"maps"
	"slices"
)

// Since is what was counted after earlier. A count that fell began anew, as
// that of a process that was restarted: all of it is new (Prometheus' rule of
// increase()). A histogram whose bounds changed began anew too.
func (c Counters) Since(earlier Counters) Counters {
	d := Counters{
		Features:    make(map[string]Histogram, len(c.Features)),
		Predictions: map[string]float64{},
	}
	for name, h := range c.Features {
		d.Features[name] = h.since(earlier.Features[name])
	}
	for class, n := range c.Predictions {
		d.Predictions[class] = grown(n, earlier.Predictions[class])
	}
	d.Labelled, d.Correct = c.Labelled, c.Correct
	if c.Labelled >= earlier.Labelled && c.Correct >= earlier.Correct {
		d.Labelled -= earlier.Labelled
		d.Correct -= earlier.Correct
	}
	return d
}

func grown(now, before float64) float64 {
	if now < before {
		return now
	}
	return now - before
}

func (h Histogram) since(earlier Histogram) Histogram {
	if !h.sameBounds(earlier) || len(h.Counts) != len(earlier.Counts) {
		return h
	}
	d := Histogram{Bounds: h.Bounds, Counts: make([]float64, len(h.Counts))}
	for i, n := range h.Counts {
		if n < earlier.Counts[i] {
			return h
		}
		d.Counts[i] = n - earlier.Counts[i]
	}
	return d
}

// Add adds what another process, or another time, counted. It returns a
// *MismatchError if the two count a feature between different bounds; c is as
// it was then.
func (c *Counters) Add(other Counters) error {
	for name, h := range other.Features {
		if mine, ok := c.Features[name]; ok && !mine.sameBounds(h) {
			return &MismatchError{Feature: name, Reason: "is counted between different bounds by different processes"}
		}
	}
	if c.Features == nil {
		c.Features = map[string]Histogram{}
	}
	for name, h := range other.Features {
		mine, ok := c.Features[name]
		if !ok {
			c.Features[name] = Histogram{Bounds: h.Bounds, Counts: slices.Clone(h.Counts)}
			continue
		}
		for i, n := range h.Counts {
			mine.Counts[i] += n
		}
	}
	if c.Predictions == nil {
		c.Predictions = maps.Clone(other.Predictions)
	} else {
		for class, n := range other.Predictions {
			c.Predictions[class] += n
		}
	}
	c.Labelled += other.Labelled
	c.Correct += other.Correct
	return nil
}
