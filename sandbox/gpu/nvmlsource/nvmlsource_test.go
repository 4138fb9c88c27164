package nvmlsource

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"testing"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/mig"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/spec"
)

var update = flag.Bool("update", false, "write the golden files")

func simulate(t *testing.T, o spec.Node) (nvml.Interface, model.State) {
	t.Helper()
	lib, err := Simulate(o)
	if err != nil {
		t.Fatal(err)
	}
	state, err := Simulated(o)
	if err != nil {
		t.Fatal(err)
	}
	return lib, state
}

func node(cluster, name, profile string, count int) spec.Node {
	return spec.Node{Cluster: cluster, Name: name, GPUs: spec.GPUs{Profile: profile, Count: count}}
}

// The file is what readers of the state are tested with.
func TestStateOfANodeIsTheGoldenFile(t *testing.T) {
	_, state := simulate(t, node("ai", "ai-control-plane", "h100", 2))
	got, err := model.Encode(state)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("..", "model", "testdata", "h100x2.json")
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("run with -update and read the difference (-want +got):\n%s", diff)
	}
}

func TestEveryProfileIsABoard(t *testing.T) {
	for _, p := range model.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			_, state := simulate(t, node("c", "n", p.Name, 1))
			d := state.Devices[0]
			got := model.Profile{
				Name: p.Name, Product: d.Name, MemoryMiB: d.MemoryMiB(), ReservedKiB: d.ReservedMemoryBytes >> 10,
				PowerLimit: d.PowerLimit / 1000, MinPower: d.MinPowerLimit / 1000, IdlePower: d.PowerMilliwatts,
				Temperature: d.Temperature, MemoryTemp: d.MemoryTemperature,
				IdleClock: d.GraphicsClock, VideoClock: d.VideoClock, MaxClock: d.MaxGraphicsClock, MemoryClock: d.MemoryClock,
				PCIeGen: d.PCIeGeneration, Architecture: d.Architecture, NVLinkGroup: d.NVLinkGroup,
			}
			if p.ComputeCap != "" { // NVML's model has no such board
				got.ComputeCap, got.PCIDeviceID = d.ComputeCapability, d.PCIDeviceID
			}
			if diff := cmp.Diff(p, got); diff != "" {
				t.Errorf("profile and what NVML shows differ (-profile +NVML):\n%s", diff)
			}
			if d.MIGCapable != (len(mig.Tables()[p.Name]) > 0) || d.MIGEnabled {
				t.Errorf("MIG: capable %v, enabled %v", d.MIGCapable, d.MIGEnabled)
			}
		})
	}
	for name := range boards {
		if _, err := model.LookupProfile(name); err != nil {
			t.Errorf("a board without a profile: %v", err)
		}
	}
}

func TestIdentitiesAreStableAndUnique(t *testing.T) {
	grammar := regexp.MustCompile(`^GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	busID := regexp.MustCompile(`^[0-9A-F]{8}:[0-9A-F]{2}:[0-9A-F]{2}\.0$`)
	serial := regexp.MustCompile(`^\d{13}$`)
	seen := map[string]bool{}
	unique := func(value string) {
		if seen[value] {
			t.Errorf("%s is there twice", value)
		}
		seen[value] = true
	}
	for _, name := range []string{"ai-control-plane", "ai-worker"} {
		o := node("ai", name, "h100", model.MaxPerNode)
		_, first := simulate(t, o)
		_, again := simulate(t, o)
		if diff := cmp.Diff(first, again); diff != "" {
			t.Errorf("%s started again (-first +again):\n%s", name, diff)
		}
		for i, d := range first.Devices {
			if !grammar.MatchString(d.UUID) || !busID.MatchString(d.PCIBusID) || !serial.MatchString(d.Serial) {
				t.Errorf("GPU %d: %s at %s, serial %s", i, d.UUID, d.PCIBusID, d.Serial)
			}
			unique(d.UUID)
			unique(d.Serial)
			unique(name + d.PCIBusID)
			unique(name + "/" + strconv.Itoa(d.Minor))
		}
	}
}

func TestOptionsAreChecked(t *testing.T) {
	_, err := Simulate(node("c", "n", "voodoo", 1))
	var unknown *model.UnknownProfileError
	if !errors.As(err, &unknown) {
		t.Errorf("profile voodoo: %v", err)
	}
	for _, n := range []int{-1, 0, model.MaxPerNode + 1} {
		_, err := Simulate(node("c", "n", "h100", n))
		var count *model.CountError
		if !errors.As(err, &count) {
			t.Errorf("%d GPUs: %v", n, err)
		}
	}
}

// A mock panics where it has no function; a driver answers.
func TestEveryCallIsAnswered(t *testing.T) {
	lib, _ := simulate(t, node("c", "n", "h100", 1))
	d, _ := lib.DeviceGetHandleByIndex(0)
	profile, _ := d.GetGpuInstanceProfileInfo(nvml.GPU_INSTANCE_PROFILE_1_SLICE)
	gi, r := d.CreateGpuInstance(&profile)
	if r != nvml.SUCCESS {
		t.Fatalf("create a GPU instance: %v", r)
	}
	ciProfile, _ := gi.GetComputeInstanceProfileInfo(nvml.COMPUTE_INSTANCE_PROFILE_1_SLICE, nvml.COMPUTE_INSTANCE_ENGINE_PROFILE_SHARED)
	ci, r := gi.CreateComputeInstance(&ciProfile)
	if r != nvml.SUCCESS {
		t.Fatalf("create a compute instance: %v", r)
	}
	refused := 0
	for name, object := range map[string]any{"Interface": lib, "Device": d, "GpuInstance": gi, "ComputeInstance": ci} {
		v := reflect.ValueOf(object)
		var of reflect.Type
		switch name {
		case "Interface":
			of = reflect.TypeFor[nvml.Interface]()
		case "Device":
			of = reflect.TypeFor[nvml.Device]()
		case "GpuInstance":
			of = reflect.TypeFor[nvml.GpuInstance]()
		default:
			of = reflect.TypeFor[nvml.ComputeInstance]()
		}
		for m := range of.Methods() {
			if m.Name == "CreateGpuInstanceWithPlacement" {
				continue // goes through its argument
			}
			results := callWithZeros(v.MethodByName(m.Name))
			for _, result := range results {
				if result.Type() == returnType && result.Interface() == nvml.ERROR_NOT_SUPPORTED {
					refused++
				}
			}
		}
	}
	if refused < 500 {
		t.Errorf("only %d calls were refused: is the mock complete now?", refused)
	}
}

func callWithZeros(f reflect.Value) []reflect.Value {
	t := f.Type()
	n := t.NumIn()
	if t.IsVariadic() {
		n--
	}
	args := make([]reflect.Value, n)
	for i := range args {
		args[i] = reflect.Zero(t.In(i))
		if t.In(i).Kind() == reflect.Pointer {
			args[i] = reflect.New(t.In(i).Elem())
		}
	}
	return f.Call(args)
}

// A reading that fails must not turn into a GPU without identity.
func TestSnapshotNeedsIdentities(t *testing.T) {
	lib, _ := simulate(t, node("c", "n", "h100", 1))
	_, err := Snapshot(withoutUUIDs{lib})
	var refused *ReturnError
	if !errors.As(err, &refused) || refused.Return != nvml.ERROR_GPU_IS_LOST {
		t.Errorf("snapshot of a lost GPU: %v", err)
	}
}

type withoutUUIDs struct{ nvml.Interface }

type lost struct{ nvml.Device }

func (w withoutUUIDs) DeviceGetHandleByIndex(i int) (nvml.Device, nvml.Return) {
	d, r := w.Interface.DeviceGetHandleByIndex(i)
	return lost{d}, r
}

func (lost) GetUUID() (string, nvml.Return) { return "", nvml.ERROR_GPU_IS_LOST }

func TestMIGTablesAreGoNVMLs(t *testing.T) {
	want, err := Tables()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, mig.Tables()); diff != "" {
		t.Errorf("go run ./sandbox/gpu/nvmlsource/tables >sandbox/gpu/mig/tables.json, and read the difference (-go-nvml +embedded):\n%s", diff)
	}
}

func TestGPUsAreCut(t *testing.T) {
	grammar := regexp.MustCompile(`^MIG-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	o := node("ai", "n", "h100", 8)
	o.GPUs.MIG, o.GPUs.MIGStrategy = mig.Layout{All: "1g.10gb"}, model.MIGMixed
	_, state := simulate(t, o)
	_, again := simulate(t, o)
	if diff := cmp.Diff(state, again); diff != "" {
		t.Errorf("made again (-first +again):\n%s", diff)
	}
	seen := map[string]bool{}
	for _, d := range state.Devices {
		if !d.MIGEnabled || len(d.MIG) != 7 {
			t.Fatalf("GPU %d: MIG %v, %d devices", d.Index, d.MIGEnabled, len(d.MIG))
		}
		for i, m := range d.MIG {
			if !grammar.MatchString(m.UUID) || seen[m.UUID] {
				t.Errorf("GPU %d, MIG device %d: UUID %s", d.Index, i, m.UUID)
			}
			seen[m.UUID] = true
			want := model.MIGDevice{
				UUID: m.UUID, Profile: "1g.10gb", GPUInstance: m.GPUInstance, Placement: model.Placement{Start: i, Size: 1},
				MemoryBytes: 10240 << 20, Multiprocessors: 16, GPUSlices: 1, ComputeSlices: 1, Engines: model.Engines{Copy: 1, Decoder: 1},
			}
			if diff := cmp.Diff(want, m); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		}
	}
	state.MIGStrategy = o.GPUs.MIGStrategy
	if diff := cmp.Diff(map[string]int{"nvidia.com/gpu": 0, "nvidia.com/mig-1g.10gb": 56}, o.GPUs.Offered()); diff != "" {
		t.Errorf("offered (-want +got):\n%s", diff)
	}
	if got := len(state.Units()["nvidia.com/mig-1g.10gb"]); got != 56 {
		t.Errorf("%d MIG devices are offered, want 56", got)
	}
	o.GPUs.MIG.All = "1g.5gb"
	_, err := Simulate(o)
	var unknown *mig.UnknownProfileError
	if !errors.As(err, &unknown) {
		t.Errorf("a profile of another board: %v", err)
	}
}
