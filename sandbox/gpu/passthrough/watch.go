package passthrough

import (
	"context"
	"maps"
	"time"

	"github.com/NVIDIA/go-nvml/pkg/nvml"
	"golang.org/x/sync/errgroup"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/nvmlsource"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/spec"
)

// Often enough for a person who looks, and for a scheduler.
const (
	refreshEvery = 5 * time.Second
	eventWait    = 500 * time.Millisecond // of one call, which ctx cannot end
)

// Watch shows the GPUs of a node anew every few seconds, and at once when the
// driver reports an XID. A GPU that had one which is not a program's fault
// stays unhealthy until ai-gpu is started again, as with NVIDIA's device
// plugin: nothing in NVML says that it is well. It returns when ctx ends, or
// the error of show.
func (m *Machine) Watch(ctx context.Context, node spec.Node, show func(model.State) error) error {
	return m.watch(ctx, node, refreshEvery, show)
}

func (m *Machine) watch(ctx context.Context, node spec.Node, every time.Duration, show func(model.State) error) error {
	if r := m.NVML.Init(); r != nvml.SUCCESS { // once, so that each look need not
		return &nvmlsource.ReturnError{Action: "watch the GPUs", Return: r}
	}
	defer func() { _ = m.NVML.Shutdown() }()
	xids := make(chan fault)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return m.events(ctx, xids) })
	group.Go(func() error {
		tick := time.NewTicker(every)
		defer tick.Stop()
		faults := map[string]model.Fault{}
		for {
			select {
			case <-ctx.Done():
				return nil
			case f := <-xids:
				faults[f.uuid] = f.fault
			case <-tick.C:
			}
			if err := m.refresh(node, faults, show); err != nil {
				return err
			}
		}
	})
	return group.Wait()
}

// fault is one that a GPU has from now on.
type fault struct {
	uuid  string
	fault model.Fault
}

// refresh shows the GPUs with their faults. What NVML does not answer for a
// moment is shown as it was.
func (m *Machine) refresh(node spec.Node, faults map[string]model.Fault, show func(model.State) error) error {
	state, _, err := m.State(node)
	if err != nil {
		m.Log.Warn("the GPUs cannot be read, and are shown as they were", "error", err)
		if state = m.last; len(state.Devices) == 0 {
			return nil
		}
		maps.Copy(faults, m.lost(state))
	}
	for i := range state.Devices {
		state.Devices[i].Fault = faults[state.Devices[i].UUID]
	}
	m.last = state
	return show(state)
}

// lost returns the GPUs that have fallen off the bus.
func (m *Machine) lost(s model.State) map[string]model.Fault {
	gone := map[string]model.Fault{}
	for _, d := range s.Devices {
		h, r := m.NVML.DeviceGetHandleByUUID(d.UUID)
		if r == nvml.SUCCESS {
			_, r = h.GetMemoryInfo()
		}
		if r == nvml.ERROR_GPU_IS_LOST {
			gone[d.UUID] = model.Fault{XID: 79, Lost: true, Since: time.Now()}
		}
	}
	return gone
}

// events passes on what the driver reports of GPUs. A driver that reports
// nothing is no fault.
func (m *Machine) events(ctx context.Context, xids chan<- fault) error {
	set, r := m.NVML.EventSetCreate()
	if r != nvml.SUCCESS {
		m.Log.Warn("the driver reports no XIDs", "return", int(r))
		return nil
	}
	defer func() { _ = set.Free() }()
	count, _ := m.NVML.DeviceGetCount()
	for i := range count {
		h, r := m.NVML.DeviceGetHandleByIndex(i)
		if r == nvml.SUCCESS {
			r = h.RegisterEvents(nvml.EventTypeXidCriticalError, set)
		}
		if r != nvml.SUCCESS {
			m.Log.Warn("no XIDs of a GPU", "gpu", i, "return", int(r))
		}
	}
	for ctx.Err() == nil {
		event, r := set.Wait(uint32(eventWait.Milliseconds()))
		if r == nvml.ERROR_TIMEOUT {
			continue
		}
		if r != nvml.SUCCESS {
			m.Log.Warn("the driver reports no more XIDs", "return", int(r))
			return nil
		}
		uuid, r := event.Device.GetUUID()
		if event.EventType != nvml.EventTypeXidCriticalError || r != nvml.SUCCESS {
			continue
		}
		m.Log.Warn("XID", "gpu", uuid, "xid", event.EventData)
		select {
		case xids <- fault{uuid, model.Fault{XID: int(event.EventData), Since: time.Now()}}:
		case <-ctx.Done():
		}
	}
	return nil
}
