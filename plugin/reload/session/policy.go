package session

import (
	"slices"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

// Policy says what a change of some paths does to the processes of ranks. All
// ranks get every change, whatever it does.
type Policy struct {
	Paths  tree.Patterns
	Action wire.Action // Restart, Signal or Keep
	Signal string      // for Signal: its name without SIG, such as HUP
	// Image says that these paths belong in the image: nothing but building
	// that anew makes the change count.
	Image bool
}

// Reaction is what a new generation does to the processes of ranks.
type Reaction struct {
	Action  wire.Action
	Signals []string // for Signal, each once
	Image   []string // changed paths that belong in the image
}

// Policies are asked in their order, and the last that has a path decides. A
// path that none has restarts the process.
type Policies []Policy

// add makes r the reaction to changes too: the strongest action wins.
func (p Policies) add(r *Reaction, changes tree.Changes) {
	for _, e := range changes.Puts {
		p.addPath(r, e.Path)
	}
	for _, gone := range changes.Deletes {
		p.addPath(r, gone)
	}
}

func (p Policies) addPath(r *Reaction, path string) {
	decided := Policy{Action: wire.Restart}
	for _, policy := range slices.Backward(p) {
		if policy.Paths.Match(path) {
			decided = policy
			break
		}
	}
	r.Action = r.Action.Stronger(decided.Action)
	if decided.Action == wire.Signal && !slices.Contains(r.Signals, decided.Signal) {
		r.Signals = append(r.Signals, decided.Signal)
	}
	if decided.Image && !slices.Contains(r.Image, path) {
		r.Image = append(r.Image, path)
	}
}

// reaction returns what a version does to the processes of ranks that do not
// hold it yet. They move as one: what one of them needs, all get.
func (p Policies) reaction(v *Version, behind []*conn) Reaction {
	if len(p) == 0 || v.Again {
		return Reaction{Action: wire.Restart}
	}
	r := Reaction{Action: wire.Keep}
	runs := false
	for _, c := range behind {
		switch {
		case c.welcome.Receipt == nil: // it starts a process in any case
		case c.index == nil: // what its process was started in is not known here
			return Reaction{Action: wire.Restart}
		default:
			runs = true
			p.add(&r, v.Index.Diff(c.index))
		}
	}
	if !runs {
		r.Action = wire.Restart
	}
	if r.Action == wire.Restart {
		r.Signals = nil
	}
	return r
}
