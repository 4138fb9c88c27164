package smi

import (
	"math/bits"
	"strconv"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// traits are what boards of an architecture have in common and the state does
// not hold. Those of hopper, ada-lovelace and turing are readings of an H100,
// an L40S and a T4; of the others some are, and the rest is chosen.
type traits struct {
	tlimit    bool // temperatures are told as the distance to a limit
	limit     int  // °C, where that distance is 0
	shutdown  int  // °C, or the distance to the limit; so the next two
	slowdown  int
	highest   int
	memoryMax string // the same of the memory
	rows      int    // banks with spare rows; 0: pages are retired instead
	video     int    // MHz, highest
	links     int    // NVLinks of a board that has them
	linkSpeed string
	edpp      string
	c2c       string
	sparse    string
}

var architectures = map[string]traits{
	"turing":       {limit: 85, shutdown: 96, slowdown: 93, highest: 85, video: 1470, links: 2, linkSpeed: "25.781 GB/s"},
	"ampere":       {limit: 85, shutdown: 92, slowdown: 89, highest: 85, memoryMax: "95", rows: 640, video: 1290, links: 12, linkSpeed: "25 GB/s"},
	"ada-lovelace": {tlimit: true, limit: 88, shutdown: -5, slowdown: -2, rows: 192, video: 1965},
	"hopper": {
		tlimit: true, limit: 87, shutdown: -8, slowdown: -2, memoryMax: "0", rows: 2560, video: 1545,
		links: 18, linkSpeed: "26.562 GB/s", edpp: "100.00", c2c: "Disabled", sparse: "Disabled",
	},
	"blackwell": {
		tlimit: true, limit: 92, shutdown: -5, slowdown: -2, memoryMax: "0", rows: 2560, video: 1545,
		links: 18, linkSpeed: "53.125 GB/s", edpp: "100.00", c2c: "Disabled", sparse: "Disabled",
	},
}

// traitsOf returns those of an older board as those of turing.
func traitsOf(d model.Device) traits {
	if found, ok := architectures[d.Architecture]; ok {
		return found
	}
	return architectures["turing"]
}

func architecture(d model.Device) string {
	words := strings.Split(d.Architecture, "-")
	for i, w := range words {
		if w != "" {
			words[i] = strings.ToUpper(w[:1]) + w[1:]
		}
	}
	return strings.Join(words, " ")
}

func tlimit(d model.Device) string {
	x := traitsOf(d)
	if !x.tlimit {
		return ""
	}
	return strconv.Itoa(x.limit - d.Temperature)
}

func memoryLimit(d model.Device) string {
	if d.MemoryTemperature == 0 {
		return ""
	}
	return traitsOf(d).memoryMax
}

// bar1 is the window on the memory: all of it, so the next power of two. Older
// boards have 256 MiB.
func bar1(d model.Device) uint64 {
	if traitsOf(d).rows == 0 || d.MemoryBytes == 0 {
		return 256 << 20
	}
	return 1 << bits.Len64(d.MemoryBytes-1)
}

// bar1Used is the part of the window in use: what programs hold, and under MIG
// all memory that the driver does not hold.
func bar1Used(d model.Device) uint64 {
	used := d.UsedMemoryBytes
	if d.MIGEnabled {
		used = d.MemoryBytes - min(d.ReservedMemoryBytes, d.MemoryBytes)
	}
	return min(used, bar1(d))
}

// bar1Share is the part of the rest that a MIG device has: as many eighths as
// of the memory, of all but 512 MiB (so it is on an H100 and an H200).
func bar1Share(d model.Device, m model.MIGDevice) uint64 {
	const kept = 512 << 20
	rest := bar1(d) - bar1Used(d)
	if d.MemoryBytes == 0 || rest < kept {
		return 0
	}
	eighths := (8*m.MemoryBytes + d.MemoryBytes/2) / d.MemoryBytes
	return (rest - kept) / 8 * eighths >> 20 << 20
}

// links are the NVLinks of a board and the speed of one. Boards that a bridge
// joins in pairs have few.
func links(d model.Device) (count int, speed string) {
	x := traitsOf(d)
	if d.NVLinkGroup == 0 || x.links == 0 {
		return 0, ""
	}
	if d.NVLinkGroup == 2 {
		return min(4, x.links), x.linkSpeed
	}
	return x.links, x.linkSpeed
}

// Bits of clocks_event_reasons.active (nvml.h, nvmlClocksEventReason…).
const (
	reasonIdle       = 0x01
	reasonHWSlowdown = 0x08
	reasonHWThermal  = 0x40
)

// reasons are why clocks are low: the GPU has nothing to do, or is too hot.
func reasons(d model.Device) uint64 {
	var active uint64
	if d.Utilization == 0 {
		active |= reasonIdle
	}
	if d.Fault.Throttle {
		active |= reasonHWSlowdown | reasonHWThermal
	}
	return active
}

func reason(bit uint64) deviceValue {
	return of(func(d model.Device) string {
		if reasons(d)&bit != 0 {
			return "Active"
		}
		return "Not Active"
	})
}

// retired is a value of boards that retire pages of their memory.
func retired(value string) deviceValue {
	return of(func(d model.Device) string {
		if traitsOf(d).rows > 0 {
			return ""
		}
		return value
	})
}

// remapped is a value of boards that remap rows of their memory instead; the
// driver does not tell it of one in MIG mode.
func remapped(value string) deviceValue {
	return of(func(d model.Device) string {
		if traitsOf(d).rows == 0 || d.MIGEnabled {
			return ""
		}
		return value
	})
}

// histogram tells how many banks have all, or part of, their spare rows.
func histogram(all bool) deviceValue {
	return of(func(d model.Device) string {
		rows := traitsOf(d).rows
		if rows == 0 {
			return ""
		}
		if !all {
			rows = 0
		}
		return strconv.Itoa(rows)
	})
}

// fabric is a value of boards that a switch joins; the others say N/A without
// brackets, as the real tool has it here.
func fabric(value string) deviceValue {
	return of(func(d model.Device) string {
		if d.NVLinkGroup == 0 || traitsOf(d).c2c == "" {
			return "N/A"
		}
		return value
	})
}

func enabled(on, capable bool, otherwise string) string {
	switch {
	case !capable:
		return otherwise
	case on:
		return "Enabled"
	}
	return "Disabled"
}
