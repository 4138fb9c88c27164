package drift

import (
	"math"
	"slices"
)

// Histogram counts values between bounds. Counts[i] is of the values in
// (Bounds[i-1], Bounds[i]], the last one of those above every bound: there is
// one count more than there are bounds.
type Histogram struct {
	Bounds []float64 `json:"bounds"`
	Counts []float64 `json:"counts"`
}

// Total is how many values were counted.
func (h Histogram) Total() float64 {
	var n float64
	for _, c := range h.Counts {
		n += c
	}
	return n
}

func (h Histogram) sameBounds(other Histogram) bool { return slices.Equal(h.Bounds, other.Bounds) }

// prior is what is added to every count before counts become shares, so that
// a bin that one side never met gives a large number and not an infinite one
// (the Krichevsky-Trofimov estimate, Jeffreys' prior).
const prior = 0.5

// PSI is the population stability index of two histograms with the same bins:
// the sum over all bins of (q-p)·ln(q/p), where p and q are the bins' shares.
// It is 0 for equal shares, the same both ways, and without an upper bound. In
// credit scoring, where it comes from, under 0.1 means the same population and
// over 0.25 another one. Samples of the same population have about
// (bins-1)·(1/n+1/m) by chance: 0.14 for ten bins and 100 and 200 values
// (Yurdakul, Statistical Properties of Population Stability Index, 2018).
func PSI(reference, current []float64) float64 {
	n, m := total(reference), total(current)
	bins := float64(len(reference))
	var sum float64
	for i := range reference {
		p := (reference[i] + prior) / (n + prior*bins)
		q := (current[i] + prior) / (m + prior*bins)
		sum += (q - p) * math.Log(q/p)
	}
	return sum
}

// KS is the two-sample Kolmogorov-Smirnov statistic, from 0 to 1: the largest
// distance between the two cumulative distributions. It is seen at the bounds
// of the bins alone, so the distance of the values themselves may be larger.
// Neither side may be empty.
func KS(reference, current []float64) float64 {
	n, m := total(reference), total(current)
	var a, b, largest float64
	for i := range reference {
		a += reference[i] / n
		b += current[i] / m
		largest = max(largest, math.Abs(a-b))
	}
	return min(largest, 1)
}

func total(counts []float64) float64 { return Histogram{Counts: counts}.Total() }
