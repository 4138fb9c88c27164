package metrics

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// field is a counter of the exporter.
type field struct {
	name, kind, help string
	value            func(sample) string
	shown            func(sample) bool // nil: of every board
	lost             bool              // of one that is lost too
}

const (
	gauge   = "gauge"
	counter = "counter"
)

// pcieRate is what a busy GPU reads over the bus, in bytes a second: a number
// that rises with the work, no more.
const pcieRate = 1 << 30

// fields are the exporter's, in its order. What a simulated GPU cannot have,
// such as replays on its bus, is 0.
var fields = []field{
	{"DCGM_FI_DEV_SM_CLOCK", gauge, "SM clock frequency (in MHz).", number(func(s sample) int { return s.d.GraphicsClock }), nil, false},
	{"DCGM_FI_DEV_MEM_CLOCK", gauge, "Memory clock frequency (in MHz).", number(func(s sample) int { return s.d.MemoryClock }), nil, false},
	{"DCGM_FI_DEV_MEMORY_TEMP", gauge, "Memory temperature (in C).", number(func(s sample) int { return s.d.MemoryTemperature }), memorySensor, false},
	{"DCGM_FI_DEV_GPU_TEMP", gauge, "GPU temperature (in C).", number(func(s sample) int { return s.d.Temperature }), nil, false},
	{"DCGM_FI_DEV_POWER_USAGE", gauge, "Power draw (in W).", ratio(func(s sample) float64 { return float64(s.d.PowerMilliwatts) / 1000 }), nil, false},
	{"DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION", counter, "Total energy consumption since boot (in mJ).", func(s sample) string { return strconv.FormatUint(s.energy, 10) }, nil, false},
	{"DCGM_FI_DEV_PCIE_REPLAY_COUNTER", counter, "Total number of PCIe retries.", zero, nil, false},
	{"DCGM_FI_DEV_GPU_UTIL", gauge, "GPU utilization (in %).", number(func(s sample) int { return s.d.Utilization }), whole, false},
	{"DCGM_FI_DEV_MEM_COPY_UTIL", gauge, "Memory utilization (in %).", number(func(s sample) int { return s.d.MemoryUtilization }), whole, false},
	{"DCGM_FI_DEV_ENC_UTIL", gauge, "Encoder utilization (in %).", zero, whole, false},
	{"DCGM_FI_DEV_DEC_UTIL", gauge, "Decoder utilization (in %).", zero, whole, false},
	{"DCGM_FI_DEV_XID_ERRORS", gauge, "Value of the last XID error encountered.", number(func(s sample) int { return s.d.Fault.XID }), nil, true},
	{"DCGM_FI_DEV_FB_FREE", gauge, "Framebuffer memory free (in MiB).", memory(free), hasMemory, false},
	{"DCGM_FI_DEV_FB_USED", gauge, "Framebuffer memory used (in MiB).", memory(used), hasMemory, false},
	{"DCGM_FI_DEV_NVLINK_BANDWIDTH_TOTAL", counter, "Total number of NVLink bandwidth counters for all lanes.", zero, nil, false},
	{"DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS", counter, "Number of remapped rows for uncorrectable errors", number(func(s sample) int { return s.d.Fault.ECC.Uncorrected }), remapsRows, false},
	{"DCGM_FI_DEV_CORRECTABLE_REMAPPED_ROWS", counter, "Number of remapped rows for correctable errors", number(func(s sample) int { return s.d.Fault.ECC.Corrected }), remapsRows, false},
	{"DCGM_FI_DEV_ROW_REMAP_FAILURE", gauge, "Whether remapping of rows has failed", number(remapFailed), remapsRows, false},
	{"DCGM_FI_PROF_GR_ENGINE_ACTIVE", gauge, "Ratio of time the graphics engine is active (in %).", ratio(sample.active), nil, false},
	{"DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", gauge, "Ratio of cycles the tensor (HMMA) pipe is active (in %).", ratio(func(s sample) float64 { return s.active() / 2 }), nil, false},
	{"DCGM_FI_PROF_DRAM_ACTIVE", gauge, "Ratio of cycles the device memory interface is active sending or receiving data (in %).", ratio(func(s sample) float64 { return s.active() / 2 }), nil, false},
	{"DCGM_FI_PROF_PCIE_TX_BYTES", gauge, "The rate of data transmitted over the PCIe bus - including both protocol headers and data payloads - in bytes per second.", number(func(s sample) int { return int(pcieRate / 4 * s.active()) }), notInstance, false},
	{"DCGM_FI_PROF_PCIE_RX_BYTES", gauge, "The rate of data received over the PCIe bus - including both protocol headers and data payloads - in bytes per second.", number(func(s sample) int { return int(pcieRate * s.active()) }), notInstance, false},
}

// Which boards have which counters, as pages of real nodes show them.

func memorySensor(s sample) bool { return s.d.MemoryTemperature > 0 }
func whole(s sample) bool        { return !s.cut() }
func hasMemory(s sample) bool    { return !s.cut() || s.m != nil }
func notInstance(s sample) bool  { return s.m == nil }

// remapsRows is for boards from Ampere on.
func remapsRows(s sample) bool {
	return !s.cut() && !slices.Contains([]string{"kepler", "maxwell", "pascal", "volta", "turing"}, s.d.Architecture)
}

// remapFailedXID is the XID that says so.
const remapFailedXID = 64

func remapFailed(s sample) int {
	if s.d.Fault.XID == remapFailedXID {
		return 1
	}
	return 0
}

func free(s sample) uint64 {
	if s.m != nil {
		return s.m.MemoryBytes - s.m.UsedMemoryBytes
	}
	return s.d.FreeMemoryBytes()
}

func used(s sample) uint64 {
	if s.m != nil {
		return s.m.UsedMemoryBytes
	}
	return s.d.UsedMemoryBytes
}

func zero(sample) string { return "0" }

func number(f func(sample) int) func(sample) string {
	return func(s sample) string { return strconv.Itoa(f(s)) }
}

func memory(f func(sample) uint64) func(sample) string {
	return func(s sample) string { return strconv.FormatUint(model.MiB(f(s)), 10) }
}

func ratio(f func(sample) float64) func(sample) string {
	return func(s sample) string { return fmt.Sprintf("%.6f", f(s)) }
}
