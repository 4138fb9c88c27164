package agent

import (
	"fmt"
	"reflect"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/fault"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// Reasons of the Events on a Node.
const (
	reasonXID       = "XidCriticalError"
	reasonThrottled = "GpuThrottled"
	reasonHealed    = "GpuHealed"
)

// tell says that a GPU's fault is another now: in the log, and for what takes
// the GPU out or slows it down, in an Event. Errors of programs are theirs.
func (a *Agent) tell(before, after model.Device) {
	if same(before.Fault, after.Fault) {
		return
	}
	was, is := fault.Describe(before.Fault), fault.Describe(after.Fault)
	gpu := fmt.Sprintf("GPU %d (%s)", after.Index, after.UUID)
	a.Log.Info("a GPU's fault has changed", "gpu", after.Index, "was", was, "is", is, "healthy", after.Healthy())
	if a.node == nil {
		return
	}
	switch {
	case !after.Healthy():
		a.node.Event(true, reasonXID, gpu+": "+is)
	case after.Fault.Throttle && !before.Fault.Throttle:
		a.node.Event(true, reasonThrottled, gpu+": "+is)
	case after.Fault.XID == 0 && !after.Fault.Throttle && (!before.Healthy() || before.Fault.Throttle):
		a.node.Event(false, reasonHealed, gpu+" is in order again; it had "+was)
	}
}

// same tells whether two faults are one, but for what was set by hand.
func same(a, b model.Fault) bool {
	a.Set, b.Set = model.Readings{}, model.Readings{}
	return reflect.DeepEqual(a, b)
}
