package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/usage"
)

// recorder is a Node object that remembers what it is told.
type recorder []string

func (r *recorder) Event(warning bool, reason, message string) {
	*r = append(*r, fmt.Sprint(warning, " ", reason, ": ", message))
}

func (*recorder) Run(context.Context) error { return nil }

// watched returns the readings of two idle GPUs, what is published of them, and
// the Events.
func watched(t *testing.T) (*readings, *[]model.State, *recorder) {
	t.Helper()
	events, shown := &recorder{}, &[]model.State{}
	a := &Agent{Log: slog.New(slog.DiscardHandler), node: events}
	return &readings{
		idle: model.State{Simulated: true, Devices: []model.Device{
			{Index: 0, UUID: "GPU-a", MemoryBytes: 1 << 30, PowerLimit: 700_000},
			{Index: 1, UUID: "GPU-b", MemoryBytes: 1 << 30, PowerLimit: 700_000},
		}},
		publish: func(s model.State) error { *shown = append(*shown, s); return nil },
		tell:    a.tell,
	}, shown, events
}

func TestFaultsAreTold(t *testing.T) {
	r, shown, events := watched(t)
	hot := 90
	for _, step := range []struct {
		name   string
		faults Faults
		want   recorder // of this step
	}{
		{"in order", nil, nil},
		{"out", Faults{"GPU-b": {XID: 79, Lost: true}}, recorder{"true XidCriticalError: GPU 1 (GPU-b): XID 79: the GPU has fallen off the bus"}},
		{"the same", Faults{"GPU-b": {XID: 79, Lost: true}}, nil},
		{"a reading that was set is none", Faults{"GPU-b": {XID: 79, Lost: true}, "GPU-a": {Set: model.Readings{Temperature: &hot}}}, nil},
		{"in order again", nil, recorder{"false GpuHealed: GPU 1 (GPU-b) is in order again; it had XID 79: the GPU has fallen off the bus"}},
		{"the fault of a program", Faults{"GPU-a": {XID: 31}}, nil},
		{"which is over", nil, nil},
		{"hot", Faults{"GPU-a": {Throttle: true}}, recorder{"true GpuThrottled: GPU 0 (GPU-a): throttled: it is hot, and clocks are lowered"}},
		{"cold", nil, recorder{"false GpuHealed: GPU 0 (GPU-a) is in order again; it had throttled: it is hot, and clocks are lowered"}},
	} {
		*events = nil
		if err := r.failed(step.faults); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(step.want, *events); diff != "" {
			t.Errorf("%s: events -want +got:\n%s", step.name, diff)
		}
	}
	if got := len(*shown); got != 8 {
		t.Errorf("published %d times, want once for each that differs", got)
	}
}

// Real GPUs are shown as their driver has them, whatever the file of faults
// says.
func TestRealGPUsAreShownAsTheyAre(t *testing.T) {
	r, shown, events := watched(t)
	r.idle.Simulated = false
	if err := r.failed(Faults{"GPU-a": {XID: 79}}); err != nil {
		t.Fatal(err)
	}
	broken := model.State{Devices: []model.Device{{Index: 0, UUID: "GPU-a", Temperature: 50}, {Index: 1, UUID: "GPU-b", Fault: model.Fault{XID: 94}}}}
	a := &Agent{Log: slog.New(slog.DiscardHandler)}
	for range 2 {
		if err := a.see(r)(broken); err != nil {
			t.Fatal(err)
		}
	}
	if got := *shown; len(got) != 2 || got[0].Devices[0].Fault.XID != 0 || got[1].Devices[0].Temperature != 50 || got[1].Devices[1].Healthy() {
		t.Errorf("published: %+v", got)
	}
	if len(*events) != 1 {
		t.Errorf("events: %q, want one of XID 94", *events)
	}
	full := errors.New("no space left")
	r.publish = func(model.State) error { return full }
	if err := a.see(r)(model.State{}); err != nil {
		t.Errorf("what cannot be shown now ended the agent: %v", err)
	}
}

// An agent that starts again tells nobody of the faults of before, but shows
// them.
func TestOldFaultsAreNoNews(t *testing.T) {
	r, shown, events := watched(t)
	r.shown = model.State{Devices: []model.Device{{UUID: "GPU-b", Fault: model.Fault{XID: 79, Lost: true}}}}
	if err := r.failed(Faults{"GPU-b": {XID: 79, Lost: true}}); err != nil {
		t.Fatal(err)
	}
	if len(*events) > 0 || len(*shown) != 1 || (*shown)[0].Devices[1].Healthy() {
		t.Errorf("events %q, shown %+v", *events, *shown)
	}
}

func TestUseIsShownWhenItChanges(t *testing.T) {
	r, shown, _ := watched(t)
	load := usage.Load{"GPU-a": {Utilization: 40, Processes: []model.Process{{PID: 7}}}}
	for _, l := range []usage.Load{nil, nil, load, load, nil} {
		if err := r.used(nil, l); err != nil {
			t.Fatal(err)
		}
	}
	var got []int
	for _, s := range *shown {
		got = append(got, s.Devices[0].Utilization)
	}
	if diff := cmp.Diff([]int{0, 40, 0}, got); diff != "" {
		t.Errorf("utilisation -want +got:\n%s", diff)
	}
}

// What could not be published is published with the next occasion.
func TestAFullDiskIsTriedAgain(t *testing.T) {
	r, shown, events := watched(t)
	publish, full := r.publish, errors.New("no space left")
	r.publish = func(model.State) error { return full }
	faults := Faults{"GPU-a": {XID: 48}}
	if err := r.failed(faults); !errors.Is(err, full) || len(*events) > 0 {
		t.Errorf("%v, events %q", err, *events)
	}
	r.publish = publish
	if err := r.failed(faults); err != nil || len(*shown) != 1 || len(*events) != 1 {
		t.Errorf("%v, shown %d times, events %q", err, len(*shown), *events)
	}
}

func TestFaultsFile(t *testing.T) {
	dir := t.TempDir()
	if f, err := ReadFaults(dir); err != nil || len(f) != 0 {
		t.Errorf("none yet: %v, %v", f, err)
	}
	want := Faults{"GPU-a": {XID: 79, Lost: true}}
	err := ChangeFaults(dir, func(f Faults) error {
		f["GPU-a"] = want["GPU-a"]
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	refused := errors.New("refused")
	if err := ChangeFaults(dir, func(f Faults) error { f["GPU-b"] = model.Fault{XID: 1}; return refused }); !errors.Is(err, refused) {
		t.Error(err)
	}
	if got, err := ReadFaults(dir); err != nil || !cmp.Equal(want, got) {
		t.Errorf("%v, %v", got, err)
	}
	for _, content := range []string{"{", `{"version": "another"}`} {
		if err := os.WriteFile(filepath.Join(dir, faultsFile), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadFaults(dir); err == nil {
			t.Errorf("%s was read", content)
		}
	}
}
