package drift_test

import (
	"math"
	"testing"

	"github.com/kubectl-ai/kubectl-ai/plugin/drift"
)

func TestStatistics(t *testing.T) {
	for _, c := range []struct {
		name    string
		a, b    []float64
		psi, ks float64
	}{
		{"the same counts", []float64{10, 20, 30}, []float64{10, 20, 30}, 0, 0},
		{"the same shares", []float64{1e6, 2e6, 3e6}, []float64{2e6, 4e6, 6e6}, 0, 0},
		// (0.75-0.25)·ln(3) for each of two bins
		{"turned around", []float64{1e6, 3e6}, []float64{3e6, 1e6}, math.Log(3), 0.5},
		{"nothing in common", []float64{1e6, 0}, []float64{0, 1e6}, 2 * math.Log(1e6/0.5), 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, pair := range [][2][]float64{{c.a, c.b}, {c.b, c.a}} {
				if got := drift.PSI(pair[0], pair[1]); math.Abs(got-c.psi) > 1e-4 {
					t.Errorf("PSI = %v, want %v", got, c.psi)
				}
				if got := drift.KS(pair[0], pair[1]); math.Abs(got-c.ks) > 1e-9 {
					t.Errorf("KS = %v, want %v", got, c.ks)
				}
			}
		})
	}
}
