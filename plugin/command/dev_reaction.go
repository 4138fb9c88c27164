package command

import (
	"fmt"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/session"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

// policies are the project's, as the engine takes them.
func policies(from []project.Policy) session.Policies {
	var all session.Policies
	for _, p := range from {
		to := session.Policy{Paths: tree.ParsePatterns(p.Paths), Action: wire.Restart, Signal: p.Signal, Image: p.Action == project.ActionImage}
		switch p.Action {
		case project.ActionSignal:
			to.Action = wire.Signal
		case project.ActionNone, project.ActionImage:
			to.Action = wire.Keep
		}
		all = append(all, to)
	}
	return all
}

// outcome puts into words what a delivery did to processes, for "… 2/2 ranks",
// and what they are when it is done.
func outcome(d session.Delivery) (did, are string) {
	switch {
	case d.Adopted:
		return "already running on", "running"
	case d.Reaction.Action == wire.Signal:
		return "signalled " + strings.Join(d.Reaction.Signals, ", ") + " on", "signalled"
	case d.Reaction.Action == wire.Keep:
		return "in place on", "in place"
	}
	return "running on", "running"
}

// startedIn says which code processes run that were not started in the one
// that was delivered.
func startedIn(receipts []wire.Receipt) string {
	for _, r := range receipts {
		if r.Started != r.Generation {
			return fmt.Sprintf(", started in gen %d", r.Started)
		}
	}
	return ""
}

// runs says which code a rank's process runs.
func runs(r wire.Receipt) string {
	if r.Started == r.Generation {
		return "runs " + r.TreeDigest.String()
	}
	return fmt.Sprintf("holds %s and runs %s", r.TreeDigest, r.StartedDigest)
}

// image tells of changes that only another image makes count.
func (l *loop) image(d session.Delivery) {
	if paths := d.Reaction.Image; len(paths) > 0 {
		what := strings.Join(paths, ", ")
		l.say(devEvent{Kind: "Image", Generation: d.Generation, Message: what},
			"%s changed, which belongs in the image: the ranks have the text, and run on in the image that they have; build another one and name it in the manifest", what)
	}
}
