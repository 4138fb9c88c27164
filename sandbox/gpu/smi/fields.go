package smi

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// gpuColumns are the fields of --query-gpu: first those that differ from GPU
// to GPU or over time, then those in which idle GPUs without errors agree.
func gpuColumns() []column {
	return append(append([]column(nil), livingColumns...), settledColumns()...)
}

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
			return notAvailable
		}
		return "0x" + parts[part][len(parts[part])-digits:]
	}
}

func names(list ...string) []string { return list }

var livingColumns = []column{
	{names("timestamp"), "", func(t *tool, _ model.Device) string { return t.Now.Format("2006/01/02 15:04:05.000") }},
	{names("driver_version"), "", func(t *tool, _ model.Device) string { return t.state.DriverVersion }},
	{names("count"), "", func(t *tool, _ model.Device) string { return strconv.Itoa(len(t.devices)) }},
	{names("name", "gpu_name"), "", of(func(d model.Device) string { return d.Name })},
	{names("serial", "gpu_serial"), "", of(func(d model.Device) string { return d.Serial })},
	{names("uuid", "gpu_uuid"), "", of(func(d model.Device) string { return d.UUID })},
	{names("pci.bus_id", "gpu_bus_id"), "", of(func(d model.Device) string { return d.PCIBusID })},
	{names("pci.domain"), "", busPart(0, 4)},
	{names("pci.bus"), "", busPart(1, 2)},
	{names("pci.device"), "", busPart(2, 2)},
	{names("pci.device_id"), "", of(func(d model.Device) string { return fmt.Sprintf("0x%08X", d.PCIDeviceID) })},
	{names("pcie.link.gen.current"), "", number(func(d model.Device) int { return d.PCIeGeneration })},
	{names("pcie.link.gen.gpucurrent"), "", number(func(d model.Device) int { return d.PCIeGeneration })},
	{names("pcie.link.gen.max"), "", number(func(d model.Device) int { return d.PCIeGeneration })},
	{names("pcie.link.gen.gpumax"), "", number(func(d model.Device) int { return d.PCIeGeneration })},
	{names("pcie.link.width.current"), "", number(func(d model.Device) int { return d.PCIeWidth })},
	{names("pcie.link.width.max"), "", number(func(d model.Device) int { return d.PCIeWidth })},
	{names("index"), "", number(func(d model.Device) int { return d.Index })},
	{names("persistence_mode"), "", of(func(d model.Device) string { return enabled(d.PersistenceEnabled, true, "") })},
	{names("pstate"), "", of(func(d model.Device) string { return fmt.Sprintf("P%d", d.PerformanceState) })},
	{names("memory.total"), "MiB", mib(func(d model.Device) uint64 { return d.MemoryBytes })},
	{names("memory.reserved"), "MiB", mib(func(d model.Device) uint64 { return d.ReservedMemoryBytes })},
	{names("memory.used"), "MiB", mib(func(d model.Device) uint64 { return d.UsedMemoryBytes })},
	{names("memory.free"), "MiB", mib(model.Device.FreeMemoryBytes)},
	{names("compute_cap"), "", of(func(d model.Device) string { return d.ComputeCapability })},
	{names("utilization.gpu"), "%", number(func(d model.Device) int { return d.Utilization })},
	{names("utilization.memory"), "%", number(func(d model.Device) int { return d.MemoryUtilization })},
	{names("temperature.gpu"), "", number(func(d model.Device) int { return d.Temperature })},
	{names("temperature.memory"), "", of(func(d model.Device) string {
		if d.MemoryTemperature == 0 {
			return notAvailable
		}
		return strconv.Itoa(d.MemoryTemperature)
	})},
	{names("power.draw"), "W", power(func(d model.Device) int { return d.PowerMilliwatts })},
	{names("power.draw.average", "gpu.power.draw.average"), "W", power(func(d model.Device) int { return d.PowerMilliwatts })},
	{names("power.draw.instant", "gpu.power.draw.instant"), "W", power(func(d model.Device) int { return d.PowerMilliwatts })},
	{names("power.limit", "gpu.power.requested_limit"), "W", power(func(d model.Device) int { return d.PowerLimit })},
	{names("enforced.power.limit", "gpu.power.current_limit"), "W", power(func(d model.Device) int { return d.PowerLimit })},
	{names("power.default_limit", "gpu.power.default_limit"), "W", power(func(d model.Device) int { return d.PowerLimit })},
	{names("power.min_limit", "gpu.power.min_limit"), "W", power(func(d model.Device) int { return d.MinPowerLimit })},
	{names("power.max_limit", "gpu.power.max_limit"), "W", power(func(d model.Device) int { return d.PowerLimit })},
	{names("clocks.current.graphics", "clocks.gr"), "MHz", number(func(d model.Device) int { return d.GraphicsClock })},
	{names("clocks.current.sm", "clocks.sm"), "MHz", number(func(d model.Device) int { return d.GraphicsClock })},
	{names("clocks.current.memory", "clocks.mem"), "MHz", number(func(d model.Device) int { return d.MemoryClock })},
	{names("clocks.current.video", "clocks.video"), "MHz", number(func(d model.Device) int { return d.VideoClock })},
	{names("clocks.max.graphics", "clocks.max.gr"), "MHz", number(func(d model.Device) int { return d.MaxGraphicsClock })},
	{names("clocks.max.sm"), "MHz", number(func(d model.Device) int { return d.MaxGraphicsClock })},
	{names("clocks.max.memory", "clocks.max.mem"), "MHz", number(func(d model.Device) int { return d.MaxMemoryClock })},
	{names("mig.mode.current"), "", of(func(d model.Device) string { return enabled(d.MIGEnabled, d.MIGCapable, notAvailable) })},
	{names("mig.mode.pending"), "", of(func(d model.Device) string { return enabled(d.MIGEnabled, d.MIGCapable, notAvailable) })},
}

// settled are fields in which idle data-centre boards without errors agree:
// name or names joined by "|", unit in brackets, value.
const settled = `
pci.baseClass = 0x3
pci.subClass = 0x2
pcie.link.gen.hostmax = [N/A]
display_mode = [Requested functionality has been deprecated]
display_attached = Yes
display_active = Disabled
addressing_mode = None
accounting.mode = Disabled
accounting.buffer_size = 4000
driver_model.current = [N/A]
driver_model.pending = [N/A]
vbios_version = [N/A]
gpu_recovery_action = None
gom.current|gpu_operation_mode.current = [N/A]
gom.pending|gpu_operation_mode.pending = [N/A]
fan.speed [%] = [N/A]
clocks_event_reasons.supported|clocks_throttle_reasons.supported = 0x00000000000001FF
clocks_event_reasons.active|clocks_throttle_reasons.active = 0x0000000000000001
clocks_event_reasons.gpu_idle|clocks_throttle_reasons.gpu_idle = Active
clocks_event_reasons.applications_clocks_setting|clocks_throttle_reasons.applications_clocks_setting = Not Active
clocks_event_reasons.sw_power_cap|clocks_throttle_reasons.sw_power_cap = Not Active
clocks_event_reasons.hw_slowdown|clocks_throttle_reasons.hw_slowdown = Not Active
clocks_event_reasons.hw_thermal_slowdown|clocks_throttle_reasons.hw_thermal_slowdown = Not Active
clocks_event_reasons.hw_power_brake_slowdown|clocks_throttle_reasons.hw_power_brake_slowdown = Not Active
clocks_event_reasons.sw_thermal_slowdown|clocks_throttle_reasons.sw_thermal_slowdown = Not Active
clocks_event_reasons.sync_boost|clocks_throttle_reasons.sync_boost = Not Active
compute_mode = Default
utilization.encoder [%] = 0
utilization.decoder [%] = 0
utilization.jpeg [%] = 0
utilization.ofa [%] = 0
encoder.stats.sessionCount = 0
encoder.stats.averageFps = 0
encoder.stats.averageLatency = 0
ecc.mode.current = Enabled
ecc.mode.pending = Enabled
ecc.errors.corrected.volatile.device_memory = 0
ecc.errors.corrected.volatile.dram = 0
ecc.errors.corrected.volatile.sram = 0
ecc.errors.corrected.volatile.total = 0
ecc.errors.corrected.aggregate.device_memory = 0
ecc.errors.corrected.aggregate.dram = 0
ecc.errors.corrected.aggregate.sram = 0
ecc.errors.corrected.aggregate.total = 0
ecc.errors.uncorrected.volatile.device_memory = 0
ecc.errors.uncorrected.volatile.dram = 0
ecc.errors.uncorrected.volatile.sram = 0
ecc.errors.uncorrected.volatile.total = 0
ecc.errors.uncorrected.aggregate.device_memory = 0
ecc.errors.uncorrected.aggregate.dram = 0
ecc.errors.uncorrected.aggregate.sram = 0
ecc.errors.uncorrected.aggregate.total = 0
retired_pages.single_bit_ecc.count|retired_pages.sbe = [N/A]
retired_pages.double_bit.count|retired_pages.dbe = [N/A]
retired_pages.pending = [N/A]
remapped_rows.correctable|remapped_rows.sbe = 0
remapped_rows.uncorrectable|remapped_rows.dbe = 0
remapped_rows.pending = No
remapped_rows.failure = No
power.management = [Requested functionality has been deprecated]
clocks.applications.graphics|clocks.applications.gr [MHz] = [Requested functionality has been deprecated]
clocks.applications.memory|clocks.applications.mem [MHz] = [Requested functionality has been deprecated]
clocks.default_applications.graphics|clocks.default_applications.gr [MHz] = [Requested functionality has been deprecated]
clocks.default_applications.memory|clocks.default_applications.mem [MHz] = [Requested functionality has been deprecated]
gsp.mode.current = Enabled
gsp.mode.default = Enabled
c2c.mode = Disabled
`

func settledColumns() []column {
	var columns []column
	for line := range strings.SplitSeq(strings.TrimSpace(settled), "\n") {
		head, value, _ := strings.Cut(line, " = ")
		head, unit, _ := strings.Cut(head, " [")
		columns = append(columns, column{
			names: strings.Split(head, "|"),
			unit:  strings.TrimSuffix(unit, "]"),
			value: func(*tool, model.Device) string { return value },
		})
	}
	return columns
}

// appColumns are the fields of --query-compute-apps.
var appColumns = []column{
	{names: names("timestamp")},
	{names: names("gpu_name")},
	{names: names("gpu_bus_id")},
	{names: names("gpu_serial")},
	{names: names("gpu_uuid")},
	{names: names("pid")},
	{names: names("process_name", "name")},
	{names: names("used_gpu_memory", "used_memory"), unit: "MiB"},
}
