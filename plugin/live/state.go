// Package live is the state of a bundle's environment as one value that follows
// it: runs with their ranks and curves, GPUs, generations, releases, drift. The
// dashboard and `status -w` show that value and nothing else, so that they
// cannot disagree.
//
// Pods, Jobs, records and nodes are watched, logs are followed; what cannot be
// watched (the agents of GPU nodes, another cluster's releases, the drift
// exporter) is asked now and then. What cannot be read is said in the value and
// does not hold back the rest.
//
// It writes nothing anywhere: a run that waits is let go by whoever waits for
// it, and its record is completed by them.
package live

import (
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/drift/exporter"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
	"github.com/kubectl-ai/kubectl-ai/plugin/run"
)

// APIVersion and Kind are those of a State as JSON.
const (
	APIVersion = "kubectl-ai.dev/v1alpha1"
	Kind       = "LiveState"
)

// State is what is known at one time. Its JSON form is stable; a list is never
// null.
type State struct {
	APIVersion  string       `json:"apiVersion"`
	Kind        string       `json:"kind"`
	Time        time.Time    `json:"time"` // of the last change
	Project     string       `json:"project"`
	Environment string       `json:"environment"`
	Context     string       `json:"context"`
	Namespace   string       `json:"namespace"`
	Runs        []Run        `json:"runs"` // those that go on, then those that ended, the newest first
	Nodes       []Node       `json:"nodes"`
	Generations []Generation `json:"generations"` // the newest first
	Releases    []Releases   `json:"releases"`
	Drift       []Drift      `json:"drift"`
	Unread      []Unread     `json:"unread"`
}

// Run is a run, or the ranks of a workload that dev keeps the code of.
type Run struct {
	ID         string            `json:"id"` // of a run; Kind/name of what dev works on
	Dev        bool              `json:"dev,omitempty"`
	Stage      string            `json:"stage,omitempty"`
	Phase      string            `json:"phase"`
	Reason     string            `json:"reason,omitempty"` // why it waits, or failed
	Done       bool              `json:"done"`
	Code       string            `json:"code,omitempty"`       // digest of the tree, the beginning
	Generation uint64            `json:"generation,omitempty"` // that the code is; 0: none here
	Parameters map[string]string `json:"parameters,omitempty"`
	Created    time.Time         `json:"created,omitzero"`
	Started    time.Time         `json:"started,omitzero"`
	Finished   time.Time         `json:"finished,omitzero"`
	// Progress is in percent; nil: the code does not say.
	Progress *run.Number `json:"progress,omitempty"`
	// ETA is when it will have ended, by what the code says; nil: nobody knows.
	ETA     *time.Time `json:"eta,omitempty"`
	Step    int        `json:"step"`              // of the run's main metric
	Metric  string     `json:"metric,omitempty"`  // the main one: the loss, where there is one
	Metrics []Curve    `json:"metrics,omitempty"` // the main one first
	Wanted  int        `json:"wanted"`            // ranks there should be
	Ranks   []Rank     `json:"ranks"`
}

// Curve is a metric over the steps of a run; long ones are thinned.
type Curve struct {
	Name   string       `json:"name"`
	Goal   string       `json:"goal,omitempty"` // minimize or maximize
	Last   run.Number   `json:"last"`
	Best   run.Number   `json:"best"`
	Steps  []int        `json:"steps"`
	Values []run.Number `json:"values"`
}

// Rank is one process of a run, in the pod that has its number now.
type Rank struct {
	Index     int    `json:"index"` // -1: its pod has no number
	Pod       string `json:"pod"`
	Container string `json:"container"`
	Node      string `json:"node,omitempty"`
	Phase     string `json:"phase"`             // Pending, Running, Succeeded, Failed or Terminating
	Trouble   string `json:"trouble,omitempty"` // why it does not run, or how it ended
	Step      int    `json:"step"`
	// Value is the last one of the run's main metric, as this rank says it.
	Value      *run.Number `json:"value,omitempty"`
	Generation uint64      `json:"generation,omitempty"` // that it proved to run; 0: none
	GPUs       int64       `json:"gpus"`                 // that it asks for
	Devices    []int       `json:"devices,omitempty"`    // indices of those it holds on its node
	Faulty     bool        `json:"faulty,omitempty"`     // one of these is broken
	Restarts   int         `json:"restarts"`             // of its container, and of its pod
}

// Node is a node that has GPUs.
type Node struct {
	Name        string `json:"name"`
	Ready       bool   `json:"ready"`
	Capacity    int64  `json:"capacity"`    // GPUs
	Allocatable int64  `json:"allocatable"` // of them, those that pods may get
	GPUs        []GPU  `json:"gpus"`        // empty where no agent of a sandbox tells
}

// GPU is one board. Memory is in bytes, temperature in °C, power in W,
// utilisation in per cent.
type GPU struct {
	Index       int        `json:"index"`
	UUID        string     `json:"uuid"`
	Product     string     `json:"product"`
	Simulated   bool       `json:"simulated"`
	Healthy     bool       `json:"healthy"`
	Fault       string     `json:"fault,omitempty"`
	FaultSince  *time.Time `json:"faultSince,omitempty"`
	Lost        bool       `json:"lost,omitempty"` // the readings below are none
	Utilization int        `json:"utilization"`
	Memory      uint64     `json:"memoryBytes"`
	MemoryUsed  uint64     `json:"memoryUsedBytes"`
	Temperature int        `json:"temperature"`
	Power       int        `json:"powerWatts"`
	Holders     []Holder   `json:"holders,omitempty"`
}

// Holder is a container that holds a GPU.
type Holder struct {
	Namespace string `json:"namespace"`
	Pod       string `json:"pod"`
	Container string `json:"container"`
	Run       string `json:"run,omitempty"` // of this project
}

// Generation is code that ranks have run. Numbers may repeat, IDs do not.
type Generation struct {
	ID      string    `json:"id"`
	Number  uint64    `json:"number"`
	Digest  string    `json:"digest"` // the beginning
	Time    time.Time `json:"time"`
	Ranks   int       `json:"ranks"`  // that there should be
	Proved  int       `json:"proved"` // of them, those that hold it with a process
	First   bool      `json:"first,omitempty"`
	Changes []Change  `json:"changes"`        // to the one before; none of the first
	More    int       `json:"more,omitempty"` // changes that are not listed
}

// Change is a path that differs from the generation before.
type Change struct {
	Path string `json:"path"`
	What string `json:"what"` // added, changed or removed
}

// Releases are what an environment's namespace records, the newest first.
type Releases struct {
	Environment string           `json:"environment"`
	Cluster     string           `json:"cluster,omitempty"`
	Context     string           `json:"context"`
	Current     int              `json:"current"` // revision; 0: none
	Items       []release.Record `json:"items"`
}

// Drift is what the exporter of an environment says.
type Drift struct {
	Environment string `json:"environment"`
	exporter.Status
}

// Unread is a part that cannot be read now.
type Unread struct {
	Part   string `json:"part"`
	Reason string `json:"reason"`
}
