package driver_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/driver"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/driver/drivertest"
)

func TestFind(t *testing.T) {
	t.Parallel()
	root := drivertest.Machine(t, "590.48.01", 2)
	got, err := driver.Find(root)
	if err != nil {
		t.Fatal(err)
	}
	want := driver.Driver{
		Version: "590.48.01",
		GPUs: []driver.GPU{
			{BusID: "0000:1b:00.0", UUID: drivertest.UUID(0), Model: "NVIDIA H100 80GB HBM3", Minor: 0},
			{BusID: "0000:1e:00.0", UUID: drivertest.UUID(1), Model: "NVIDIA H100 80GB HBM3", Minor: 1},
		},
		Files: []string{
			"/lib/firmware/nvidia/590.48.01/gsp_ga10x.bin",
			"/usr/bin/nvidia-smi",
			"/usr/lib/x86_64-linux-gnu/libcuda.so.590.48.01",
			"/usr/lib/x86_64-linux-gnu/libnvidia-ml.so.590.48.01",
			"/usr/lib/x86_64-linux-gnu/vdpau/libvdpau_nvidia.so.590.48.01",
		},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestFindNothing(t *testing.T) {
	t.Parallel()
	if _, err := driver.Find(t.TempDir()); !errors.Is(err, driver.ErrNoDriver) {
		t.Errorf("an empty machine: %v", err)
	}
}

func TestADriverThatIsNotWhole(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ remove, says string }{
		"libraries of another version": {"usr/lib/x86_64-linux-gnu/libcuda.so.590.48.01", "libcuda.so.590.48.01"},
		"uvm is not loaded":            {"dev/nvidia-uvm", "/dev/nvidia-uvm"},
		"no GPU":                       {"proc/driver/nvidia/gpus", "a GPU"},
	} {
		root := drivertest.Machine(t, "590.48.01", 1)
		if err := os.RemoveAll(filepath.Join(root, c.remove)); err != nil {
			t.Fatal(err)
		}
		got, err := driver.Find(root)
		var incomplete *driver.IncompleteError
		if !errors.As(err, &incomplete) || !strings.Contains(err.Error(), c.says) || got.Version != "590.48.01" {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	for description, want := range map[string]string{
		"NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05  Tue Sep 23 2025\nGCC version: 12.2.0": "580.95.05",
		"NVRM version: NVIDIA UNIX Open Kernel Module for aarch64  575.57  Release Build":                 "575.57",
		"something else": "",
	} {
		if got := driver.Version(description); got != want {
			t.Errorf("%q: %q, want %q", description, got, want)
		}
	}
}

func TestResolve(t *testing.T) {
	t.Parallel()
	d, err := driver.Find(drivertest.Machine(t, "590.48.01", 4))
	if err != nil {
		t.Fatal(err)
	}
	bus := []string{"0000:1b:00.0", "0000:1e:00.0", "0000:21:00.0", "0000:24:00.0"}
	got, err := d.Resolve([][]string{{"0-1", "MIG-5a"}, {drivertest.UUID(2)}, nil, {"00000000:24:00.0"}})
	want := [][]string{{bus[0], bus[1], "MIG-5a"}, {bus[2]}, nil, {bus[3]}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
	if got, err := d.Resolve([][]string{{"all"}}); err != nil || !cmp.Equal(got, [][]string{bus}) {
		t.Errorf("all: %v, %v", got, err)
	}
	var taken *driver.TakenError
	for _, nodes := range [][][]string{{{"0"}, {"0"}}, {{"0-2"}, {"2"}}, {{"1", drivertest.UUID(1)}}} {
		if _, err := d.Resolve(nodes); !errors.As(err, &taken) {
			t.Errorf("%v: %v", nodes, err)
		}
	}
	var unknown *driver.UnknownDeviceError
	for _, device := range []string{"4", "-1", "2-1", "0-4", "x", "", "GPU-00000000-0000-0000-0000-000000000000", "0000:ff:00.0"} {
		if _, err := d.Resolve([][]string{{device}}); !errors.As(err, &unknown) {
			t.Errorf("%q: %v", device, err)
		}
	}
	d.GPUs[0].UUID = "" // no program has used it since the driver was loaded
	if got, err := d.Resolve([][]string{{"GPU-1234"}}); err != nil || !cmp.Equal(got, [][]string{{"GPU-1234"}}) {
		t.Errorf("a UUID that may be that of the first GPU: %v, %v", got, err)
	}
}

func TestDivide(t *testing.T) {
	t.Parallel()
	d := driver.Driver{GPUs: []driver.GPU{{BusID: "a"}, {BusID: "b"}, {BusID: "c"}}}
	for nodes, want := range map[int][][]string{
		1: {{"a", "b", "c"}}, 2: {{"a", "b"}, {"c"}}, 3: {{"a"}, {"b"}, {"c"}}, 4: nil, 0: nil,
	} {
		if diff := cmp.Diff(want, d.Divide(nodes)); diff != "" {
			t.Errorf("%d nodes (-want +got):\n%s", nodes, diff)
		}
	}
}
