// Package fault says what can be made to go wrong with a simulated GPU, and
// what follows: an XID as a driver reports it, a board that is lost, memory
// errors, a board that is too hot, or a reading that is set by hand. It changes
// values alone; the agent of a node keeps them and tells others.
package fault

import (
	"fmt"
	"strconv"
	"time"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// Kind is what goes wrong. One field is set.
type Kind struct {
	XID      int  // 1 to MaxXID
	Lost     bool // XID 79: fallen off the bus
	ECC      bool // XID 48: an uncorrectable memory error
	Throttle bool // slowed down because it is hot; programs go on
}

// Check returns *XIDError for an XID that cannot be.
func (k Kind) Check() error {
	if k.XID != 0 || !k.Lost && !k.ECC && !k.Throttle {
		return checkXID(k.XID)
	}
	return nil
}

// Find returns the GPU that an index or a UUID names, or *UnknownGPUError. It
// returns *RealError for GPUs that are not simulated: nobody can break those
// on request.
func Find(s model.State, gpu string) (model.Device, error) {
	if !s.Simulated {
		return model.Device{}, &RealError{Node: s.Node}
	}
	for _, d := range s.Devices {
		if gpu == d.UUID || gpu == strconv.Itoa(d.Index) {
			return d, nil
		}
	}
	return model.Device{}, &UnknownGPUError{Node: s.Node, GPU: gpu, Count: len(s.Devices)}
}

// Inject returns the fault of a GPU after one more has happened to it.
func Inject(d model.Device, k Kind, at time.Time) (model.Fault, error) {
	f := d.Fault
	if err := k.Check(); err != nil {
		return f, err
	}
	xid := k.XID
	switch {
	case k.Lost:
		xid = fallenOff
	case k.ECC:
		xid = doubleBit
	case k.Throttle:
		f.Throttle, f.Since = true, at
		return f, nil
	}
	if model.ApplicationXID(xid) && !d.Healthy() {
		return f, &OutError{GPU: d.Index, Fault: f, XID: xid}
	}
	f.XID, f.Since = xid, at
	x, _ := LookupXID(xid)
	f.Lost = f.Lost || x.lost
	if x.memory {
		f.ECC.Uncorrected++
	}
	return f, nil
}

// Set returns the fault of a GPU with readings that hold from now on; nil ones
// stay as they are. It returns *ReadingError.
func Set(d model.Device, r model.Readings) (model.Fault, error) {
	f := d.Fault
	for _, reading := range []struct {
		name   string
		value  *int
		target **int
		limit  int
	}{
		{"temperature", r.Temperature, &f.Set.Temperature, maxTemperature},
		{"power", r.Power, &f.Set.Power, d.PowerLimit / 1000},
		{"utilization", r.Utilization, &f.Set.Utilization, 100},
	} {
		if reading.value == nil {
			continue
		}
		if *reading.value < 0 || *reading.value > reading.limit {
			return f, &ReadingError{Name: reading.name, Value: *reading.value, Limit: reading.limit}
		}
		*reading.target = reading.value
	}
	return f, nil
}

// maxTemperature is beyond what any board shuts down at, in °C.
const maxTemperature = 120

// Describe says what is wrong: "XID 79: the GPU has fallen off the bus". It is
// empty for a GPU in order, whatever was set by hand.
func Describe(f model.Fault) string {
	switch {
	case f.XID != 0:
		text := fmt.Sprintf("XID %d", f.XID)
		if x, ok := LookupXID(f.XID); ok {
			text += ": " + x.Meaning
		}
		if f.Throttle {
			text += "; throttled"
		}
		return text
	case f.Throttle:
		return "throttled: it is hot, and clocks are lowered"
	}
	return ""
}

// UnknownGPUError says that a node has no such GPU.
type UnknownGPUError struct {
	Node, GPU string
	Count     int // of the node's GPUs
}

func (e *UnknownGPUError) Error() string {
	if e.Count == 0 {
		return fmt.Sprintf("%s has no GPUs", e.Node)
	}
	return fmt.Sprintf("%s has no GPU %s: there are 0 to %d, or their UUIDs", e.Node, e.GPU, e.Count-1)
}

// RealError says that a node's GPUs are real.
type RealError struct{ Node string }

func (e *RealError) Error() string {
	return e.Node + " has real GPUs: only simulated ones fail and heal on request"
}

// OutError says that a GPU is out already, so that no program of it can fail.
type OutError struct {
	GPU   int
	Fault model.Fault
	XID   int
}

func (e *OutError) Error() string {
	return fmt.Sprintf("XID %d is the fault of a program, and GPU %d runs none any more (%s)", e.XID, e.GPU, Describe(e.Fault))
}

// ReadingError says that a GPU cannot read so.
type ReadingError struct {
	Name         string
	Value, Limit int
}

func (e *ReadingError) Error() string {
	return fmt.Sprintf("%s %d: 0 to %d, please", e.Name, e.Value, e.Limit)
}
