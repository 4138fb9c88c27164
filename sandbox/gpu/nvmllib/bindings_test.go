package nvmllib

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/nvmlsource"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/spec"
)

// opened opens the library with NVIDIA's own binding, on a state of a node with
// these GPUs, or returns nil where it cannot be built.
func opened(t *testing.T, gpus spec.GPUs) (nvml.Interface, model.State) {
	t.Helper()
	dir := built(t)
	if dir == "" {
		return nil, model.State{}
	}
	state, err := nvmlsource.Simulated(spec.Node{Cluster: "ai", Name: "node", GPUs: gpus})
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(write(t, state))
	t.Setenv(model.VisibleDevices, "all")
	return nvml.New(nvml.WithLibraryPath(filepath.Join(dir, Name))), state
}

// What goes into the file comes out of NVML, read as a real driver's is.
func TestSnapshotOfTheLibraryIsTheState(t *testing.T) {
	for _, p := range model.Profiles() {
		t.Run(p.Name, func(t *testing.T) {
			lib, want := opened(t, spec.GPUs{Profile: p.Name, Count: 3})
			if lib == nil {
				return
			}
			got, err := nvmlsource.Snapshot(lib)
			if err != nil {
				t.Fatal(err)
			}
			// What NVML does not tell of a GPU.
			got.Node, got.Cluster, got.Simulated, got.Profile = want.Node, want.Cluster, want.Simulated, want.Profile
			for i := range got.Devices {
				got.Devices[i].NVLinkGroup, got.Devices[i].NUMANode = want.Devices[i].NVLinkGroup, want.Devices[i].NUMANode
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("-state +NVML:\n%s", diff)
			}
		})
	}
}

func TestTopology(t *testing.T) {
	lib, _ := opened(t, spec.GPUs{Profile: "a30", Count: 3}) // joined in pairs
	if lib == nil {
		return
	}
	if r := lib.Init(); r != nvml.SUCCESS {
		t.Fatal(r)
	}
	defer lib.Shutdown()
	var gpus [3]nvml.Device
	for i := range gpus {
		var r nvml.Return
		if gpus[i], r = lib.DeviceGetHandleByIndex(i); r != nvml.SUCCESS {
			t.Fatal(r)
		}
	}
	p2p := func(a, b int, index nvml.GpuP2PCapsIndex) nvml.GpuP2PStatus {
		status, r := gpus[a].GetP2PStatus(gpus[b], index)
		if r != nvml.SUCCESS {
			t.Error(r)
		}
		return status
	}
	if p2p(0, 1, nvml.P2P_CAPS_INDEX_NVLINK) != nvml.P2P_STATUS_OK || p2p(1, 2, nvml.P2P_CAPS_INDEX_NVLINK) != nvml.P2P_STATUS_NOT_SUPPORTED || p2p(1, 2, nvml.P2P_CAPS_INDEX_READ) != nvml.P2P_STATUS_OK {
		t.Error("NVLink joins pairs, and the bus all")
	}
	for link, want := range map[int]nvml.Return{0: nvml.SUCCESS, 3: nvml.SUCCESS, 4: nvml.ERROR_INVALID_ARGUMENT} {
		if _, r := gpus[0].GetNvLinkState(link); r != want {
			t.Errorf("link %d: %v", link, r)
		}
	}
	if level, r := gpus[0].GetTopologyCommonAncestor(gpus[1]); r != nvml.SUCCESS || level != nvml.TOPOLOGY_NODE {
		t.Errorf("ancestor %v, %v", level, r)
	}
	samplesType, samples, r := gpus[0].GetSamples(nvml.GPU_UTILIZATION_SAMPLES, 0)
	if r != nvml.SUCCESS || samplesType != nvml.VALUE_TYPE_UNSIGNED_INT || len(samples) != 1 {
		t.Errorf("samples %v %v, %v", samplesType, samples, r)
	}
}

func TestSnapshotWithoutAState(t *testing.T) {
	lib, _ := opened(t, spec.GPUs{Profile: "h100", Count: 1})
	if lib == nil {
		return
	}
	t.Chdir(t.TempDir())
	_, err := nvmlsource.Snapshot(lib)
	var e *nvmlsource.ReturnError
	if !errors.As(err, &e) || e.Return != nvml.ERROR_DRIVER_NOT_LOADED {
		t.Errorf("got %v", err)
	}
}

// One call never mixes two states, and threads do not disturb each other.
func TestThreadsSeeWholeStates(t *testing.T) {
	lib, state := opened(t, spec.GPUs{Profile: "h100", Count: 2})
	if lib == nil {
		return
	}
	if r := lib.Init(); r != nvml.SUCCESS {
		t.Fatal(r)
	}
	defer lib.Shutdown()
	second, r := lib.DeviceGetHandleByIndex(1)
	if r != nvml.SUCCESS {
		t.Fatal(r)
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	group, ctx := errgroup.WithContext(t.Context())
	for range 2 {
		group.Go(func() error {
			for ctx.Err() == nil {
				rates, r := second.GetUtilizationRates()
				if r != nvml.SUCCESS || rates.Gpu != rates.Memory {
					return fmt.Errorf("utilisation %v: %w", rates, r)
				}
			}
			return nil
		})
	}
	written := errors.New("all states are written")
	group.Go(func() error {
		for i := range 50 {
			d := &state.Devices[1]
			d.Utilization, d.MemoryUtilization = i%100, i%100
			if err := model.Write(dir, state); err != nil {
				return err
			}
		}
		return written
	})
	if err := group.Wait(); !errors.Is(err, written) {
		t.Error(err)
	}
}
