package wire

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// APIVersion and ReceiptKind open a receipt's JSON.
const (
	APIVersion  = "kubectl-ai.dev/v1alpha1"
	ReceiptKind = "Receipt"
)

// What became of the process with a generation.
const (
	Restarted = "restarted" // it was started in the generation
	Signalled = "signalled" // it runs on, and got a signal
	Unchanged = "unchanged" // it runs on
)

// Receipt is what a rank proves it runs. Times are the pod's clock.
//
// Generation and TreeDigest are what the rank holds as its current tree: what
// is seen below the mount, and what its next process starts in. The process
// PID was started in Started, whose tree has StartedDigest. The two are one
// where Process is Restarted; else the process has loaded nothing of the
// current tree but what it has opened there since.
type Receipt struct {
	Generation    uint64      `json:"generation"`
	TreeDigest    tree.Digest `json:"treeDigest"`
	Process       string      `json:"process"` // Restarted, Signalled or Unchanged
	Started       uint64      `json:"startedGeneration"`
	StartedDigest tree.Digest `json:"startedDigest"`
	Run           string      `json:"run,omitempty"` // the same for all ranks that were started together
	Pod           string      `json:"pod"`
	PodUID        string      `json:"podUID"`
	Container     string      `json:"container"`
	Rank          int         `json:"rank"` // -1: the pod carries no number
	PID           int         `json:"pid"`
	CWD           string      `json:"cwd"`        // as the kernel gives it for PID
	ArgvDigest    tree.Digest `json:"argvDigest"` // SHA-256 of argv, zero-separated
	Received      time.Time   `json:"received"`   // first frame of the generation
	Staged        time.Time   `json:"staged"`     // complete on disk and hashed there
	Committed     time.Time   `json:"committed"`
	Running       time.Time   `json:"running"` // since when the process does
}

// States of a receipt.
const (
	StateRunning = "running" // PID was started in the generation
	StateSynced  = "synced"  // the code is there; what runs was started by others
)

// State says what a receipt proves: where nothing was started, there is no
// argv.
func (r Receipt) State() string {
	if r.ArgvDigest == (tree.Digest{}) {
		return StateSynced
	}
	return StateRunning
}

type plainReceipt Receipt

type typedReceipt struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	State      string `json:"state"`
	plainReceipt
}

// MarshalJSON writes the receipt with its apiVersion and kind.
func (r Receipt) MarshalJSON() ([]byte, error) {
	return json.Marshal(typedReceipt{APIVersion, ReceiptKind, r.State(), plainReceipt(r)})
}

// UnmarshalJSON reads what MarshalJSON writes.
func (r *Receipt) UnmarshalJSON(raw []byte) error {
	var t typedReceipt
	if err := json.Unmarshal(raw, &t); err != nil {
		return err
	}
	if t.APIVersion != APIVersion || t.Kind != ReceiptKind {
		return fmt.Errorf("not a receipt: apiVersion %q, kind %q", t.APIVersion, t.Kind)
	}
	*r = Receipt(t.plainReceipt)
	return nil
}

func (r *Receipt) encode(e *encoder) {
	e.uint(r.Generation)
	e.sum(r.TreeDigest)
	e.text(r.Process)
	e.uint(r.Started)
	e.sum(r.StartedDigest)
	for _, s := range []string{r.Run, r.Pod, r.PodUID, r.Container, r.CWD} {
		e.text(s)
	}
	e.number(r.Rank, 1)
	e.number(r.PID, 0)
	e.sum(r.ArgvDigest)
	for _, t := range []time.Time{r.Received, r.Staged, r.Committed, r.Running} {
		e.time(t)
	}
}

func (r *Receipt) decode(d *decoder) {
	r.Generation, r.TreeDigest = d.uint(), tree.Digest(d.sum())
	r.Process, r.Started, r.StartedDigest = d.text(), d.uint(), tree.Digest(d.sum())
	for _, s := range []*string{&r.Run, &r.Pod, &r.PodUID, &r.Container, &r.CWD} {
		*s = d.text()
	}
	r.Rank, r.PID, r.ArgvDigest = d.number(1), d.number(0), tree.Digest(d.sum())
	for _, t := range []*time.Time{&r.Received, &r.Staged, &r.Committed, &r.Running} {
		*t = d.time()
	}
}
