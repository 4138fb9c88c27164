package nvmlsource

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	nvlib "github.com/NVIDIA/go-nvlib/pkg/nvlib/device"
	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/gpus"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/server"
	"github.com/google/uuid"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/mig"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// Tables returns go-nvml's MIG profiles of the boards that can be simulated,
// as package mig keeps them.
func Tables() (map[string][]mig.Profile, error) {
	all := map[string][]mig.Profile{}
	for name, board := range boards {
		list, err := table(board)
		if err != nil {
			return nil, fmt.Errorf("board %s: %w", name, err)
		}
		if len(list) > 0 {
			all[name] = list
		}
	}
	return all, nil
}

func table(board gpus.Config) ([]mig.Profile, error) {
	var list []mig.Profile
	for _, id := range slices.Sorted(maps.Keys(board.MIGProfiles.GpuInstanceProfiles)) {
		info := board.MIGProfiles.GpuInstanceProfiles[id]
		name, err := profileName(id, info.MemorySizeMB, board.MemoryMB<<20)
		if err != nil {
			return nil, err
		}
		p := mig.Profile{
			Name: name, ID: id, Slices: int(info.SliceCount), MaxInstances: int(info.InstanceCount),
			MemoryMiB: info.MemorySizeMB, Multiprocessors: int(info.MultiprocessorCount),
			Engines: model.Engines{
				Copy: int(info.CopyEngineCount), Decoder: int(info.DecoderCount), Encoder: int(info.EncoderCount),
				JPEG: int(info.JpegCount), OFA: int(info.OfaCount),
			},
		}
		for _, at := range board.MIGProfiles.GpuInstancePlacements[id] {
			p.Placements = append(p.Placements, model.Placement{Start: int(at.Start), Size: int(at.Size)})
		}
		if len(p.Placements) > 0 {
			list = append(list, p)
		}
	}
	slices.SortStableFunc(list, func(a, b mig.Profile) int {
		return cmp.Or(cmp.Compare(a.Slices, b.Slices), cmp.Compare(a.MemoryMiB, b.MemoryMiB), cmp.Compare(a.Name, b.Name))
	})
	return list, nil
}

// wholeInstance is the compute profile that fills a GPU instance, by slices.
var wholeInstance = map[uint32]int{
	1: nvml.COMPUTE_INSTANCE_PROFILE_1_SLICE, 2: nvml.COMPUTE_INSTANCE_PROFILE_2_SLICE, 3: nvml.COMPUTE_INSTANCE_PROFILE_3_SLICE,
	4: nvml.COMPUTE_INSTANCE_PROFILE_4_SLICE, 6: nvml.COMPUTE_INSTANCE_PROFILE_6_SLICE, 7: nvml.COMPUTE_INSTANCE_PROFILE_7_SLICE,
}

// profileName names a GPU instance profile as NVIDIA's tools do: by the eighths
// of the board's memory that it has. A driver keeps some of them back;
// go-nvml's tables do not for all boards, so a little is taken off.
func profileName(id int, memoryMB, boardBytes uint64) (string, error) {
	// Which compute profile does not enter the name when it fills the instance.
	for slices := range wholeInstance {
		p, err := nvlib.New(nil).NewMigProfile(id, wholeInstance[slices], nvml.COMPUTE_INSTANCE_ENGINE_PROFILE_SHARED, memoryMB*97/100, boardBytes)
		if err != nil {
			return "", fmt.Errorf("name MIG profile %d: %w", id, err)
		}
		if info := p.GetInfo(); info.C == info.G {
			return p.String(), nil
		}
	}
	return "", fmt.Errorf("name MIG profile %d: no compute instance fills it", id)
}

// cut makes the instances of a layout on a simulated board, and handles for
// them, which the mock does not have.
func cut(d *server.Device, parent identity, instances []mig.Instance) error {
	if r := must(d.SetMigMode(nvml.DEVICE_MIG_ENABLE)); r != nvml.SUCCESS {
		return call("enable MIG", r)
	}
	var handles []nvml.Device
	byID := map[int]nvml.GpuInstance{}
	for _, want := range instances {
		info, r := d.GetGpuInstanceProfileInfo(want.ID)
		if r != nvml.SUCCESS {
			return call("look up MIG profile "+want.Name, r)
		}
		at := nvml.GpuInstancePlacement{Start: uint32(want.At.Start), Size: uint32(want.At.Size)}
		gi, r := d.CreateGpuInstanceWithPlacement(&info, &at)
		if r != nvml.SUCCESS {
			return call("make a GPU instance "+want.Name, r)
		}
		compute, r := gi.GetComputeInstanceProfileInfo(wholeInstance[info.SliceCount], nvml.COMPUTE_INSTANCE_ENGINE_PROFILE_SHARED)
		if r != nvml.SUCCESS {
			return call("look up the compute profile that fills "+want.Name, r)
		}
		ci, r := gi.CreateComputeInstance(&compute)
		if r != nvml.SUCCESS {
			return call("make a compute instance "+want.Name, r)
		}
		gpuInstance, r := gi.GetInfo()
		if r != nvml.SUCCESS {
			return call("read a GPU instance", r)
		}
		computeInstance, r := ci.GetInfo()
		if r != nvml.SUCCESS {
			return call("read a compute instance", r)
		}
		if g, ok := gi.(*server.GpuInstance); ok {
			g.GetComputeInstanceByIdFunc = func(id int) (nvml.ComputeInstance, nvml.Return) {
				if id != int(computeInstance.Id) {
					return nil, nvml.ERROR_NOT_FOUND
				}
				return ci, nvml.SUCCESS
			}
		}
		byID[int(gpuInstance.Id)] = gi
		handles = append(handles, handle(d, parent, want, len(handles), int(gpuInstance.Id), int(computeInstance.Id)))
	}
	d.GetMaxMigDeviceCountFunc = func() (int, nvml.Return) { return len(handles), nvml.SUCCESS }
	d.GetMigDeviceHandleByIndexFunc = func(i int) (nvml.Device, nvml.Return) {
		if i < 0 || i >= len(handles) {
			return nil, nvml.ERROR_NOT_FOUND
		}
		return handles[i], nvml.SUCCESS
	}
	d.GetGpuInstanceByIdFunc = func(id int) (nvml.GpuInstance, nvml.Return) {
		if gi, ok := byID[id]; ok {
			return gi, nvml.SUCCESS
		}
		return nil, nvml.ERROR_NOT_FOUND
	}
	return nil
}

func must(r, _ nvml.Return) nvml.Return { return r }

// handle is a MIG device as NVML shows it.
func handle(d *server.Device, parent identity, i mig.Instance, index, gpuInstance, computeInstance int) nvml.Device {
	id := uuid.NewSHA1(namespace, fmt.Appendf(nil, "%s/%s@%d", parent.uuid, i.Name, i.At.Start))
	h := &mock.Device{}
	h.IsMigDeviceHandleFunc = func() (bool, nvml.Return) { return true, nvml.SUCCESS }
	h.GetUUIDFunc = func() (string, nvml.Return) { return "MIG-" + id.String(), nvml.SUCCESS }
	h.GetNameFunc = func() (string, nvml.Return) { return d.Config.Name + " MIG " + i.Name, nvml.SUCCESS }
	h.GetIndexFunc = func() (int, nvml.Return) { return index, nvml.SUCCESS }
	h.GetGpuInstanceIdFunc = func() (int, nvml.Return) { return gpuInstance, nvml.SUCCESS }
	h.GetComputeInstanceIdFunc = func() (int, nvml.Return) { return computeInstance, nvml.SUCCESS }
	h.GetDeviceHandleFromMigDeviceHandleFunc = func() (nvml.Device, nvml.Return) { return d, nvml.SUCCESS }
	h.GetMemoryInfoFunc = func() (nvml.Memory, nvml.Return) {
		return nvml.Memory{Total: i.MemoryMiB << 20, Free: i.MemoryMiB << 20}, nvml.SUCCESS
	}
	h.GetAttributesFunc = func() (nvml.DeviceAttributes, nvml.Return) {
		return nvml.DeviceAttributes{
			MultiprocessorCount: uint32(i.Multiprocessors), SharedCopyEngineCount: uint32(i.Engines.Copy), SharedDecoderCount: uint32(i.Engines.Decoder),
			SharedEncoderCount: uint32(i.Engines.Encoder), SharedJpegCount: uint32(i.Engines.JPEG), SharedOfaCount: uint32(i.Engines.OFA),
			GpuInstanceSliceCount: uint32(i.Slices), ComputeInstanceSliceCount: uint32(i.Slices), MemorySizeMB: i.MemoryMiB,
		}, nvml.SUCCESS
	}
	fill(h)
	return h
}

// migDevices reads the MIG devices of a GPU, in the order of their places.
func migDevices(h nvml.Device, boardBytes uint64) ([]model.MIGDevice, error) {
	most, r := h.GetMaxMigDeviceCount()
	if r != nvml.SUCCESS {
		return nil, call("count MIG devices", r)
	}
	var list []model.MIGDevice
	for i := range most {
		m, r := h.GetMigDeviceHandleByIndex(i)
		if r == nvml.ERROR_NOT_FOUND { // there may be fewer
			continue
		}
		if r != nvml.SUCCESS {
			return nil, call(fmt.Sprintf("open MIG device %d", i), r)
		}
		d, err := migDevice(h, m, boardBytes)
		if err != nil {
			return nil, fmt.Errorf("MIG device %d: %w", i, err)
		}
		list = append(list, d)
	}
	slices.SortStableFunc(list, func(a, b model.MIGDevice) int { return cmp.Compare(a.Placement.Start, b.Placement.Start) })
	return list, nil
}

func migDevice(parent, m nvml.Device, boardBytes uint64) (d model.MIGDevice, err error) {
	var r nvml.Return
	if d.UUID, r = m.GetUUID(); r != nvml.SUCCESS {
		return d, call("read the UUID", r)
	}
	if d.GPUInstance, r = m.GetGpuInstanceId(); r != nvml.SUCCESS {
		return d, call("read the GPU instance", r)
	}
	if d.ComputeInstance, r = m.GetComputeInstanceId(); r != nvml.SUCCESS {
		return d, call("read the compute instance", r)
	}
	a, r := m.GetAttributes()
	if r != nvml.SUCCESS {
		return d, call("read the attributes", r)
	}
	d.MemoryBytes, d.Multiprocessors = a.MemorySizeMB<<20, int(a.MultiprocessorCount)
	d.GPUSlices, d.ComputeSlices = int(a.GpuInstanceSliceCount), int(a.ComputeInstanceSliceCount)
	d.Engines = model.Engines{
		Copy: int(a.SharedCopyEngineCount), Decoder: int(a.SharedDecoderCount), Encoder: int(a.SharedEncoderCount),
		JPEG: int(a.SharedJpegCount), OFA: int(a.SharedOfaCount),
	}
	d.UsedMemoryBytes = optional(m.GetMemoryInfo()).Used
	gi, r := parent.GetGpuInstanceById(d.GPUInstance)
	if r != nvml.SUCCESS {
		return d, call("open the GPU instance", r)
	}
	info, r := gi.GetInfo()
	if r != nvml.SUCCESS {
		return d, call("read the GPU instance", r)
	}
	d.Placement = model.Placement{Start: int(info.Placement.Start), Size: int(info.Placement.Size)}
	index, err := profileIndex(parent, info.ProfileId)
	if err != nil {
		return d, err
	}
	d.Profile, err = profileName(index, a.MemorySizeMB, boardBytes)
	return d, err
}

// profileIndex returns the number that NVML's calls know a profile by. The one
// that an instance has is the board's own: 19 for the first on many boards.
func profileIndex(board nvml.Device, id uint32) (int, error) {
	for i := range nvml.GPU_INSTANCE_PROFILE_COUNT {
		if info, r := board.GetGpuInstanceProfileInfo(i); r == nvml.SUCCESS && info.Id == id {
			return i, nil
		}
	}
	return 0, call(fmt.Sprintf("look up MIG profile %d", id), nvml.ERROR_NOT_FOUND)
}
