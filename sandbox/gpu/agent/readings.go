package agent

import (
	"maps"
	"reflect"
	"sync"
	"time"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/metrics"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/usage"
)

// readings makes the state of what it is made of, and shows it when it
// changes. It is safe for concurrent use.
type readings struct {
	idle    model.State // simulated GPUs in order that do nothing, or real ones as they are
	publish func(model.State) error
	tell    func(before, after model.Device) // of a fault that changed

	mu      sync.Mutex
	faults  Faults
	load    usage.Load
	holders []model.Holder
	shown   model.State
	begun   bool // shown is what others see, and not what an agent before has left
	meter   metrics.Meter
}

// seen takes real GPUs as they are now.
func (r *readings) seen(s model.State) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.idle = s
	return r.show()
}

// failed takes the faults of now.
func (r *readings) failed(f Faults) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.faults = maps.Clone(f)
	return r.show()
}

// used takes who holds the GPUs, and what is done with them.
func (r *readings) used(holders []model.Holder, load usage.Load) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.holders, r.load = holders, load
	return r.show()
}

// page is what metrics show.
func (r *readings) page() metrics.Page {
	r.mu.Lock()
	defer r.mu.Unlock()
	return metrics.Page{State: r.shown, Holders: r.holders, Host: r.shown.Node, Energy: r.meter.Read(r.shown, time.Now())}
}

// show makes the state, and publishes it if it is another.
func (r *readings) show() error {
	next := r.idle
	if next.Simulated {
		next.Devices = make([]model.Device, len(r.idle.Devices))
		for i, d := range r.idle.Devices {
			d.Fault = r.faults[d.UUID]
			next.Devices[i] = usage.Apply(d, r.load)
		}
	}
	next.Version = model.StateVersion
	if r.begun && reflect.DeepEqual(next, r.shown) {
		return nil
	}
	if err := r.publish(next); err != nil {
		return err
	}
	before := map[string]model.Device{}
	for _, d := range r.shown.Devices {
		before[d.UUID] = d
	}
	r.meter.Read(r.shown, time.Now()) // what was used until now
	r.shown, r.begun = next, true
	for _, d := range next.Devices {
		r.tell(before[d.UUID], d)
	}
	return nil
}
