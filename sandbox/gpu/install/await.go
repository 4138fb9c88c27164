package install

import (
	"context"
	"time"

	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/control"
)

// Await waits until pods can be scheduled on the GPUs that nodes were given
// earlier: a kubelet that starts again offers none until ai-gpu has registered
// anew. What is broken stays broken over a start, and is not waited for. It
// returns *NotOfferedError. The reporter may be nil.
func Await(ctx context.Context, nodes []Node, o Options, r Reporter) error {
	if o.Wait == 0 {
		o.Wait = defaultWait
	}
	var equipped []*equipment
	for i, n := range nodes {
		if i < len(o.GPUs) && !o.GPUs[i].None() {
			equipped = append(equipped, &equipment{Node: n, gpus: o.GPUs[i]})
		}
	}
	if len(equipped) == 0 {
		return nil
	}
	return step(r, waitStep, func() error {
		if err := everyNode(ctx, equipped, func(ctx context.Context, e *equipment) error { return healthy(ctx, e, o.Wait) }); err != nil {
			return err
		}
		return schedulable(ctx, equipped, o)
	})
}

// healthy counts what a node is to offer. ai-gpu may be about to start.
func healthy(ctx context.Context, e *equipment, wait time.Duration) error {
	return engine.Retry(ctx, wait, func(time.Duration) error {
		report, err := control.List(ctx, e)
		if err != nil {
			return err
		}
		e.offers = map[string]int{}
		for resource, units := range report.State.Units() {
			for _, u := range units {
				if u.Healthy {
					e.offers[resource]++
				}
			}
		}
		return nil
	})
}
