package apply

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/plugin/redact"
)

// Action is what a plan does with an object.
type Action string

// The actions.
const (
	Create    Action = "create"
	Update    Action = "update"
	Unchanged Action = "unchanged"
	// Replace: the change is immutable, so the object has to be deleted and
	// made anew. Whoever plans decides whether that may be.
	Replace Action = "replace"
	Prune   Action = "prune"
	// What becomes of earlier runs of a workload, before its next run begins.
	Await   Action = "await"   // it ends by itself, and nothing is written to it
	Suspend Action = "suspend" // its pods end, and it may go on later
	Kill    Action = "kill"    // it is deleted with its pods
)

// Change is one object of a plan.
type Change struct {
	Action Action
	Ref    Ref
	// Want is the object as it is applied; nil for a Former.
	Want *unstructured.Unstructured
	// Live is the object as it is; nil for Create, and for an object that its
	// receipt proved unchanged.
	Live *unstructured.Unstructured
	// Result is the object as the server says it will be; nil where that
	// was not asked.
	Result *unstructured.Unstructured
	// Reason says why, where that is not plain: of an earlier run.
	Reason string
	// Unverified says what was done in place of asking the server, "" when it was
	// asked.
	Unverified string
	// Like says that the object was not asked for: it is created like the first
	// new one of its kind in its namespace.
	Like bool
	// Inherits says that fields of a manager that nobody is any more become ours:
	// those that the bundle does not have are removed, which Result does not show.
	Inherits bool
	// Immutable lists the fields that make a Replace necessary.
	Immutable []string
	// receipt is what proved the object unchanged.
	receipt *Receipt
}

// Former says whether the object is none of those that are applied: it was
// there before, and gives way.
func (change *Change) Former() bool {
	switch change.Action {
	case Prune, Await, Suspend, Kill:
		return true
	}
	return false
}

// Plan is what would happen to each object, in the order of stages.
type Plan struct {
	Changes []Change
	mask    *redact.Masker
}

// Count returns how many objects have the action.
func (p *Plan) Count(a Action) int {
	n := 0
	for _, c := range p.Changes {
		if c.Action == a {
			n++
		}
	}
	return n
}

// Writes says whether anything would be written.
func (p *Plan) Writes() bool { return p.Count(Unchanged)+p.Count(Await) != len(p.Changes) }

// Summary is the plan in a line: "3 created, 1 changed, 5 unchanged".
func (p *Plan) Summary() string {
	var parts []string
	for _, item := range []struct {
		action Action
		word   string
		always bool
	}{
		{Create, "created", true},
		{Update, "changed", true},
		{Replace, "replaced", false},
		{Unchanged, "unchanged", true},
		{Prune, "pruned", false},
		{Await, "awaited", false},
		{Suspend, "suspended", false},
		{Kill, "killed", false},
	} {
		if n := p.Count(item.action); n > 0 || item.always {
			parts = append(parts, fmt.Sprintf("%d %s", n, item.word))
		}
	}
	return strings.Join(parts, ", ")
}

// Immutables returns an *ImmutableError for each object that would have to be
// replaced.
func (p *Plan) Immutables() []error {
	var errs []error
	for _, c := range p.Changes {
		if c.Action == Replace {
			errs = append(errs, &ImmutableError{Ref: c.Ref, Fields: c.Immutable})
		}
	}
	return errs
}

// AddFormer adds what becomes of a live object that is not applied.
func (p *Plan) AddFormer(a Action, live *unstructured.Unstructured, reason string) {
	p.Changes = append(p.Changes, Change{Action: a, Ref: RefOf(live), Live: live, Reason: reason})
}

// Split returns the plan in two: the changes that pick says yes to, and the
// others.
func (p *Plan) Split(pick func(Change) bool) (picked, others *Plan) {
	picked, others = &Plan{mask: p.mask}, &Plan{mask: p.mask}
	for _, c := range p.Changes {
		if pick(c) {
			picked.Changes = append(picked.Changes, c)
		} else {
			others.Changes = append(others.Changes, c)
		}
	}
	return picked, others
}

// Keep leaves an object as it is, although it is not there: its receipt is
// what is known of it.
func (change *Change) Keep(r Receipt) {
	change.Action, change.receipt, change.Result, change.Unverified, change.Like = Unchanged, &r, nil, "", false
}
