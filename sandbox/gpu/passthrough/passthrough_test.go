package passthrough

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
	"sigs.k8s.io/yaml"
	cdi "tags.cncf.io/container-device-interface/specs-go"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/driver"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/driver/drivertest"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/mig"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/nvmlsource"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/spec"
)

// simulated returns a machine whose NVML is the simulated one: the simulated
// GPUs have the driver version, bus addresses and minor numbers that
// drivertest's machine has.
func simulated(t *testing.T, gpus spec.GPUs) (*Machine, model.State) {
	t.Helper()
	lib, err := nvmlsource.Simulate(spec.Node{Cluster: "machine", Name: "machine", GPUs: gpus})
	if err != nil {
		t.Fatal(err)
	}
	all, err := nvmlsource.Snapshot(lib)
	if err != nil {
		t.Fatal(err)
	}
	root := drivertest.Machine(t, model.DefaultDriver, gpus.Count)
	return &Machine{NVML: lib, DriverRoot: root, Root: root, CDIDir: t.TempDir(), Hook: driver.HookPath, Log: slog.New(slog.DiscardHandler)}, all
}

func node(devices ...string) spec.Node {
	return spec.Node{Cluster: "ai", Name: "ai-worker", GPUs: spec.GPUs{Devices: devices}}
}

func TestStateIsTheNodesShare(t *testing.T) {
	m, all := simulated(t, spec.GPUs{Profile: "h100", Count: 4})
	for name, c := range map[string]struct {
		devices []string
		want    []int
	}{
		"all of them":   {[]string{"all"}, []int{0, 1, 2, 3}},
		"by address":    {[]string{"0000:1e:00.0", "0000:24:00.0"}, []int{1, 3}},
		"by UUID":       {[]string{all.Devices[2].UUID}, []int{2}},
		"named twice":   {[]string{all.Devices[2].UUID, "0000:21:00.0"}, []int{2}},
		"order is kept": {[]string{"0000:24:00.0", "0000:1b:00.0"}, []int{0, 3}},
	} {
		got, _, err := m.State(node(c.devices...))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got.Simulated || got.Cluster != "ai" || got.Node != "ai-worker" {
			t.Errorf("%s: %+v", name, got)
		}
		var minors []int
		for i, d := range got.Devices {
			if d.Index != i {
				t.Errorf("%s: the node's GPU %d says that it is %d", name, i, d.Index)
			}
			minors = append(minors, d.Minor)
		}
		if diff := cmp.Diff(c.want, minors); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	_, _, err := m.State(node("0000:1b:00.0", "GPU-no", "MIG-no"))
	var missing *NotHereError
	if !errors.As(err, &missing) || !slices.Equal(missing.Devices, []string{"GPU-no", "MIG-no"}) {
		t.Errorf("devices that are not there: %v", err)
	}
}

func TestMIGDevicesOfANode(t *testing.T) {
	m, all := simulated(t, spec.GPUs{Profile: "h100", Count: 2, MIG: mig.Layout{All: "3g.40gb"}, MIGStrategy: model.MIGMixed})
	first, second := all.Devices[0].MIG, all.Devices[1].MIG
	got, n, err := m.State(node(second[1].UUID))
	if err != nil {
		t.Fatal(err)
	}
	if n.GPUs.MIGStrategy != model.MIGMixed {
		t.Errorf("strategy %q", n.GPUs.MIGStrategy)
	}
	if diff := cmp.Diff([]string{second[1].UUID}, devices(got)); diff != "" {
		t.Errorf("one MIG device (-want +got):\n%s", diff)
	}
	if got, _, err = m.State(node("0000:1b:00.0")); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{first[0].UUID, first[1].UUID}, devices(got)); diff != "" {
		t.Errorf("a whole GPU (-want +got):\n%s", diff)
	}
}

func TestCDI(t *testing.T) {
	m, _ := simulated(t, spec.GPUs{Profile: "h100", Count: 3})
	mayMakeNodes := makeNodes(t, m.Root, "nvidia0", "nvidia1", "nvidia2", "nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset")
	state, _, err := m.State(node("0000:1b:00.0", "0000:21:00.0"))
	if err != nil {
		t.Fatal(err)
	}
	if err := m.WriteCDI(state); err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(filepath.Join(m.CDIDir, specFile))
	if err != nil {
		t.Fatal(err)
	}
	var got cdi.Spec
	if err := yaml.UnmarshalStrict(content, &got); err != nil {
		t.Fatal(err)
	}
	if got.Kind != CDIKind {
		t.Errorf("kind %q", got.Kind)
	}
	nodes := map[string][]string{}
	for _, d := range got.Devices {
		nodes[d.Name] = []string{}
		for _, n := range d.ContainerEdits.DeviceNodes {
			nodes[d.Name] = append(nodes[d.Name], n.Path)
		}
	}
	want := map[string][]string{
		"0": {"/dev/nvidia0"}, "1": {"/dev/nvidia2"}, "all": {"/dev/nvidia0", "/dev/nvidia2"},
		state.Devices[0].UUID: {"/dev/nvidia0"}, state.Devices[1].UUID: {"/dev/nvidia2"},
	}
	if mayMakeNodes {
		if diff := cmp.Diff(want, nodes); diff != "" {
			t.Errorf("device nodes by name (-want +got):\n%s", diff)
		}
	}
	var mounts []string
	for _, e := range got.ContainerEdits.Mounts {
		if e.HostPath != m.DriverRoot+e.ContainerPath || !slices.Contains(e.Options, "ro") {
			t.Errorf("mount %+v", e)
		}
		mounts = append(mounts, e.ContainerPath)
	}
	slices.Sort(mounts)
	lib := "/usr/lib/x86_64-linux-gnu/"
	if diff := cmp.Diff([]string{
		"/lib/firmware/nvidia/" + model.DefaultDriver + "/gsp_ga10x.bin", "/usr/bin/nvidia-smi",
		lib + "libcuda.so." + model.DefaultDriver, lib + "libnvidia-ml.so." + model.DefaultDriver,
		lib + "vdpau/libvdpau_nvidia.so." + model.DefaultDriver,
	}, mounts); diff != "" {
		t.Errorf("mounts (-want +got):\n%s", diff)
	}
	var hooks []string
	for _, h := range got.ContainerEdits.Hooks {
		if h.Path != m.Hook {
			t.Errorf("hook %+v", h)
		}
		hooks = append(hooks, h.Args[1])
	}
	slices.Sort(hooks)
	if diff := cmp.Diff([]string{"create-symlinks", "disable-device-node-modification", "enable-cuda-compat", "update-ldcache"}, slices.Compact(hooks)); diff != "" {
		t.Errorf("hooks (-want +got):\n%s", diff)
	}
	for _, v := range got.ContainerEdits.Env {
		if strings.HasPrefix(v, model.VisibleDevices) {
			t.Errorf("environment %s: the device plugin says which GPUs are a container's", v)
		}
	}
}

// makeNodes puts character devices that anybody may open under these names of
// dev. It returns false where the test is not permitted to.
func makeNodes(t *testing.T, root string, names ...string) bool {
	t.Helper()
	for _, name := range names {
		path := filepath.Join(root, "dev", name)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if !makeNode(t, path) {
			return false
		}
	}
	return true
}

func makeNode(t *testing.T, path string) bool {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	err := unix.Mknod(path, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3)))
	if errors.Is(err, unix.EPERM) {
		t.Log("device nodes cannot be made here: their part of the spec is not compared")
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	return true
}

func TestIsolate(t *testing.T) {
	m, _ := simulated(t, spec.GPUs{Profile: "h100", Count: 4})
	state, _, err := m.State(node("0000:1e:00.0", "0000:21:00.0"))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // ai-gpu may be restarted
		if err := m.Isolate(state); err != nil {
			t.Fatal(err)
		}
	}
	for i, want := range []bool{false, true, true, false} {
		_, err := os.Lstat(filepath.Join(m.Root, "dev", fmt.Sprintf("nvidia%d", i)))
		if got := err == nil; got != want {
			t.Errorf("device node of GPU %d: there %v, want %v", i, got, want)
		}
	}
	for _, node := range []string{"nvidiactl", "nvidia-uvm"} {
		if _, err := os.Lstat(filepath.Join(m.Root, "dev", node)); err != nil {
			t.Errorf("a device node of the driver itself: %v", err)
		}
	}
}

func TestNVMLIsFoundBelowTheRoot(t *testing.T) {
	root := drivertest.Machine(t, "1.2", 1)
	got, err := findLibrary(filepath.Join(root, "usr"))
	if err != nil || !strings.HasSuffix(got, "/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.1") && !strings.HasSuffix(got, "libnvidia-ml.so.1.2") {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := findLibrary(t.TempDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no library: %v", err)
	}
}
