// Package nvmlsource provides GPUs as NVML shows them (nvml.Interface), and
// takes a model.State from any such source. Simulated GPUs are go-nvml's own
// model of the hardware (pkg/nvml/mock/server), made complete in three ways:
// identities are stable instead of random, memory and readings are those of
// an idle board, and calls that the mock does not have are refused as a real
// driver refuses what it does not know, instead of a panic.
//
// go-nvml needs cgo, its mock too; only ai-gpu may import this package.
// The mock keeps the arguments of every call for ever, so a long-running
// program takes its State once and then lets go of the source.
package nvmlsource

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/gpus"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock/server"
	"github.com/google/uuid"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/spec"
)

// boards are go-nvml's models of the hardware, by profile.
var boards = map[string]gpus.Config{
	"h100":    gpus.H100_SXM5_80GB,
	"h200":    gpus.H200_SXM5_141GB,
	"b200":    gpus.B200_SXM5_180GB,
	"a100-40": gpus.A100_SXM4_40GB,
	"a100-80": gpus.A100_SXM4_80GB,
	"a30":     gpus.A30_PCIE_24GB,
}

// Simulate returns the simulated GPUs of a node. The same node gets the same
// GPUs, identities included. It returns what spec.GPUs.Check does.
func Simulate(o spec.Node) (nvml.Interface, error) {
	profile, err := o.GPUs.Board()
	if err != nil {
		return nil, err
	}
	if err := o.GPUs.Check(); err != nil {
		return nil, err
	}
	if err := model.CheckCount(o.GPUs.Count); err != nil {
		return nil, err
	}
	board, err := boardOf(profile)
	if err != nil {
		return nil, err
	}
	version, cuda := cmp.Or(profile.Driver, model.DefaultDriver), cmp.Or(profile.CUDA, model.DefaultCUDA)
	major, minor, _ := strings.Cut(cuda, ".")
	number, err := strconv.Atoi(major + "0" + minor + "0")
	if err != nil {
		return nil, fmt.Errorf("CUDA version %s: %w", cuda, err)
	}
	s, err := server.New(
		server.WithGPUs(gpus.Multiple(o.GPUs.Count, board)...),
		server.WithDriverVersion(version),
		server.WithNVMLVersion(major+"."+version),
		server.WithCUDADriverVersion(number),
	)
	if err != nil {
		return nil, fmt.Errorf("simulate %d × %s: %w", o.GPUs.Count, profile.Name, err)
	}
	s.ErrorStringFunc = func(r nvml.Return) string { return "NVML return " + fmt.Sprint(int(r)) }
	s.DeviceGetHandleByUUIDFunc = byUUID(s)
	fill(&s.Interface, &s.ExtendedInterface)
	for i, handle := range s.Devices {
		d, id := handle.(*server.Device), identify(o, i)
		complete(d, profile, id)
		if o.GPUs.MIG.Empty() {
			continue
		}
		instances, err := o.GPUs.MIG.Place(profile.Name, i)
		if err != nil {
			return nil, err
		}
		if len(instances) == 0 {
			continue
		}
		if err := cut(d, id, instances); err != nil {
			return nil, fmt.Errorf("cut GPU %d: %w", i, err)
		}
	}
	return s, nil
}

// byUUID finds GPUs and, which the mock does not, MIG devices.
func byUUID(s *server.Server) func(string) (nvml.Device, nvml.Return) {
	return func(id string) (nvml.Device, nvml.Return) {
		for _, d := range s.Devices {
			if uuid, _ := d.GetUUID(); uuid == id {
				return d, nvml.SUCCESS
			}
			most, _ := d.GetMaxMigDeviceCount()
			for i := range most {
				m, r := d.GetMigDeviceHandleByIndex(i)
				if r != nvml.SUCCESS {
					continue
				}
				if uuid, _ := m.GetUUID(); uuid == id {
					return m, nvml.SUCCESS
				}
			}
		}
		return nil, nvml.ERROR_NOT_FOUND
	}
}

// Simulated returns the state of the simulated GPUs of a node. The source is
// let go: it would keep every call that it has ever answered.
func Simulated(node spec.Node) (model.State, error) {
	source, err := Simulate(node)
	if err != nil {
		return model.State{}, err
	}
	state, err := Snapshot(source)
	if err != nil {
		return model.State{}, err
	}
	board, err := node.GPUs.Board()
	if err != nil {
		return model.State{}, err
	}
	state.Cluster, state.Node, state.Profile, state.Simulated = node.Cluster, node.Name, board.Name, true
	for i := range state.Devices {
		state.Devices[i].NVLinkGroup = board.NVLinkGroup
	}
	return state, nil
}

// boardOf returns NVML's model of a board, made from the profile where NVML has
// none.
func boardOf(p model.Profile) (gpus.Config, error) {
	board, ok := boards[p.Name]
	if !ok || p.ComputeCap != "" {
		board = gpus.Config{Brand: nvml.BRAND_NVIDIA, PciDeviceId: p.PCIDeviceID}
		if _, err := fmt.Sscanf(p.ComputeCap, "%d.%d", &board.CudaMajor, &board.CudaMinor); err != nil {
			return board, fmt.Errorf("simulate profile %s: compute capability %q: %w", p.Name, p.ComputeCap, err)
		}
		for architecture, family := range families {
			if family == p.Architecture {
				board.Architecture = architecture
			}
		}
	}
	board.Name, board.MemoryMB = p.Product, p.MemoryMiB
	return board, nil
}

// identity is what makes a board this one.
type identity struct {
	uuid   string
	serial string
	bus    uint32
	busID  string
}

var namespace = uuid.NewSHA1(uuid.NameSpaceDNS, []byte("gpu.kubectl-ai.dev"))

// identify derives a board's identity from where it is, so that it stays the
// same when the agent or the node is started again.
func identify(o spec.Node, index int) identity {
	id := uuid.NewSHA1(namespace, fmt.Appendf(nil, "%s/%s/%d", o.Cluster, o.Name, index))
	// Boards lie apart on the bus, as behind switches; 64 of them fit.
	bus := uint32(0x1b + 3*index)
	return identity{
		uuid: "GPU-" + id.String(),
		// Thirteen digits as on boards of this kind; the 1 keeps the width.
		serial: fmt.Sprintf("1%012d", binary.BigEndian.Uint64(id[8:])%1e12),
		bus:    bus,
		busID:  fmt.Sprintf("00000000:%02X:00.0", bus),
	}
}

// complete makes a mock device answer as an idle board.
func complete(d *server.Device, p model.Profile, id identity) {
	d.UUID, d.PciBusID = id.uuid, id.busID
	reserved := p.ReservedKiB << 10
	d.MemoryInfo.Used = reserved // the first version of the call counts it as used
	d.MemoryInfo.Free = d.MemoryInfo.Total - reserved

	d.IsMigDeviceHandleFunc = func() (bool, nvml.Return) { return false, nvml.SUCCESS }
	d.GetSerialFunc = func() (string, nvml.Return) { return id.serial, nvml.SUCCESS }
	d.GetPciInfoFunc = func() (nvml.PciInfo, nvml.Return) {
		info := nvml.PciInfo{Bus: id.bus, PciDeviceId: d.Config.PciDeviceId}
		for i, c := range []byte(id.busID) {
			info.BusId[i] = int8(c)
		}
		for i, c := range []byte(id.busID[4:]) { // the older form has a short domain
			info.BusIdLegacy[i] = int8(c)
		}
		return info, nvml.SUCCESS
	}
	d.GetMemoryInfo_v2Func = func() (nvml.Memory_v2, nvml.Return) {
		return nvml.Memory_v2{Total: d.MemoryInfo.Total, Reserved: reserved, Free: d.MemoryInfo.Free}, nvml.SUCCESS
	}
	d.GetUtilizationRatesFunc = func() (nvml.Utilization, nvml.Return) { return nvml.Utilization{}, nvml.SUCCESS }
	d.GetPerformanceStateFunc = func() (nvml.Pstates, nvml.Return) { return nvml.PSTATE_0, nvml.SUCCESS }
	d.GetPersistenceModeFunc = func() (nvml.EnableState, nvml.Return) { return nvml.FEATURE_ENABLED, nvml.SUCCESS }
	d.GetMaxPcieLinkGenerationFunc = func() (int, nvml.Return) { return p.PCIeGen, nvml.SUCCESS }
	d.GetMaxPcieLinkWidthFunc = func() (int, nvml.Return) { return 16, nvml.SUCCESS }
	completeReadings(d, p)
	if len(d.Config.MIGProfiles.GpuInstanceProfiles) == 0 {
		d.GetMigModeFunc = nil // refused: the board cannot
	}
	completeMIG(d)
	fill(&d.Device)
}

// completeReadings adds power, temperatures and clocks.
func completeReadings(d *server.Device, p model.Profile) {
	watts := func(w int) func() (uint32, nvml.Return) {
		return func() (uint32, nvml.Return) { return uint32(w) * 1000, nvml.SUCCESS }
	}
	d.GetPowerUsageFunc = func() (uint32, nvml.Return) { return uint32(p.IdlePower), nvml.SUCCESS }
	d.GetEnforcedPowerLimitFunc = watts(p.PowerLimit)
	d.GetPowerManagementLimitFunc = watts(p.PowerLimit)
	d.GetPowerManagementDefaultLimitFunc = watts(p.PowerLimit)
	d.GetPowerManagementLimitConstraintsFunc = func() (uint32, uint32, nvml.Return) {
		return uint32(p.MinPower) * 1000, uint32(p.PowerLimit) * 1000, nvml.SUCCESS
	}
	d.GetTemperatureFunc = func(sensor nvml.TemperatureSensors) (uint32, nvml.Return) {
		if sensor != nvml.TEMPERATURE_GPU {
			return 0, nvml.ERROR_INVALID_ARGUMENT
		}
		return uint32(p.Temperature), nvml.SUCCESS
	}
	d.GetFieldValuesFunc = func(values []nvml.FieldValue) nvml.Return {
		for i := range values {
			v := &values[i]
			v.NvmlReturn = uint32(nvml.ERROR_NOT_SUPPORTED)
			if v.FieldId == nvml.FI_DEV_MEMORY_TEMP && p.MemoryTemp > 0 {
				v.NvmlReturn, v.ValueType = uint32(nvml.SUCCESS), uint32(nvml.VALUE_TYPE_UNSIGNED_INT)
				binary.NativeEndian.PutUint32(v.Value[:], uint32(p.MemoryTemp))
			}
		}
		return nvml.SUCCESS
	}
	clocks := func(graphics, memory, video int) func(nvml.ClockType) (uint32, nvml.Return) {
		return func(t nvml.ClockType) (uint32, nvml.Return) {
			switch t {
			case nvml.CLOCK_GRAPHICS, nvml.CLOCK_SM:
				return uint32(graphics), nvml.SUCCESS
			case nvml.CLOCK_MEM:
				return uint32(memory), nvml.SUCCESS
			case nvml.CLOCK_VIDEO:
				return uint32(video), nvml.SUCCESS
			}
			return 0, nvml.ERROR_INVALID_ARGUMENT
		}
	}
	d.GetClockInfoFunc = clocks(p.IdleClock, p.MemoryClock, p.VideoClock)
	d.GetMaxClockInfoFunc = clocks(p.MaxClock, p.MemoryClock, p.MaxClock)
}

// completeMIG sees that instances made later refuse unknown calls as well.
func completeMIG(d *server.Device) {
	gpuInstance := func(i nvml.GpuInstance, r nvml.Return) (nvml.GpuInstance, nvml.Return) {
		if gi, ok := i.(*server.GpuInstance); ok && r == nvml.SUCCESS {
			create := gi.CreateComputeInstanceFunc
			gi.CreateComputeInstanceFunc = func(info *nvml.ComputeInstanceProfileInfo) (nvml.ComputeInstance, nvml.Return) {
				c, r := create(info)
				if ci, ok := c.(*server.ComputeInstance); ok {
					fill(&ci.ComputeInstance)
				}
				return c, r
			}
			fill(&gi.GpuInstance)
		}
		return i, r
	}
	create, place := d.CreateGpuInstanceFunc, d.CreateGpuInstanceWithPlacementFunc
	d.CreateGpuInstanceFunc = func(info *nvml.GpuInstanceProfileInfo) (nvml.GpuInstance, nvml.Return) {
		return gpuInstance(create(info))
	}
	d.CreateGpuInstanceWithPlacementFunc = func(info *nvml.GpuInstanceProfileInfo, at *nvml.GpuInstancePlacement) (nvml.GpuInstance, nvml.Return) {
		return gpuInstance(place(info, at))
	}
}
