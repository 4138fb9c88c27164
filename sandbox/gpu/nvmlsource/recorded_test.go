package nvmlsource

import (
	"fmt"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock"
)

// board is a GPU as a driver answers for it. What is not set is refused, as
// drivers refuse what a board lacks or they are too old for.
type board struct {
	uuid, name, busID string
	memory            nvml.Memory
	reserved          uint64 // 0: the driver has no second version of the call
	major, minor      int
	architecture      nvml.DeviceArchitecture
	serial            string // "": not supported, as on consumer boards
	temperature       uint32
	instances         []instance // nil: no MIG
	profiles          map[int]nvml.GpuInstanceProfileInfo
}

// instance is a MIG device.
type instance struct {
	uuid       string
	profileID  uint32 // the board's own
	gi         int
	placement  nvml.GpuInstancePlacement
	attributes nvml.DeviceAttributes
}

// recorded are machines as their tools' output shows them: two T4 under
// 515.105.01, and an A100 of which four instances were made, under 470.82.01
// (captures of nvidia-smi and Node objects; identities are made up).
var recorded = map[string]struct {
	driver, nvml string
	cuda         int
	boards       []board
}{
	"two T4": {"515.105.01", "11.515.105.01", 11070, []board{
		{
			uuid: "GPU-d37a67e1-71a3-a8a6-19f5-000000000001", name: "Tesla T4", busID: "00000000:00:04.0", serial: "1322720000001",
			memory: nvml.Memory{Total: 15360 << 20, Free: 14910 << 20, Used: 450 << 20}, reserved: 450 << 20,
			major: 7, minor: 5, architecture: nvml.DEVICE_ARCH_TURING, temperature: 40,
		},
		{
			uuid: "GPU-d37a67e1-71a3-a8a6-19f5-000000000002", name: "Tesla T4", busID: "00000000:00:05.0",
			memory: nvml.Memory{Total: 15360 << 20, Free: 15356 << 20, Used: 4 << 20},
			major:  7, minor: 5, architecture: nvml.DEVICE_ARCH_TURING, temperature: 38,
		},
	}},
	"an A100 with four instances": {"470.82.01", "11.470.82.01", 11040, []board{{
		uuid: "GPU-5c89852c-d268-c3f3-1b07-000000000003", name: "NVIDIA A100-SXM4-40GB", busID: "00000000:00:04.0", serial: "1324421000003",
		memory: nvml.Memory{Total: 40536 << 20, Free: 40500 << 20, Used: 36 << 20},
		major:  8, minor: 0, architecture: nvml.DEVICE_ARCH_AMPERE, temperature: 31,
		profiles: map[int]nvml.GpuInstanceProfileInfo{
			nvml.GPU_INSTANCE_PROFILE_1_SLICE: {Id: 19, SliceCount: 1, InstanceCount: 7, MultiprocessorCount: 14, MemorySizeMB: 4864},
			nvml.GPU_INSTANCE_PROFILE_2_SLICE: {Id: 14, SliceCount: 2, InstanceCount: 3, MultiprocessorCount: 28, MemorySizeMB: 9856},
			nvml.GPU_INSTANCE_PROFILE_3_SLICE: {Id: 9, SliceCount: 3, InstanceCount: 2, MultiprocessorCount: 42, MemorySizeMB: 20096},
			nvml.GPU_INSTANCE_PROFILE_7_SLICE: {Id: 0, SliceCount: 7, InstanceCount: 1, MultiprocessorCount: 98, MemorySizeMB: 40192},
		},
		instances: []instance{
			// NVML does not list them by their places.
			{"MIG-0c757cd7-e942-5726-a0b8-000000000004", 19, 9, nvml.GpuInstancePlacement{Start: 2, Size: 1}, attributes(1, 14, 4864)},
			{"MIG-0c757cd7-e942-5726-a0b8-000000000005", 9, 1, nvml.GpuInstancePlacement{Start: 4, Size: 4}, attributes(3, 42, 20096)},
			{"MIG-0c757cd7-e942-5726-a0b8-000000000006", 14, 5, nvml.GpuInstancePlacement{Start: 0, Size: 2}, attributes(2, 28, 9856)},
			{"MIG-0c757cd7-e942-5726-a0b8-000000000007", 19, 10, nvml.GpuInstancePlacement{Start: 3, Size: 1}, attributes(1, 14, 4864)},
		},
	}}},
}

func attributes(slices, multiprocessors uint32, memoryMB uint64) nvml.DeviceAttributes {
	return nvml.DeviceAttributes{
		MultiprocessorCount: multiprocessors, SharedCopyEngineCount: slices, GpuInstanceSliceCount: slices, ComputeInstanceSliceCount: slices, MemorySizeMB: memoryMB,
	}
}

// replay answers as the recorded machine did.
func replay(name string) nvml.Interface {
	r := recorded[name]
	lib := &mock.Interface{}
	var devices []nvml.Device
	byUUID := map[string]nvml.Device{}
	for i, b := range r.boards {
		d := b.device(i, byUUID)
		devices = append(devices, d)
		byUUID[b.uuid] = d
	}
	loaded := 0
	lib.InitFunc = func() nvml.Return { loaded++; return nvml.SUCCESS }
	lib.ShutdownFunc = func() nvml.Return {
		if loaded == 0 {
			return nvml.ERROR_UNINITIALIZED
		}
		loaded--
		return nvml.SUCCESS
	}
	lib.SystemGetDriverVersionFunc = func() (string, nvml.Return) { return r.driver, nvml.SUCCESS }
	lib.SystemGetNVMLVersionFunc = func() (string, nvml.Return) { return r.nvml, nvml.SUCCESS }
	lib.SystemGetCudaDriverVersionFunc = func() (int, nvml.Return) { return r.cuda, nvml.SUCCESS }
	lib.DeviceGetCountFunc = func() (int, nvml.Return) { return len(devices), nvml.SUCCESS }
	lib.DeviceGetHandleByIndexFunc = func(i int) (nvml.Device, nvml.Return) {
		if i < 0 || i >= len(devices) {
			return nil, nvml.ERROR_INVALID_ARGUMENT
		}
		return devices[i], nvml.SUCCESS
	}
	lib.DeviceGetHandleByUUIDFunc = func(uuid string) (nvml.Device, nvml.Return) {
		if d, ok := byUUID[uuid]; ok {
			return d, nvml.SUCCESS
		}
		return nil, nvml.ERROR_NOT_FOUND
	}
	fill(lib)
	return lib
}

func (b board) device(index int, byUUID map[string]nvml.Device) nvml.Device {
	d := &mock.Device{}
	defer fill(d)
	d.GetIndexFunc = func() (int, nvml.Return) { return index, nvml.SUCCESS }
	d.GetUUIDFunc = func() (string, nvml.Return) { return b.uuid, nvml.SUCCESS }
	d.GetNameFunc = func() (string, nvml.Return) { return b.name, nvml.SUCCESS }
	d.GetMinorNumberFunc = func() (int, nvml.Return) { return index, nvml.SUCCESS }
	d.GetCudaComputeCapabilityFunc = func() (int, int, nvml.Return) { return b.major, b.minor, nvml.SUCCESS }
	d.GetArchitectureFunc = func() (nvml.DeviceArchitecture, nvml.Return) { return b.architecture, nvml.SUCCESS }
	d.GetMemoryInfoFunc = func() (nvml.Memory, nvml.Return) { return b.memory, nvml.SUCCESS }
	d.GetTemperatureFunc = func(nvml.TemperatureSensors) (uint32, nvml.Return) { return b.temperature, nvml.SUCCESS }
	d.GetPciInfoFunc = func() (nvml.PciInfo, nvml.Return) {
		info := nvml.PciInfo{}
		for i, c := range []byte(b.busID) {
			info.BusId[i] = int8(c)
		}
		return info, nvml.SUCCESS
	}
	if b.reserved > 0 {
		d.GetMemoryInfo_v2Func = func() (nvml.Memory_v2, nvml.Return) {
			return nvml.Memory_v2{Total: b.memory.Total, Reserved: b.reserved, Free: b.memory.Free, Used: b.memory.Used - b.reserved}, nvml.SUCCESS
		}
	}
	if b.serial != "" {
		d.GetSerialFunc = func() (string, nvml.Return) { return b.serial, nvml.SUCCESS }
	}
	d.IsMigDeviceHandleFunc = func() (bool, nvml.Return) { return false, nvml.SUCCESS }
	if b.profiles != nil {
		b.cut(d, byUUID)
	}
	return d
}

// cut adds what a board with MIG answers.
func (b board) cut(d *mock.Device, byUUID map[string]nvml.Device) {
	d.GetMigModeFunc = func() (int, int, nvml.Return) {
		return nvml.DEVICE_MIG_ENABLE, nvml.DEVICE_MIG_ENABLE, nvml.SUCCESS
	}
	d.GetGpuInstanceProfileInfoFunc = func(i int) (nvml.GpuInstanceProfileInfo, nvml.Return) {
		if info, ok := b.profiles[i]; ok {
			return info, nvml.SUCCESS
		}
		return nvml.GpuInstanceProfileInfo{}, nvml.ERROR_NOT_SUPPORTED
	}
	// A board answers with the most it could have, and not how many there are.
	d.GetMaxMigDeviceCountFunc = func() (int, nvml.Return) { return 7, nvml.SUCCESS }
	handles := map[int]nvml.Device{}
	for i, in := range b.instances {
		h := &mock.Device{}
		h.GetIndexFunc = func() (int, nvml.Return) { return i, nvml.SUCCESS }
		h.IsMigDeviceHandleFunc = func() (bool, nvml.Return) { return true, nvml.SUCCESS }
		h.GetUUIDFunc = func() (string, nvml.Return) { return in.uuid, nvml.SUCCESS }
		h.GetNameFunc = func() (string, nvml.Return) { return fmt.Sprintf("%s MIG", b.name), nvml.SUCCESS }
		h.GetGpuInstanceIdFunc = func() (int, nvml.Return) { return in.gi, nvml.SUCCESS }
		h.GetComputeInstanceIdFunc = func() (int, nvml.Return) { return 0, nvml.SUCCESS }
		h.GetAttributesFunc = func() (nvml.DeviceAttributes, nvml.Return) { return in.attributes, nvml.SUCCESS }
		h.GetDeviceHandleFromMigDeviceHandleFunc = func() (nvml.Device, nvml.Return) { return d, nvml.SUCCESS }
		fill(h)
		handles[i], byUUID[in.uuid] = h, h
	}
	d.GetMigDeviceHandleByIndexFunc = func(i int) (nvml.Device, nvml.Return) {
		if h, ok := handles[i]; ok {
			return h, nvml.SUCCESS
		}
		return nil, nvml.ERROR_NOT_FOUND
	}
	d.GetGpuInstanceByIdFunc = func(id int) (nvml.GpuInstance, nvml.Return) {
		for _, in := range b.instances {
			if in.gi == id {
				gi := &mock.GpuInstance{}
				gi.GetInfoFunc = func() (nvml.GpuInstanceInfo, nvml.Return) {
					return nvml.GpuInstanceInfo{Device: d, Id: uint32(id), ProfileId: in.profileID, Placement: in.placement}, nvml.SUCCESS
				}
				fill(gi)
				return gi, nvml.SUCCESS
			}
		}
		return nil, nvml.ERROR_NOT_FOUND
	}
}
