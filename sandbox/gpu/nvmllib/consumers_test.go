package nvmllib

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// interpreter is Python itself, where python3 may be a script that looks for it.
var interpreter = sync.OnceValues(func() (string, error) {
	out, err := exec.Command("python3", "-c", "import sys; print(sys.executable)").Output()
	return strings.TrimSpace(string(out)), err
})

// container is where a script runs: a folder with the state of the node, and
// the value of NVIDIA_VISIBLE_DEVICES, "unset" for none.
type container struct {
	state   string
	visible string
}

// script prepares one of testdata's scripts in that container, which opens the
// library by its bare name as all programs do. It returns nil, and says why,
// where it cannot run.
func (c container) script(t *testing.T, name string) *exec.Cmd {
	t.Helper()
	dir := built(t)
	if dir == "" {
		return nil
	}
	python, err := interpreter()
	if err != nil {
		t.Logf("no python3 here, not run: %v", err)
		return nil
	}
	// Read, so that go test runs again when a script changes.
	if _, err := os.ReadDir("testdata"); err != nil {
		t.Fatal(err)
	}
	path, err := filepath.Abs(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, "-B", path)
	cmd.Dir = c.state
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME"), "LD_LIBRARY_PATH=" + dir, "PYTORCH_NVML_BASED_CUDA_CHECK=1"}
	if c.visible != "unset" {
		cmd.Env = append(cmd.Env, "NVIDIA_VISIBLE_DEVICES="+c.visible)
	}
	cmd.Stderr = &bytes.Buffer{}
	return cmd
}

// run runs a script to its end and decodes what it prints. It returns false
// where it cannot run.
func (c container) run(t *testing.T, name string, into any) bool {
	t.Helper()
	cmd := c.script(t, name)
	if cmd == nil {
		return false
	}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", name, err, cmd.Stderr)
	}
	decode(t, string(out), into)
	return true
}

// write puts a state into a new folder.
func write(t *testing.T, s model.State) string {
	t.Helper()
	dir := t.TempDir()
	if err := model.Write(dir, s); err != nil {
		t.Fatal(err)
	}
	return dir
}

type object = map[string]any

func TestRay(t *testing.T) {
	for profile, want := range map[string]string{
		"NVIDIA H100 80GB HBM3": "H100", "NVIDIA A100-SXM4-80GB": "A100", "Tesla T4": "T4", "NVIDIA L40S": "L40S",
	} {
		s := golden(t)
		for i := range s.Devices {
			s.Devices[i].Name = profile
		}
		var got object
		if (container{write(t, s), "all"}).run(t, "ray.py", &got) {
			if diff := cmp.Diff(object{"count": 2.0, "type": want}, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", profile, diff)
			}
		}
	}
}

func TestWhichGPUsAContainerSees(t *testing.T) {
	s := golden(t)
	dir := write(t, s)
	a, b := s.Devices[0].UUID, s.Devices[1].UUID
	for visible, want := range map[string][]string{
		"all": {a, b}, a: {a}, b: {b}, b + "," + a: {a, b}, " " + a + " , " + b: {a, b}, "1": {b}, "0,1": {a, b},
		"none": {}, "void": {}, "": {}, "unset": {}, "GPU-00000000-0000-0000-0000-000000000000": {}, a[:20]: {}, a + "0": {},
	} {
		var got []any
		if !(container{dir, visible}).run(t, "fork.py", &got) {
			return
		}
		if diff := cmp.Diff(fmt.Sprint(float64(len(want)), want), fmt.Sprint(got...)); diff != "" {
			t.Errorf("NVIDIA_VISIBLE_DEVICES=%s, in a forked child (-want +got):\n%s", visible, diff)
		}
		if visible == "unset" { // nvidia-smi takes this for the node itself; no program runs there
			continue
		}
		var uuids []string
		for _, d := range s.Visible(visible) {
			uuids = append(uuids, d.UUID)
		}
		if fmt.Sprint(uuids) != fmt.Sprint(want) {
			t.Errorf("NVIDIA_VISIBLE_DEVICES=%s: nvidia-smi sees %v, NVML %v", visible, uuids, want)
		}
	}
}

func TestAccelerate(t *testing.T) {
	var got struct{ Near, Allowed []int }
	if (container{write(t, golden(t)), "all"}).run(t, "accelerate.py", &got) && (len(got.Near) == 0 || !cmp.Equal(got.Near, got.Allowed)) {
		t.Errorf("the process may use %v, and the GPU is near %v", got.Allowed, got.Near)
	}
}

// gpu is what gpustat shows of a GPU of the golden state.
func gpustat(d model.Device, i int) object {
	return object{
		"index": float64(i), "name": d.Name, "uuid": d.UUID, "temperature": float64(d.Temperature), "fan": nil,
		"total": float64(d.MemoryBytes), "free": float64(d.FreeMemoryBytes()), "used": float64(d.MemoryBytes - d.FreeMemoryBytes()),
		"utilization": object{"gpu": float64(d.Utilization), "memory": float64(d.MemoryUtilization)}, "encoder": 0.0, "decoder": 0.0,
		"power": float64(d.PowerMilliwatts / 1000), "limit": float64(d.PowerLimit / 1000), "compute": []any{}, "compute_v2": []any{}, "graphics": []any{},
	}
}

func TestGpustat(t *testing.T) {
	s := golden(t)
	s.Devices[0].Utilization, s.Devices[0].MemoryUtilization, s.Devices[0].UsedMemoryBytes = 83, 12, 9<<30
	own := ownNamespace(t)
	s.Devices[0].Processes = []model.Process{
		{PID: 41, Namespace: own, Name: "python", UsedMemoryBytes: 5 << 30}, {PID: 42, Namespace: own + 1, UsedMemoryBytes: 1}, {PID: 43, Namespace: own, UsedMemoryBytes: 4 << 30},
	}
	var got object
	if !(container{write(t, s), "all"}).run(t, "gpustat.py", &got) {
		return
	}
	first := gpustat(s.Devices[0], 0)
	none := float64(1<<32 - 1)
	first["compute"] = []any{
		object{"pid": 41.0, "usedGpuMemory": float64(5 << 30), "gpuInstanceId": none, "computeInstanceId": none},
		object{"pid": 43.0, "usedGpuMemory": float64(4 << 30), "gpuInstanceId": none, "computeInstanceId": none},
	}
	first["compute_v2"] = first["compute"]
	want := object{"driver": s.DriverVersion, "gpus": []any{first, gpustat(s.Devices[1], 1)}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("two GPUs, one busy (-want +got):\n%s", diff)
	}

	s.Devices[0].Fault.Lost = true
	if !(container{write(t, s), "all"}).run(t, "gpustat.py", &got) {
		return
	}
	want["gpus"] = []any{object{"index": 0.0, "lost": "The GPU has fallen off the bus"}, gpustat(s.Devices[1], 1)}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the first is lost (-want +got):\n%s", diff)
	}
}

// ownNamespace is that of this test and of the scripts it starts.
func ownNamespace(t *testing.T) uint64 {
	t.Helper()
	link, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		t.Log("not Linux")
		return 0
	}
	n, err := strconv.ParseUint(strings.Trim(link, "pid:[]"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// nvitop, and with it: what C answers is what the state says in Go.
func TestNvitop(t *testing.T) {
	s := golden(t)
	var got []any
	if !(container{write(t, s), "all"}).run(t, "nvitop.py", &got) {
		return
	}
	var want []any
	numbers := func(list ...int) []any {
		out := make([]any, len(list))
		for i, n := range list {
			out[i] = float64(n)
		}
		return out
	}
	for _, d := range s.Devices {
		want = append(want, object{
			"uuid": d.UUID, "bus": d.PCIBusID, "legacy": d.PCIBusID[4:], "pciDeviceId": float64(d.PCIDeviceID), "serial": d.Serial, "minor": float64(d.Minor),
			"capability": d.ComputeCapability, "architecture": 9.0, "brand": 14.0,
			"reserved": float64(d.ReservedMemoryBytes), "used": float64(d.UsedMemoryBytes), "free": float64(d.FreeMemoryBytes()), "bar1": float64(128 << 30),
			"clocks":     numbers(d.GraphicsClock, d.GraphicsClock, d.MemoryClock, d.VideoClock),
			"max_clocks": numbers(d.MaxGraphicsClock, d.MaxGraphicsClock, d.MaxMemoryClock, 1545),
			"pstate":     float64(d.PerformanceState), "persistence": 1.0, "compute_mode": 0.0, "display_active": 0.0, "display_mode": 26.0,
			"mig": numbers(0, 0), "pcie": numbers(d.PCIeGeneration, d.PCIeWidth, 0), "fan": nil,
			"fields": []any{numbers(0, d.MemoryTemperature), numbers(0, 18), numbers(3, 0)},
			"ecc":    0.0, "limit": float64(d.PowerLimit), "shutdown": 95.0,
		})
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestWandb(t *testing.T) {
	s := golden(t)
	s.Devices[1].Fault.ECC = model.ECC{Corrected: 3, Uncorrected: 1}
	var got object
	if !(container{write(t, s), "all"}).run(t, "wandb.py", &got) {
		return
	}
	gpu := func(i int, corrected, uncorrected float64) object {
		return object{"uuid": s.Devices[i].UUID, "cores": 16896.0, "ecc": 1.0, "corrected": corrected, "uncorrected": uncorrected, "energy": nil, "gpm": 3.0}
	}
	if diff := cmp.Diff(object{"cuda": 13010.0, "gpus": []any{gpu(0, 0, 0), gpu(1, 3, 1)}}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// A simulated GPU computes nothing, and PyTorch must not take it for CUDA, also
// under PYTORCH_NVML_BASED_CUDA_CHECK.
func TestTorchFindsNoCUDA(t *testing.T) {
	var got struct {
		Counted []int
		Torch   []any
	}
	if !(container{write(t, golden(t)), "all"}).run(t, "pytorch.py", &got) {
		return
	}
	if !cmp.Equal(got.Counted, []int{-1, 2, -1, 2, -1}) {
		t.Errorf("counted by PyTorch and pynvml in turn: %v", got.Counted)
	}
	switch {
	case got.Torch == nil:
		t.Log("no PyTorch here to ask")
	case !cmp.Equal(got.Torch[1:], []any{0.0, false}):
		t.Errorf("PyTorch counts %v", got.Torch)
	}
}

// running is a script that shows something for each line it is sent.
type running struct {
	t     *testing.T
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Scanner
}

func start(t *testing.T, c container, name string) *running {
	t.Helper()
	cmd := c.script(t, name)
	if cmd == nil {
		return nil
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return &running{t, cmd, in, bufio.NewScanner(out)}
}

// next sends a line, unless empty, and decodes what is shown for it.
func (r *running) next(line string, into any) {
	r.t.Helper()
	if line != "" {
		if _, err := io.WriteString(r.in, line+"\n"); err != nil {
			r.t.Fatalf("%v\n%s", err, r.cmd.Stderr)
		}
	}
	if !r.lines.Scan() {
		err := r.cmd.Wait()
		r.t.Fatalf("%s ended at %q: %v\n%s", filepath.Base(r.cmd.Args[2]), line, err, r.cmd.Stderr)
	}
	decode(r.t, r.lines.Text(), into)
}

func (r *running) end(line string) {
	r.t.Helper()
	_, _ = io.WriteString(r.in, line)
	_ = r.in.Close()
	if err := r.cmd.Wait(); err != nil {
		r.t.Fatalf("%v\n%s", err, r.cmd.Stderr)
	}
}
