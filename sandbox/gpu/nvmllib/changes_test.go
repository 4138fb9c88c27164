package nvmllib

import (
	"fmt"
	"math/rand"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

type looked struct {
	Temperature []int
	Used        uint64
	ByIndex     int `json:"by_index"`
	Fan         int
	Event       []any
	Reasons     int
	Processes   int
}

func TestARunningProgramSeesChanges(t *testing.T) {
	s := golden(t)
	dir := write(t, s)
	program := start(t, container{dir, "all"}, "changes.py")
	if program == nil {
		return
	}
	reserved := s.Devices[1].ReservedMemoryBytes
	silent := []any{10.0, 0.0, false}
	var got looked
	program.next("", &got)
	want := looked{Temperature: []int{41, 41}, Used: reserved, Fan: 3, Event: silent, Reasons: 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("at first (-want +got):\n%s", diff)
	}
	steps := []struct {
		name   string
		change func(a, b *model.Device)
		want   looked
	}{
		{"readings and programs", func(_, b *model.Device) {
			b.Temperature, b.UsedMemoryBytes, b.Utilization = 77, 1<<30, 50
			b.Processes = []model.Process{{PID: 9, Namespace: ownNamespace(t)}}
		}, looked{Temperature: []int{41, 77}, Used: reserved + 1<<30, Fan: 3, Event: silent, Processes: 1}},
		{"an error", func(a, _ *model.Device) { a.Fault.XID = 31 }, looked{
			Temperature: []int{41, 77}, Used: reserved + 1<<30, Fan: 3, Event: []any{0.0, 31.0, true}, Processes: 1,
		}},
		{"the same again, later", func(a, _ *model.Device) { a.Fault.Since = time.Unix(5, 0) }, looked{
			Temperature: []int{41, 77}, Used: reserved + 1<<30, Fan: 3, Event: []any{0.0, 31.0, true}, Processes: 1,
		}},
		{"lost", func(a, _ *model.Device) { a.Fault.XID, a.Fault.Lost = 79, true }, looked{
			Temperature: []int{-15, 77}, Used: reserved + 1<<30, ByIndex: 15, Fan: 3, Event: []any{0.0, 79.0, true}, Processes: 1,
		}},
		{"healed, and the other is hot", func(a, b *model.Device) { a.Fault, b.Fault.Throttle, b.Processes = model.Fault{}, true, nil }, looked{
			Temperature: []int{41, 77}, Used: reserved + 1<<30, Fan: 3, Event: silent, Reasons: 0x48,
		}},
	}
	for _, step := range steps {
		step.change(&s.Devices[0], &s.Devices[1])
		if err := model.Write(dir, s); err != nil {
			t.Fatal(err)
		}
		got := looked{}
		program.next("look", &got)
		if diff := cmp.Diff(step.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step.name, diff)
		}
	}
	program.end("end\n")
}

func TestCodes(t *testing.T) {
	var got object
	if !(container{write(t, golden(t)), "all"}).run(t, "codes.py", &got) {
		return
	}
	want := object{
		"before": []any{1.0, 1.0, 1.0, 1.0}, "init": 0.0,
		"arguments": object{
			"count nowhere": 2.0, "no such index": 2.0, "no such uuid": 6.0, "no such bus": 6.0, "no bus": 2.0, "no handle": 2.0, "wild handle": 2.0,
			"no such sensor": 2.0, "small buffer": 7.0, "wrong version": 25.0, "no mig": 2.0, "clocks": 7.0,
		},
		"unsupported": []any{3.0, 3.0, 3.0, 77.0}, "words": 32.0, "end": []any{0.0, 0.0, 0.0, 0.0, 1.0},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// cut is a node whose first GPU is cut.
func cut(t *testing.T) model.State {
	s := golden(t)
	own := ownNamespace(t)
	d := &s.Devices[0]
	d.MIGEnabled = true
	d.MIG = []model.MIGDevice{
		{
			UUID: "MIG-11111111-1111-5111-8111-111111111111", Profile: "1g.10gb", GPUInstance: 7, MemoryBytes: 9856 << 20, Multiprocessors: 16, GPUSlices: 1, ComputeSlices: 1,
			Engines: model.Engines{Copy: 1, Decoder: 1, JPEG: 1}, Processes: []model.Process{{PID: 5, Namespace: own}},
		},
		{
			UUID: "MIG-22222222-2222-5222-8222-222222222222", Profile: "3g.40gb", GPUInstance: 2, MemoryBytes: 40192 << 20, Multiprocessors: 60, GPUSlices: 3, ComputeSlices: 3,
			Engines: model.Engines{Copy: 3, Decoder: 3, JPEG: 3}, Processes: []model.Process{{PID: 6, Namespace: own}},
		},
	}
	return s
}

func TestMIG(t *testing.T) {
	s := cut(t)
	dir := write(t, s)
	instance := func(i, index int) object {
		m := s.Devices[0].MIG[i]
		return object{
			"uuid": m.UUID, "name": s.Devices[0].Name + " MIG " + m.Profile, "index": float64(index), "gi": float64(m.GPUInstance), "ci": 0.0,
			"attributes": object{
				"multiprocessors": float64(m.Multiprocessors), "copy": float64(m.Engines.Copy), "decoder": float64(m.Engines.Decoder), "encoder": 0.0,
				"jpeg": float64(m.Engines.JPEG), "ofa": 0.0, "gpuSlices": float64(m.GPUSlices), "computeSlices": float64(m.ComputeSlices), "memory": float64(m.MemoryBytes >> 20),
			},
			"total": float64(m.MemoryBytes), "temperature": nil, "processes": []any{[]any{float64(m.Processes[0].PID), float64(m.GPUInstance)}},
		}
	}
	parent := func(processes []any, instances ...any) object {
		return object{"uuid": s.Devices[0].UUID, "enabled": 1.0, "most": 7.0, "utilization": nil, "processes": processes, "mig": instances}
	}
	whole := object{
		"uuid": s.Devices[1].UUID, "enabled": 0.0, "most": 0.0, "utilization": object{"gpu": 0.0, "memory": 0.0}, "processes": []any{}, "mig": []any{},
	}
	both := []any{[]any{5.0, 7.0}, []any{6.0, 2.0}}
	for visible, want := range map[string][]any{
		"all":                    {parent(both, instance(0, 0), instance(1, 1)), whole},
		s.Devices[0].UUID:        {parent(both, instance(0, 0), instance(1, 1))},
		s.Devices[0].MIG[1].UUID: {parent(both[1:], instance(1, 0))},
		s.Devices[0].MIG[0].UUID + "," + s.Devices[1].UUID: {parent(both[:1], instance(0, 0)), whole},
	} {
		var got []any
		if !(container{dir, visible}).run(t, "mig.py", &got) {
			return
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("NVIDIA_VISIBLE_DEVICES=%s (-want +got):\n%s", visible, diff)
		}
	}
}

// Without a file that is right there is no driver, and nothing crashes.
func TestAStateThatIsNotRight(t *testing.T) {
	content, err := model.EncodeBinary(cut(t))
	if err != nil {
		t.Fatal(err)
	}
	changed := func(at int, to byte) []byte {
		c := append([]byte{}, content...)
		c[at] = to
		return c
	}
	cases := map[string][]byte{
		"missing": nil, "empty": {}, "short": content[:100], "cut": content[:len(content)-1], "longer": append(append([]byte{}, content...), 0),
		"other magic": changed(0, 'X'), "other version": changed(8, 9), "more devices": changed(28, 3), "text that does not end": changed(208+47, 'x'),
	}
	for name, content := range cases {
		dir := t.TempDir()
		if name != "missing" {
			if err := os.WriteFile(filepath.Join(dir, model.BinaryFile), content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		var got object
		if !(container{dir, "all"}).run(t, "ray.py", &got) {
			return
		}
		if diff := cmp.Diff(object{"count": 0.0, "code": 9.0}, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Whatever the file holds, no call crashes: the program that would end is
// somebody's training.
func TestRandomBytesDoNotCrash(t *testing.T) {
	content, err := model.EncodeBinary(cut(t))
	if err != nil {
		t.Fatal(err)
	}
	dir := write(t, cut(t))
	program := start(t, container{dir, "all"}, "fuzz.py")
	if program == nil {
		return
	}
	const rounds = 250
	random := rand.New(rand.NewSource(1))
	loaded := 0
	for i := range rounds {
		c := append([]byte{}, content...)
		if i%4 == 0 { // most of the numbers that others depend on are in front
			c[random.Intn(208)] = byte(random.Intn(256))
		}
		for range 1 + random.Intn(8) {
			c[random.Intn(len(c))] = byte(random.Intn(256))
		}
		path := filepath.Join(dir, fmt.Sprint("state-", i))
		if err := os.WriteFile(path, c, 0o644); err != nil {
			t.Fatal(err)
		}
		code := -1
		program.next(path, &code)
		if code == 0 {
			loaded++
		} else if code != 9 {
			t.Fatalf("file %d: nvmlInit_v2 answers %d", i, code)
		}
	}
	program.end("")
	if loaded < rounds/10 || loaded == rounds {
		t.Errorf("%d of %d files were taken: the test changes too much or too little", loaded, rounds)
	}
}
