package smi

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// deviceValue is a value of a GPU without its unit; "" where the GPU has none.
type deviceValue = func(t *tool, d model.Device) string

func of(f func(d model.Device) string) deviceValue {
	return func(_ *tool, d model.Device) string { return f(d) }
}

func number(f func(d model.Device) int) deviceValue {
	return func(_ *tool, d model.Device) string { return strconv.Itoa(f(d)) }
}

func mib(f func(d model.Device) uint64) deviceValue {
	return func(_ *tool, d model.Device) string { return strconv.FormatUint(model.MiB(f(d)), 10) }
}

func power(f func(d model.Device) int) deviceValue {
	return func(_ *tool, d model.Device) string { return fmt.Sprintf("%.2f", float64(f(d))/1000) }
}

// busPart gives a part of the bus id as hexadecimal of so many digits.
func busPart(part, digits int) deviceValue {
	return func(_ *tool, d model.Device) string {
		parts := strings.FieldsFunc(d.PCIBusID, func(r rune) bool { return r == ':' || r == '.' })
		if part >= len(parts) || len(parts[part]) < digits {
			return ""
		}
		return "0x" + parts[part][len(parts[part])-digits:]
	}
}

// whole is a value that a GPU in MIG mode does not have.
func whole(f deviceValue) deviceValue {
	return func(t *tool, d model.Device) string {
		if d.MIGEnabled {
			return ""
		}
		return f(t, d)
	}
}

// deprecated is a value that drivers no longer tell, from one on.
func deprecated(form int, f deviceValue) deviceValue {
	return func(t *tool, d model.Device) string {
		if t.form >= form {
			return "[Requested functionality has been deprecated]"
		}
		return f(t, d)
	}
}

func constant(value string) deviceValue {
	return func(*tool, model.Device) string { return value }
}

var (
	graphicsClock = number(func(d model.Device) int { return d.GraphicsClock })
	memoryClock   = number(func(d model.Device) int { return d.MemoryClock })
	maxClock      = number(func(d model.Device) int { return d.MaxGraphicsClock })
	maxMemory     = number(func(d model.Device) int { return d.MaxMemoryClock })
	pcieGen       = number(func(d model.Device) int { return d.PCIeGeneration })
	pcieWidth     = number(func(d model.Device) int { return d.PCIeWidth })
	draw          = power(func(d model.Device) int { return d.PowerMilliwatts })
	limit         = power(func(d model.Device) int { return d.PowerLimit })
	corrected     = number(func(d model.Device) int { return d.Fault.ECC.Corrected })
	uncorrected   = number(func(d model.Device) int { return d.Fault.ECC.Uncorrected })
	migMode       = of(func(d model.Device) string { return enabled(d.MIGEnabled, d.MIGCapable, "") })
)

// values are the fields whose value differs between GPUs, drivers or times,
// and below the line what only -q has.
var values = map[string]deviceValue{
	"timestamp":      func(t *tool, _ model.Device) string { return t.now.Format("2006/01/02 15:04:05.000") },
	"driver_version": func(t *tool, _ model.Device) string { return t.state.DriverVersion },
	"kmd_version":    func(t *tool, _ model.Device) string { return t.state.DriverVersion },
	"count":          func(t *tool, _ model.Device) string { return strconv.Itoa(len(t.devices)) },
	"name":           of(func(d model.Device) string { return d.Name }),
	"serial":         of(func(d model.Device) string { return d.Serial }),
	"uuid":           of(func(d model.Device) string { return d.UUID }),
	"index":          number(func(d model.Device) int { return d.Index }),
	"compute_cap":    of(func(d model.Device) string { return d.ComputeCapability }),

	"pci.bus_id":               of(func(d model.Device) string { return d.PCIBusID }),
	"pci.domain":               busPart(0, 4),
	"pci.bus":                  busPart(1, 2),
	"pci.device":               busPart(2, 2),
	"pci.device_id":            of(func(d model.Device) string { return fmt.Sprintf("0x%08X", d.PCIDeviceID) }),
	"pcie.link.gen.current":    pcieGen,
	"pcie.link.gen.gpucurrent": pcieGen,
	"pcie.link.gen.max":        pcieGen,
	"pcie.link.gen.gpumax":     pcieGen,
	"pcie.link.width.current":  pcieWidth,
	"pcie.link.width.max":      pcieWidth,
	"platform.module_id":       number(func(d model.Device) int { return d.Minor + 1 }),

	"display_mode":     deprecated(580, constant("Disabled")),
	"power.management": deprecated(590, constant("Enabled")),
	"persistence_mode": of(func(d model.Device) string { return enabled(d.PersistenceEnabled, true, "") }),
	"pstate":           of(func(d model.Device) string { return fmt.Sprintf("P%d", d.PerformanceState) }),
	"mig.mode.current": migMode,
	"mig.mode.pending": migMode,

	"clocks_event_reasons.active":              of(func(d model.Device) string { return fmt.Sprintf("0x%016X", reasons(d)) }),
	"clocks_event_reasons.gpu_idle":            reason(reasonIdle),
	"clocks_event_reasons.hw_slowdown":         reason(reasonHWSlowdown),
	"clocks_event_reasons.hw_thermal_slowdown": reason(reasonHWThermal),

	"memory.total":    mib(func(d model.Device) uint64 { return d.MemoryBytes }),
	"memory.reserved": mib(func(d model.Device) uint64 { return d.ReservedMemoryBytes }),
	"memory.used":     mib(func(d model.Device) uint64 { return d.UsedMemoryBytes }),
	"memory.free":     mib(model.Device.FreeMemoryBytes),

	"utilization.gpu":     whole(number(func(d model.Device) int { return d.Utilization })),
	"utilization.memory":  whole(number(func(d model.Device) int { return d.MemoryUtilization })),
	"utilization.encoder": whole(constant("0")),
	"utilization.decoder": whole(constant("0")),
	"utilization.jpeg":    whole(constant("0")),
	"utilization.ofa":     whole(constant("0")),

	"temperature.gpu":        number(func(d model.Device) int { return d.Temperature }),
	"temperature.gpu.tlimit": of(tlimit),
	"temperature.memory": of(func(d model.Device) string {
		if d.MemoryTemperature == 0 {
			return "N/A" // without brackets, as the real tool has it here
		}
		return strconv.Itoa(d.MemoryTemperature)
	}),
	"power.draw":           draw,
	"power.draw.average":   draw,
	"power.draw.instant":   draw,
	"power.limit":          limit,
	"enforced.power.limit": limit,
	"power.default_limit":  limit,
	"power.min_limit":      power(func(d model.Device) int { return d.MinPowerLimit }),
	"power.max_limit":      limit,
	"edpp_multiplier":      of(func(d model.Device) string { return traitsOf(d).edpp }),

	"clocks.current.graphics":              graphicsClock,
	"clocks.current.sm":                    graphicsClock,
	"clocks.current.memory":                memoryClock,
	"clocks.current.video":                 number(func(d model.Device) int { return d.VideoClock }),
	"clocks.applications.graphics":         deprecated(590, maxClock),
	"clocks.applications.memory":           deprecated(590, maxMemory),
	"clocks.default_applications.graphics": deprecated(590, maxClock),
	"clocks.default_applications.memory":   deprecated(590, maxMemory),
	"clocks.max.graphics":                  maxClock,
	"clocks.max.sm":                        maxClock,
	"clocks.max.memory":                    maxMemory,

	"ecc.errors.corrected.volatile.device_memory":    corrected,
	"ecc.errors.corrected.volatile.dram":             corrected,
	"ecc.errors.corrected.volatile.total":            corrected,
	"ecc.errors.corrected.aggregate.device_memory":   corrected,
	"ecc.errors.corrected.aggregate.dram":            corrected,
	"ecc.errors.corrected.aggregate.total":           corrected,
	"ecc.errors.uncorrected.volatile.device_memory":  uncorrected,
	"ecc.errors.uncorrected.volatile.dram":           uncorrected,
	"ecc.errors.uncorrected.volatile.total":          uncorrected,
	"ecc.errors.uncorrected.aggregate.device_memory": uncorrected,
	"ecc.errors.uncorrected.aggregate.dram":          uncorrected,
	"ecc.errors.uncorrected.aggregate.total":         uncorrected,

	"retired_pages.single_bit_ecc.count":   retired("0"),
	"retired_pages.double_bit.count":       retired("0"),
	"retired_pages.pending":                retired("No"),
	"remapped_rows.correctable":            remapped("0"),
	"remapped_rows.correctable_inactive":   remapped("0"),
	"remapped_rows.uncorrectable":          remapped("0"),
	"remapped_rows.uncorrectable_inactive": remapped("0"),
	"remapped_rows.pending":                remapped("No"),
	"remapped_rows.failure":                remapped("No"),
	"remapped_rows.histogram.max":          histogram(true),
	"remapped_rows.histogram.high":         histogram(false),
	"remapped_rows.histogram.partial":      histogram(false),
	"remapped_rows.histogram.low":          histogram(false),
	"remapped_rows.histogram.none":         histogram(false),

	"c2c.mode":           of(func(d model.Device) string { return traitsOf(d).c2c }),
	"fabric.state":       fabric("Completed"),
	"fabric.status":      fabric("Success"),
	"fabric.cliqueId":    fabric("0"),
	"fabric.clusterUuid": fabric("00000000-0000-0000-0000-000000000000"),

	// Of -q alone.
	"minor":        number(func(d model.Device) int { return d.Minor }),
	"architecture": of(architecture),
	"board_id": of(func(d model.Device) string {
		id, err := strconv.ParseUint(strings.TrimSuffix(strings.ReplaceAll(shortBus(d.PCIBusID), ":", ""), ".0"), 16, 32)
		if err != nil {
			return ""
		}
		return fmt.Sprintf("0x%x", id)
	}),
	"sparse_operation_mode":  of(func(d model.Device) string { return traitsOf(d).sparse }),
	"retired_pages.list":     retired(" "), // a list without entries
	"bar1.total":             mib(bar1),
	"bar1.used":              mib(bar1Used),
	"bar1.free":              mib(func(d model.Device) uint64 { return bar1(d) - bar1Used(d) }),
	"clocks.max.video":       number(func(d model.Device) int { return min(traitsOf(d).video, d.MaxGraphicsClock) }),
	"temperature.shutdown":   number(func(d model.Device) int { return traitsOf(d).shutdown }),
	"temperature.slowdown":   number(func(d model.Device) int { return traitsOf(d).slowdown }),
	"temperature.max":        number(func(d model.Device) int { return traitsOf(d).highest }),
	"temperature.memory.max": of(memoryLimit),
}

// value returns a field's value as --query-gpu prints it, without its unit.
func (t *tool) value(name string, d model.Device) string {
	if f, ok := values[name]; ok {
		return cmp.Or(f(t, d), notAvailable)
	}
	for _, c := range gpuColumns() {
		if c.names[0] == name {
			return c.value(t, row{Device: d})
		}
	}
	panic("no value " + name) // a file of this package
}
