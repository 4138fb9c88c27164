package metrics

import (
	"maps"
	"time"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// Meter adds up the energy that GPUs use.
type Meter struct {
	at     time.Time
	energy map[string]float64 // mJ
}

// Read adds what the GPUs of a state have used since the last call and
// returns the energy of each in mJ, by UUID.
func (m *Meter) Read(s model.State, now time.Time) map[string]uint64 {
	energy, total := maps.Clone(m.energy), map[string]uint64{}
	if energy == nil {
		energy = map[string]float64{}
	}
	for _, d := range s.Devices {
		if !m.at.IsZero() {
			energy[d.UUID] += float64(d.PowerMilliwatts) * now.Sub(m.at).Seconds()
		}
		total[d.UUID] = uint64(energy[d.UUID])
	}
	m.at, m.energy = now, energy
	return total
}
