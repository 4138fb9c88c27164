package passthrough

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"github.com/NVIDIA/go-nvml/pkg/nvml/mock"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/spec"
)

// eventful is NVML whose driver reports what a test sends, and whose GPUs may
// fall off the bus.
type eventful struct {
	nvml.Interface
	events chan nvml.EventData
	lost   chan struct{} // closed: the first GPU is
}

func (e eventful) EventSetCreate() (nvml.EventSet, nvml.Return) {
	return &mock.EventSet{
		WaitFunc: func(uint32) (nvml.EventData, nvml.Return) {
			select {
			case event := <-e.events:
				return event, nvml.SUCCESS
			case <-time.After(time.Millisecond):
				return nvml.EventData{}, nvml.ERROR_TIMEOUT
			}
		},
		FreeFunc: func() nvml.Return { return nvml.SUCCESS },
	}, nvml.SUCCESS
}

func (e eventful) DeviceGetHandleByIndex(i int) (nvml.Device, nvml.Return) {
	d, r := e.Interface.DeviceGetHandleByIndex(i)
	return watched{d, e, i == 0}, r
}

func (e eventful) DeviceGetHandleByUUID(uuid string) (nvml.Device, nvml.Return) {
	d, r := e.Interface.DeviceGetHandleByUUID(uuid)
	if r != nvml.SUCCESS {
		return d, r
	}
	index, _ := d.GetIndex()
	return watched{d, e, index == 0}, r
}

type watched struct {
	nvml.Device
	of    eventful
	first bool
}

func (watched) RegisterEvents(types uint64, _ nvml.EventSet) nvml.Return {
	if types != nvml.EventTypeXidCriticalError {
		return nvml.ERROR_INVALID_ARGUMENT
	}
	return nvml.SUCCESS
}

func (w watched) GetMemoryInfo() (nvml.Memory, nvml.Return) {
	select {
	case <-w.of.lost:
		if w.first {
			return nvml.Memory{}, nvml.ERROR_GPU_IS_LOST
		}
	default:
	}
	return w.Device.GetMemoryInfo()
}

func TestWatch(t *testing.T) {
	m, _ := simulated(t, spec.GPUs{Profile: "h100", Count: 3})
	lib := eventful{m.NVML, make(chan nvml.EventData), make(chan struct{})}
	m.NVML = lib
	n := node("0000:1b:00.0", "0000:1e:00.0")
	shown := make(chan model.State)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- m.watch(ctx, n, time.Millisecond, func(s model.State) error {
			select {
			case shown <- s:
			case <-ctx.Done():
			}
			return nil
		})
	}()
	// until waits for a state in which the node's GPUs are as wanted.
	until := func(what string, want ...bool) model.State {
		t.Helper()
		deadline := time.After(20 * time.Second)
		for {
			select {
			case s := <-shown:
				if len(s.Devices) == 2 && s.Devices[0].Healthy() == want[0] && s.Devices[1].Healthy() == want[1] {
					return s
				}
			case <-deadline:
				t.Fatalf("%s: never shown", what)
			}
		}
	}
	report := func(gpu int, xid uint64) {
		t.Helper()
		d, _ := lib.DeviceGetHandleByIndex(gpu)
		for { // the states in between are taken
			select {
			case lib.events <- nvml.EventData{Device: d, EventType: nvml.EventTypeXidCriticalError, EventData: xid}:
				return
			case <-shown:
			}
		}
	}
	until("in order", true, true)
	report(1, 31)
	for s := until("a program's fault", true, true); s.Devices[1].Fault.XID != 31; s = until("a program's fault", true, true) {
	}
	report(2, 79)
	until("a GPU that is another node's", true, true)
	report(1, 94)
	if s := until("an XID", true, false); s.Devices[1].Fault.XID != 94 || s.Devices[1].Fault.Since.IsZero() {
		t.Errorf("fault: %+v", s.Devices[1].Fault)
	}
	close(lib.lost)
	if s := until("a lost GPU", false, false); !s.Devices[0].Fault.Lost || s.Devices[0].Name == "" {
		t.Errorf("a lost GPU: %+v", s.Devices[0])
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("asked to end: %v", err)
	}
}

func TestWatchEndsWhenNobodyCanBeShown(t *testing.T) {
	m, _ := simulated(t, spec.GPUs{Profile: "h100", Count: 1}) // whose driver reports no XIDs
	full := errors.New("no space left")
	if err := m.watch(t.Context(), node("all"), time.Millisecond, func(model.State) error { return full }); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
}
