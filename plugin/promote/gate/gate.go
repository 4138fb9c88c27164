// Package gate asks whether a promotion is good enough: by what the code
// itself reported, by a command, by who signed it, by people. Every gate leaves evidence, passed
// or not; the release keeps that of those that passed.
//
// Invariants:
//   - A metric that was never reported, or is NaN, refuses.
//   - Metrics, commands and signatures are all asked, so that one run tells all that is
//     wrong. People are asked last, when nothing else refuses.
package gate

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

// RefusedError says that a gate did not let a promotion pass.
type RefusedError struct {
	Wave     int // after which the gates were asked; 0: before all
	Canary   int // percent of the traffic at which they were; 0: without a canary
	Evidence []release.Gate
}

func (e *RefusedError) Error() string {
	var lines []string
	for _, g := range e.Evidence {
		if !g.Passed {
			lines = append(lines, fmt.Sprintf("gate %s %s: %s", g.Kind, g.Name, g.Detail))
		}
	}
	text := strings.Join(lines, "\n")
	if e.Wave > 0 {
		return fmt.Sprintf("after wave %d: %s", e.Wave, text)
	}
	return text
}

// Keeper asks gates. All but Now may be zero where no gate needs it.
type Keeper struct {
	Metrics []project.Metric
	// Sample finds what code reported of a metric in an environment; "": in
	// the clusters of the wave. It returns one sample a cluster.
	Sample func(ctx context.Context, metric, from string) ([]Sample, error)
	// Carriers returns what holds the code of the digest Tree, with what is
	// said of it.
	Carriers func(ctx context.Context) ([]Carrier, error)
	Tree     string
	// Validated finds the newest validation of the code that is promoted in an
	// environment; nil where there is none.
	Validated func(ctx context.Context, from string) (*Validation, error)
	// Dir and Env are where commands run, and what they find in their
	// environment beside this process's own. Keys are relative to Dir.
	Dir string
	Env []string
	// Approved are those who approved beforehand. Ask asks for one more name;
	// nil: nobody is there to be asked.
	Approved []string
	Ask      func(ctx context.Context, question string) (string, error)
	Wave     int
	Canary   int // percent of the traffic
	Now      func() time.Time
	// Tell is told of each gate that was asked; nil: nobody is.
	Tell func(release.Gate)
}

// Check asks the gates. It returns the evidence of all that were asked, with a
// *RefusedError when one does not pass. Other errors mean that a gate could
// not be asked.
func (k *Keeper) Check(ctx context.Context, gates []project.Gate) ([]release.Gate, error) {
	var evidence []release.Gate
	passed := true
	add := func(found ...release.Gate) {
		for _, g := range found {
			g.Wave, g.Canary, g.When = k.Wave, k.Canary, k.Now().UTC().Truncate(time.Second)
			evidence = append(evidence, g)
			passed = passed && g.Passed
			if k.Tell != nil {
				k.Tell(g)
			}
		}
	}
	for _, g := range gates {
		switch {
		case g.Metric != "":
			found, err := k.metric(ctx, g)
			if err != nil {
				return evidence, err
			}
			add(found...)
		case g.Validation:
			found, err := k.validation(ctx, g)
			if err != nil {
				return evidence, err
			}
			add(found)
		case g.Command != nil:
			add(k.command(ctx, g))
		case g.Keys != nil:
			found, err := k.signature(ctx, g)
			if err != nil {
				return evidence, err
			}
			add(found)
		}
		if ctx.Err() != nil {
			return evidence, context.Cause(ctx)
		}
	}
	for _, g := range gates {
		if g.Approvals == 0 || !passed {
			continue
		}
		found, err := k.approval(ctx, g)
		if err != nil {
			return evidence, err
		}
		add(found)
	}
	if !passed {
		return evidence, &RefusedError{Wave: k.Wave, Canary: k.Canary, Evidence: evidence}
	}
	return evidence, nil
}
