package nvmlsource

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// Snapshot reads the GPUs that NVML shows. What identifies a GPU must be
// answered; a reading that the hardware does not have stays 0.
func Snapshot(lib nvml.Interface) (state model.State, err error) {
	if r := lib.Init(); r != nvml.SUCCESS {
		return state, call("initialise NVML", r)
	}
	defer func() { err = errors.Join(err, call("shut NVML down", lib.Shutdown())) }()

	var r nvml.Return
	if state.DriverVersion, r = lib.SystemGetDriverVersion(); r != nvml.SUCCESS {
		return state, call("read the driver version", r)
	}
	if state.NVMLVersion, r = lib.SystemGetNVMLVersion(); r != nvml.SUCCESS {
		return state, call("read the NVML version", r)
	}
	cuda, r := lib.SystemGetCudaDriverVersion()
	if r != nvml.SUCCESS {
		return state, call("read the CUDA version", r)
	}
	state.CUDAVersion = fmt.Sprintf("%d.%d", cuda/1000, cuda%1000/10)
	count, r := lib.DeviceGetCount()
	if r != nvml.SUCCESS {
		return state, call("count GPUs", r)
	}
	for i := range count {
		handle, r := lib.DeviceGetHandleByIndex(i)
		if r != nvml.SUCCESS {
			return state, call(fmt.Sprintf("open GPU %d", i), r)
		}
		d, err := device(handle)
		if err != nil {
			return state, fmt.Errorf("GPU %d: %w", i, err)
		}
		d.Index = i
		state.Devices = append(state.Devices, d)
	}
	return state, nil
}

// ReturnError is a call that NVML refused.
type ReturnError struct {
	Action string
	Return nvml.Return
}

func (e *ReturnError) Error() string {
	return fmt.Sprintf("%s: NVML return %d", e.Action, int(e.Return))
}

func call(action string, r nvml.Return) error {
	if r == nvml.SUCCESS {
		return nil
	}
	return &ReturnError{Action: action, Return: r}
}

func device(h nvml.Device) (model.Device, error) {
	var (
		d    model.Device
		errs []error
	)
	must := func(action string, r nvml.Return) { errs = append(errs, call(action, r)) }
	var r nvml.Return
	d.UUID, r = h.GetUUID()
	must("read the UUID", r)
	d.Name, r = h.GetName()
	must("read the name", r)
	d.Minor, r = h.GetMinorNumber()
	must("read the minor number", r)
	pci, r := h.GetPciInfo()
	must("read the PCI address", r)
	d.PCIBusID, d.PCIDeviceID = cString(pci.BusId[:]), pci.PciDeviceId
	major, minor, r := h.GetCudaComputeCapability()
	must("read the compute capability", r)
	d.ComputeCapability = fmt.Sprintf("%d.%d", major, minor)
	memory, r := h.GetMemoryInfo()
	must("read the memory", r)
	d.MemoryBytes, d.UsedMemoryBytes = memory.Total, memory.Used
	if detail, r := h.GetMemoryInfo_v2(); r == nvml.SUCCESS {
		d.ReservedMemoryBytes, d.UsedMemoryBytes = detail.Reserved, detail.Used
	}
	if err := errors.Join(errs...); err != nil {
		return d, err
	}
	readings(h, &d)
	if d.MIGEnabled {
		var err error
		if d.MIG, err = migDevices(h, d.MemoryBytes); err != nil {
			return d, err
		}
	}
	return d, nil
}

// readings adds what a board may lack.
func readings(h nvml.Device, d *model.Device) {
	d.Serial = optional(h.GetSerial())
	d.Architecture = families[optional(h.GetArchitecture())]
	rates := optional(h.GetUtilizationRates())
	d.Utilization, d.MemoryUtilization = int(rates.Gpu), int(rates.Memory)
	d.Temperature = int(optional(h.GetTemperature(nvml.TEMPERATURE_GPU)))
	d.MemoryTemperature = memoryTemperature(h)
	d.PowerMilliwatts = int(optional(h.GetPowerUsage()))
	d.PowerLimit = int(optional(h.GetEnforcedPowerLimit()))
	if least, _, r := h.GetPowerManagementLimitConstraints(); r == nvml.SUCCESS {
		d.MinPowerLimit = int(least)
	}
	d.GraphicsClock = int(optional(h.GetClockInfo(nvml.CLOCK_GRAPHICS)))
	d.MemoryClock = int(optional(h.GetClockInfo(nvml.CLOCK_MEM)))
	d.VideoClock = int(optional(h.GetClockInfo(nvml.CLOCK_VIDEO)))
	d.MaxGraphicsClock = int(optional(h.GetMaxClockInfo(nvml.CLOCK_GRAPHICS)))
	d.MaxMemoryClock = int(optional(h.GetMaxClockInfo(nvml.CLOCK_MEM)))
	d.PCIeGeneration = optional(h.GetMaxPcieLinkGeneration())
	d.PCIeWidth = optional(h.GetMaxPcieLinkWidth())
	d.PerformanceState = int(optional(h.GetPerformanceState()))
	d.PersistenceEnabled = optional(h.GetPersistenceMode()) == nvml.FEATURE_ENABLED
	if mode, _, r := h.GetMigMode(); r == nvml.SUCCESS {
		d.MIGCapable, d.MIGEnabled = true, mode == nvml.DEVICE_MIG_ENABLE
	}
}

// families are the names that GPU feature discovery gives architectures.
var families = map[nvml.DeviceArchitecture]string{
	nvml.DEVICE_ARCH_KEPLER:    "kepler",
	nvml.DEVICE_ARCH_MAXWELL:   "maxwell",
	nvml.DEVICE_ARCH_PASCAL:    "pascal",
	nvml.DEVICE_ARCH_VOLTA:     "volta",
	nvml.DEVICE_ARCH_TURING:    "turing",
	nvml.DEVICE_ARCH_AMPERE:    "ampere",
	nvml.DEVICE_ARCH_ADA:       "ada-lovelace",
	nvml.DEVICE_ARCH_HOPPER:    "hopper",
	nvml.DEVICE_ARCH_BLACKWELL: "blackwell",
}

// optional drops the answer of a call that the board refuses.
func optional[T any](value T, r nvml.Return) T {
	if r != nvml.SUCCESS {
		var none T
		return none
	}
	return value
}

func memoryTemperature(h nvml.Device) int {
	values := []nvml.FieldValue{{FieldId: nvml.FI_DEV_MEMORY_TEMP}}
	if r := h.GetFieldValues(values); r != nvml.SUCCESS || nvml.Return(values[0].NvmlReturn) != nvml.SUCCESS {
		return 0
	}
	return int(binary.NativeEndian.Uint32(values[0].Value[:]))
}

func cString(s []int8) string {
	out := make([]byte, 0, len(s))
	for _, c := range s {
		if c == 0 {
			break
		}
		out = append(out, byte(c))
	}
	return string(out)
}
