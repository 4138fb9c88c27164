package drift_test

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/kubectl-ai/kubectl-ai/plugin/drift"
)

// glyphs are digits on 6x8 dots, as the samples draw them.
var glyphs = []string{
	"..##.. .#..#. #....# #....# #....# #....# .#..#. ..##..",
	"...#.. ..##.. .#.#.. ...#.. ...#.. ...#.. ...#.. .#####",
	".####. #....# .....# ....#. ...#.. ..#... .#.... ######",
	".####. #....# .....# ..###. .....# .....# #....# .####.",
	"....#. ...##. ..#.#. .#..#. #...#. ###### ....#. ....#.",
	"###### #..... #..... #####. .....# .....# #....# .####.",
	"..###. .#.... #..... #####. #....# #....# #....# .####.",
	"###### .....# ....#. ....#. ...#.. ...#.. ..#... ..#...",
	".####. #....# #....# .####. #....# #....# #....# .####.",
	".####. #....# #....# #....# .##### .....# ....#. .###..",
}

// draw draws a digit on 8x8 pixels, with ink from 0 to 1.
func draw(digit int, rng *rand.Rand, noise float64) (pixels [64]float64) {
	shift, ink := rng.IntN(3), 0.6+0.4*rng.Float64()
	for y, line := range strings.Fields(glyphs[digit]) {
		for x := range 8 {
			var v float64
			if dot := x - shift; dot >= 0 && dot < len(line) && line[dot] == '#' && rng.Float64() > 0.08 {
				v = ink
			}
			pixels[8*y+x] = min(1, max(0, v+noise*rng.NormFloat64()))
		}
	}
	return pixels
}

var bounds = []float64{0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9}

// count counts n digits as a served model does.
func count(n int, seed uint64, noise float64, change func(float64) float64) drift.Counters {
	rng := rand.New(rand.NewPCG(seed, 1))
	c := drift.Counters{Features: map[string]drift.Histogram{}, Predictions: map[string]float64{}}
	for i := range 64 {
		c.Features[strconv.Itoa(i)] = drift.Histogram{Bounds: bounds, Counts: make([]float64, len(bounds)+1)}
	}
	for range n {
		digit := rng.IntN(10)
		c.Predictions[strconv.Itoa(digit)]++
		for i, v := range draw(digit, rng, noise) {
			v, bin := change(v), 0
			for bin < len(bounds) && v > bounds[bin] {
				bin++
			}
			c.Features[strconv.Itoa(i)].Counts[bin]++
		}
	}
	return c
}

// The same digits, noisy ones and white on black are told apart: within 0.1
// the population counts as the same, over 0.25 as another.
func TestDigitsAreToldApart(t *testing.T) {
	same := func(v float64) float64 { return v }
	trained := count(1800, 7, 0.12, same)
	accuracy := 0.95
	ref := &drift.Reference{Features: trained.Features, Classes: trained.Predictions, Accuracy: &accuracy}
	for _, c := range []struct {
		name     string
		now      drift.Counters
		min, max float64 // of the mean PSI
		exceeded bool
	}{
		{"the same digits, drawn anew", count(1800, 8, 0.12, same), 0, 0.03, false},
		{"fewer of them", count(300, 9, 0.12, same), 0, 0.1, false},
		{"noisy", count(1800, 8, 0.3, same), 0.25, 2, true},
		{"inverted", count(1800, 8, 0.12, func(v float64) float64 { return 1 - v }), 2, 10, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := drift.Compare(ref, c.now)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("PSI mean %.3f, max %.3f, KS max %.3f, of predictions %.3f", r.PSIMean, r.PSIMax, r.KSMax, *r.PredictionPSI)
			if r.PSIMean < c.min || r.PSIMean > c.max {
				t.Errorf("mean PSI %v is not from %v to %v", r.PSIMean, c.min, c.max)
			}
			v := drift.Thresholds{PSI: 0.25, Samples: 100}.Judge(r)
			if (len(v.Exceeded) > 0) != c.exceeded || len(v.Undecided) > 0 {
				t.Errorf("judged %+v", v)
			}
		})
	}
}
