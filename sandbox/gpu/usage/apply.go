package usage

import (
	"slices"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// Readings of a board that works, beyond what its idle state tells.
const (
	busyTemperature   = 78 // °C at full load
	slowedTemperature = 90 // °C at which a board slows down
	slowedClock       = 4  // part of the highest clock that is left then
)

// Apply returns an idle GPU as it is under a load, with its fault. Power and
// temperature rise evenly with the utilisation; clocks are at their highest
// while a program holds the GPU, as on real boards. Readings that were set by
// hand win, and what follows from them does.
func Apply(d model.Device, load Load) model.Device {
	d.MIG = slices.Clone(d.MIG)
	if d.Fault.Lost {
		return d // no program is left on it
	}
	held, percent := false, 0
	if d.MIGEnabled {
		parts := 0
		for i := range d.MIG {
			m := &d.MIG[i]
			use := load[m.UUID]
			m.Processes, m.Utilization = use.Processes, use.Utilization
			m.UsedMemoryBytes = min(memory(use.Processes), m.MemoryBytes)
			d.UsedMemoryBytes += m.UsedMemoryBytes
			held = held || len(use.Processes) > 0
			percent += use.Utilization * m.GPUSlices
			parts += m.GPUSlices
		}
		// NVML tells no utilisation of a GPU that is cut; its power follows it.
		percent /= max(1, parts)
	} else {
		use := load[d.UUID]
		d.Processes = use.Processes
		d.UsedMemoryBytes = min(d.UsedMemoryBytes+memory(use.Processes), d.MemoryBytes-d.ReservedMemoryBytes)
		held = len(use.Processes) > 0
		percent = use.Utilization
		if set := d.Fault.Set.Utilization; set != nil {
			percent = *set
		}
		d.Utilization, d.MemoryUtilization = percent, percent/2
	}
	warm(&d, percent, held || percent > 0)
	return d
}

func warm(d *model.Device, percent int, held bool) {
	rise := max(0, busyTemperature-d.Temperature) * percent / 100
	d.Temperature += rise
	if d.MemoryTemperature > 0 {
		d.MemoryTemperature += rise
	}
	d.PowerMilliwatts += max(0, d.PowerLimit-d.PowerMilliwatts) * percent / 100
	if held {
		d.GraphicsClock = d.MaxGraphicsClock
	}
	if d.Fault.Throttle {
		d.GraphicsClock = min(d.GraphicsClock, d.MaxGraphicsClock/slowedClock)
		d.Temperature = max(d.Temperature, slowedTemperature)
	}
	if set := d.Fault.Set.Temperature; set != nil {
		d.Temperature = *set
	}
	if set := d.Fault.Set.Power; set != nil {
		d.PowerMilliwatts = *set * 1000
	}
}

func memory(processes []model.Process) (bytes uint64) {
	for _, p := range processes {
		bytes += p.UsedMemoryBytes
	}
	return bytes
}
