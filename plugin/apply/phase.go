package apply

import "strings"

// Phase is how far a workload is. Work goes through the phases in this order
// and may fall back; what never ends by itself, such as a Deployment, stays
// Running.
type Phase string

// The phases.
const (
	Queued   Phase = "Queued"   // held back: suspended, by hand or by a queue such as Kueue's
	Admitted Phase = "Admitted" // let go; not every rank has a node yet
	Pulling  Phase = "Pulling"  // every rank has a node, where images are pulled and containers made
	Starting Phase = "Starting" // processes run, and not all ranks are Ready
	Started  Phase = "Started"  // all ranks are Ready at the same time
	Running  Phase = "Running"  // and have been for the settle time
	Complete Phase = "Complete"
	Failed   Phase = "Failed"
)

// up says whether all ranks have started.
func (p Phase) up() bool { return p == Started || p == Running || p == Complete }

// Standing is how far one workload is. Its JSON form is stable.
type Standing struct {
	Object Ref    `json:"object"`
	Phase  Phase  `json:"phase,omitempty"` // "" while nobody has seen it
	Detail string `json:"detail,omitempty"`
}

func (s Standing) String() string {
	return s.Object.Short() + ": " + strings.TrimPrefix(string(s.Phase)+": "+s.Detail, ": ")
}
