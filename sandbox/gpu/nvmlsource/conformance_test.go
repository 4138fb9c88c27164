package nvmlsource

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/mig"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// TestConformance holds simulated GPUs to what recorded drivers do: readers of
// a state must not tell one from the other.
func TestConformance(t *testing.T) {
	for name := range recorded {
		t.Run(name, func(t *testing.T) { conform(t, replay(name)) })
	}
	for name, layout := range map[string]mig.Layout{"simulated": {}, "simulated and cut": {All: "1g.10gb"}} {
		t.Run(name, func(t *testing.T) {
			o := node("c", "n", "h100", 2)
			o.GPUs.MIG, o.GPUs.MIGStrategy = layout, model.MIGMixed
			if layout.Empty() {
				o.GPUs.MIGStrategy = ""
			}
			lib, _ := simulate(t, o)
			conform(t, lib)
		})
	}
}

var (
	gpuUUID = regexp.MustCompile(`^GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	migUUID = regexp.MustCompile(`^MIG-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
)

// conform is what everything here relies on in a source of GPUs.
func conform(t *testing.T, lib nvml.Interface) {
	t.Helper()
	ok := func(action string, r nvml.Return) {
		t.Helper()
		if r != nvml.SUCCESS {
			t.Errorf("%s: NVML return %d", action, r)
		}
	}
	ok("initialise", lib.Init())
	ok("initialise twice", lib.Init())
	ok("shut down once", lib.Shutdown())
	count, r := lib.DeviceGetCount()
	ok("count", r)
	if count < 1 {
		t.Fatal("no GPU")
	}
	if _, r := lib.DeviceGetHandleByIndex(count); r == nvml.SUCCESS {
		t.Errorf("there is a GPU %d of %d", count, count)
	}
	if _, r := lib.DeviceGetHandleByUUID("GPU-00000000-0000-0000-0000-000000000000"); r == nvml.SUCCESS {
		t.Error("there is a GPU of a UUID that nobody has")
	}
	for i := range count {
		d, r := lib.DeviceGetHandleByIndex(i)
		ok("open", r)
		if got, r := d.GetIndex(); r != nvml.SUCCESS || got != i {
			t.Errorf("GPU %d says that it is %d (%d)", i, got, r)
		}
		if isMIG, r := d.IsMigDeviceHandle(); r != nvml.SUCCESS || isMIG {
			t.Errorf("GPU %d says that it is a MIG device (%d)", i, r)
		}
		uuid, r := d.GetUUID()
		ok("read the UUID", r)
		if !gpuUUID.MatchString(uuid) {
			t.Errorf("UUID %q", uuid)
		}
		same, r := lib.DeviceGetHandleByUUID(uuid)
		ok("open by UUID", r)
		if got, _ := same.GetUUID(); got != uuid {
			t.Errorf("by UUID %s there is %s", uuid, got)
		}
		conformMIG(t, lib, d, uuid)
	}
	ok("shut down", lib.Shutdown())

	first, err := Snapshot(lib)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Snapshot(lib)
	if diff := cmp.Diff(first, again); err != nil || diff != "" {
		t.Errorf("another snapshot: %v\n%s", err, diff)
	}
	conformState(t, first, count)
}

func conformMIG(t *testing.T, lib nvml.Interface, gpu nvml.Device, gpuID string) {
	t.Helper()
	most, r := gpu.GetMaxMigDeviceCount()
	if r == nvml.ERROR_NOT_SUPPORTED {
		return
	}
	for i := range most {
		m, r := gpu.GetMigDeviceHandleByIndex(i)
		if r == nvml.ERROR_NOT_FOUND {
			continue
		}
		uuid, r := m.GetUUID()
		if r != nvml.SUCCESS || !migUUID.MatchString(uuid) {
			t.Errorf("MIG device %d: UUID %q (%d)", i, uuid, r)
		}
		if isMIG, r := m.IsMigDeviceHandle(); r != nvml.SUCCESS || !isMIG {
			t.Errorf("MIG device %d says that it is none (%d)", i, r)
		}
		if index, r := m.GetIndex(); r != nvml.SUCCESS || index != i {
			t.Errorf("MIG device %d says that it is %d (%d)", i, index, r)
		}
		same, r := lib.DeviceGetHandleByUUID(uuid)
		if r != nvml.SUCCESS {
			t.Fatalf("MIG device %s is not found (%d)", uuid, r)
		}
		parent, r := same.GetDeviceHandleFromMigDeviceHandle()
		if r != nvml.SUCCESS {
			t.Fatalf("MIG device %d has no GPU (%d)", i, r)
		}
		if got, _ := parent.GetUUID(); got != gpuID {
			t.Errorf("MIG device %d is part of %s, want %s", i, got, gpuID)
		}
	}
}

// conformState is what readers need of any state.
func conformState(t *testing.T, s model.State, count int) {
	t.Helper()
	if len(s.Devices) != count || !strings.HasSuffix(s.NVMLVersion, s.DriverVersion) || !regexp.MustCompile(`^\d+\.\d$`).MatchString(s.CUDAVersion) {
		t.Errorf("driver %s, NVML %s, CUDA %s, %d of %d GPUs", s.DriverVersion, s.NVMLVersion, s.CUDAVersion, len(s.Devices), count)
	}
	for _, d := range s.Devices {
		if d.UsedMemoryBytes+d.ReservedMemoryBytes > d.MemoryBytes || d.Architecture == "" || d.ComputeCapability == "" || d.Temperature == 0 {
			t.Errorf("GPU %d: %+v", d.Index, d)
		}
		if d.MIGEnabled && !d.MIGCapable || len(d.MIG) > 0 && !d.MIGEnabled {
			t.Errorf("GPU %d: MIG capable %v, enabled %v, %d devices", d.Index, d.MIGCapable, d.MIGEnabled, len(d.MIG))
		}
		for i, m := range d.MIG {
			if !regexp.MustCompile(`^\dg\.\d+gb$`).MatchString(m.Profile) || m.MemoryBytes == 0 || m.Multiprocessors == 0 || m.GPUSlices != m.ComputeSlices ||
				i > 0 && m.Placement.Start < d.MIG[i-1].Placement.Start+d.MIG[i-1].Placement.Size {
				t.Errorf("GPU %d, MIG device %d: %+v", d.Index, i, m)
			}
		}
	}
	s.MIGStrategy = model.MIGMixed
	for resource, units := range s.Units() {
		for _, u := range units {
			if len(u.ID) > 63 || !u.Healthy {
				t.Errorf("%s: %+v", resource, u)
			}
		}
	}
	for key, value := range s.Labels("machine", time.Unix(0, 0)) {
		if len(value) > 63 || value != strings.Trim(value, "-_.") {
			t.Errorf("label %s=%q", key, value)
		}
	}
}

func TestARecordedA100(t *testing.T) {
	s, err := Snapshot(replay("an A100 with four instances"))
	if err != nil {
		t.Fatal(err)
	}
	var profiles []string
	for _, m := range s.Devices[0].MIG {
		profiles = append(profiles, m.Profile)
	}
	// In the order of their places, named by the board's own profile numbers.
	if diff := cmp.Diff([]string{"2g.10gb", "1g.5gb", "1g.5gb", "3g.20gb"}, profiles); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	s.MIGStrategy = model.MIGMixed
	units := s.Units()
	if len(units["nvidia.com/mig-1g.5gb"]) != 2 || len(units["nvidia.com/mig-2g.10gb"]) != 1 || len(units["nvidia.com/mig-3g.20gb"]) != 1 || len(units["nvidia.com/gpu"]) != 0 {
		t.Errorf("offered: %v", units)
	}
}

// What an old driver does not know is 0, and no error.
func TestARecordedT4(t *testing.T) {
	s, err := Snapshot(replay("two T4"))
	if err != nil {
		t.Fatal(err)
	}
	want := model.Device{
		Index: 1, UUID: "GPU-d37a67e1-71a3-a8a6-19f5-000000000002", Name: "Tesla T4", Minor: 1, PCIBusID: "00000000:00:05.0",
		Architecture: "turing", ComputeCapability: "7.5", MemoryBytes: 15360 << 20, UsedMemoryBytes: 4 << 20, Temperature: 38,
	}
	if diff := cmp.Diff(want, s.Devices[1]); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
