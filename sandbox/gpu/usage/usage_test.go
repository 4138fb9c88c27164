package usage

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// fakeProc is a /proc made by hand.
type fakeProc struct {
	t   *testing.T
	dir string
}

func newProc(t *testing.T) *fakeProc {
	p := &fakeProc{t, t.TempDir()}
	p.write("uptime", "1000.00 1000.00\n")
	return p
}

func (p *fakeProc) write(name, content string) {
	p.t.Helper()
	path := filepath.Join(p.dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		p.t.Fatal(err)
	}
}

// run is a process: started and cpu in ticks, resident in pages.
func (p *fakeProc) run(pid int, command, env string, started, cpu, resident int) {
	p.t.Helper()
	dir := fmt.Sprint(pid) + "/"
	name := filepath.Base(strings.Fields(command)[0])
	p.write(dir+"stat", fmt.Sprintf("%d (%s) S 1 1 1 0 -1 0 0 0 0 0 %d 0 0 0 20 0 1 0 %d 0 %d 0\n", pid, name, cpu, started, resident))
	p.write(dir+"cmdline", strings.ReplaceAll(command, " ", "\x00")+"\x00")
	p.write(dir+"environ", strings.ReplaceAll(env, " ", "\x00")+"\x00")
	p.write(dir+"status", fmt.Sprintf("Name:\t%s\nNSpid:\t%d\t%d\n", name, pid, pid-1000))
	link := filepath.Join(p.dir, dir, "ns", "pid")
	if err := os.MkdirAll(filepath.Dir(link), 0o755); err != nil {
		p.t.Fatal(err)
	}
	_ = os.Remove(link)
	if err := os.Symlink("pid:[4026532001]", link); err != nil {
		p.t.Fatal(err)
	}
}

func TestSample(t *testing.T) {
	proc := newProc(t)
	s := &Sampler{Proc: proc.dir}
	start := time.Unix(1000, 0)
	page := uint64(os.Getpagesize())
	sample := func(after time.Duration) Load {
		t.Helper()
		load, err := s.Sample(start.Add(after))
		if err != nil {
			t.Fatal(err)
		}
		return load
	}
	const one, two = "NVIDIA_VISIBLE_DEVICES=GPU-a", "NVIDIA_VISIBLE_DEVICES=GPU-b,GPU-c"
	proc.run(1, "/sbin/init", "PATH=/bin", 0, 999, 10)
	proc.run(1010, "python train.py", one, 100, 500, 100)
	proc.run(1011, "/bin/sh -c train", one, 100, 500, 1)
	proc.run(1012, "/usr/bin/ai-agent run", one, 100, 500, 1)
	proc.run(1020, "python many.py", two, 100, 0, 7)
	proc.run(1021, "python idle.py", "NVIDIA_VISIBLE_DEVICES=void", 100, 0, 7)
	shown := func(pid int, pages uint64) []model.Process {
		return []model.Process{{PID: pid, Namespace: 4026532001, Name: "python", UsedMemoryBytes: pages * page}}
	}
	want := Load{
		"GPU-a": {Processes: shown(10, 100)},
		"GPU-b": {Processes: shown(20, 7)},
		"GPU-c": {Processes: shown(20, 7)},
	}
	if diff := cmp.Diff(want, sample(0)); diff != "" {
		t.Errorf("first -want +got:\n%s", diff)
	}

	// Two seconds later: half a CPU on one GPU, one CPU on two.
	proc.run(1010, "python train.py", one, 100, 600, 200)
	proc.run(1020, "python many.py", two, 100, 200, 7)
	// What began meanwhile counts as a whole; what is only seen now does not.
	proc.run(1030, "python new.py", "NVIDIA_VISIBLE_DEVICES=MIG-d", 99_900, 40, 1)
	proc.run(1031, "python old.py", "NVIDIA_VISIBLE_DEVICES=MIG-e", 100, 400, 1)
	load := sample(2 * time.Second)
	for uuid, want := range map[string]int{"GPU-a": 50, "GPU-b": 50, "GPU-c": 50, "MIG-d": 20, "MIG-e": 0} {
		if got := load[uuid].Utilization; got != want {
			t.Errorf("%s is busy to %d %%, want %d", uuid, got, want)
		}
	}
	if diff := cmp.Diff(shown(10, 200), load["GPU-a"].Processes); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}

	// Under torchrun each has its own, several on one GPU add up, and no GPU
	// is more than busy.
	proc.run(1040, "python rank.py", two+" LOCAL_RANK=1", 100_000, 0, 1)
	sample(4 * time.Second)
	proc.run(1040, "python rank.py", two+" LOCAL_RANK=1", 100_000, 150, 1)
	proc.run(1020, "python many.py", two, 100, 400, 7)
	load = sample(6 * time.Second)
	if b, c := load["GPU-b"], load["GPU-c"]; b.Utilization != 50 || c.Utilization != 100 || len(b.Processes) != 1 || len(c.Processes) != 2 {
		t.Errorf("GPU-b %+v, GPU-c %+v", b, c)
	}

	if err := os.RemoveAll(filepath.Join(proc.dir, "1010")); err != nil {
		t.Fatal(err)
	}
	if use, ok := sample(8 * time.Second)["GPU-a"]; ok {
		t.Errorf("its program has ended: %+v", use)
	}
}

// A process may become another program, with another environment.
func TestAProgramThatReplacesAnother(t *testing.T) {
	proc := newProc(t)
	s := &Sampler{Proc: proc.dir}
	proc.run(1010, "runc init", "", 100, 0, 1)
	if load, err := s.Sample(time.Unix(0, 1)); err != nil || len(load) != 0 {
		t.Errorf("%v, %v", load, err)
	}
	proc.run(1010, "python train.py", "NVIDIA_VISIBLE_DEVICES=GPU-a", 100, 0, 1)
	if load, err := s.Sample(time.Unix(2, 1)); err != nil || len(load["GPU-a"].Processes) != 1 {
		t.Errorf("%v, %v", load, err)
	}
}

func TestSampleOfThisMachine(t *testing.T) {
	s := &Sampler{Proc: "/proc"}
	if _, err := s.Sample(time.Now()); err != nil {
		t.Fatal(err)
	}
	if p, err := s.process(os.Getpid()); err != nil || p.resident == 0 || p.age() <= 0 {
		t.Errorf("this process: %+v, %v", p, err)
	}
}

func board() model.Device {
	return model.Device{
		UUID: "GPU-a", MemoryBytes: 80 << 30, ReservedMemoryBytes: 1 << 30, Temperature: 38, MemoryTemperature: 48,
		PowerMilliwatts: 100_000, PowerLimit: 700_000, GraphicsClock: 345, MaxGraphicsClock: 1980,
	}
}

func TestApply(t *testing.T) {
	n := func(i int) *int { return &i }
	busy := Load{"GPU-a": {Utilization: 50, Processes: []model.Process{{PID: 1, UsedMemoryBytes: 2 << 30}}}}
	cases := []struct {
		name   string
		load   Load
		fault  model.Fault
		change func(*model.Device)
	}{
		{"idle", nil, model.Fault{}, func(*model.Device) {}},
		{"half busy", busy, model.Fault{}, func(d *model.Device) {
			d.Processes, d.UsedMemoryBytes = busy["GPU-a"].Processes, 2<<30
			d.Utilization, d.MemoryUtilization = 50, 25
			d.Temperature, d.MemoryTemperature, d.PowerMilliwatts, d.GraphicsClock = 58, 68, 400_000, 1980
		}},
		{"a utilisation that was set, and what follows from it", busy, model.Fault{Set: model.Readings{Utilization: n(100)}}, func(d *model.Device) {
			d.Processes, d.UsedMemoryBytes = busy["GPU-a"].Processes, 2<<30
			d.Utilization, d.MemoryUtilization = 100, 50
			d.Temperature, d.MemoryTemperature, d.PowerMilliwatts, d.GraphicsClock = 78, 88, 700_000, 1980
		}},
		{"temperature and power that were set", nil, model.Fault{Set: model.Readings{Temperature: n(95), Power: n(123)}}, func(d *model.Device) {
			d.Temperature, d.PowerMilliwatts = 95, 123_000
		}},
		{"slowed down", busy, model.Fault{Throttle: true}, func(d *model.Device) {
			d.Processes, d.UsedMemoryBytes = busy["GPU-a"].Processes, 2<<30
			d.Utilization, d.MemoryUtilization = 50, 25
			d.Temperature, d.MemoryTemperature, d.PowerMilliwatts, d.GraphicsClock = 90, 68, 400_000, 495
		}},
		{"lost", busy, model.Fault{XID: 79, Lost: true}, func(*model.Device) {}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d, want := board(), board()
			d.Fault, want.Fault = c.fault, c.fault
			c.change(&want)
			if diff := cmp.Diff(want, Apply(d, c.load)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestApplyToMIGDevices(t *testing.T) {
	d := board()
	d.MIGEnabled = true
	d.MIG = []model.MIGDevice{
		{UUID: "MIG-1", GPUSlices: 3, MemoryBytes: 40 << 30},
		{UUID: "MIG-2", GPUSlices: 1, MemoryBytes: 10 << 30},
	}
	got := Apply(d, Load{"MIG-2": {Utilization: 100, Processes: []model.Process{{PID: 1, UsedMemoryBytes: 11 << 30}}}})
	if m := got.MIG[1]; len(m.Processes) != 1 || m.UsedMemoryBytes != 10<<30 {
		t.Errorf("the instance: %+v", m)
	}
	if got.Utilization != 0 || got.UsedMemoryBytes != 10<<30 || got.PowerMilliwatts != 250_000 || got.GraphicsClock != 1980 || len(got.Processes) != 0 {
		t.Errorf("the GPU: %+v", got)
	}
	if len(d.MIG[1].Processes) != 0 {
		t.Error("the idle state was changed")
	}
}
