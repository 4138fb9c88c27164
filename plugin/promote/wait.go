package promote

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

// wait waits for the workloads of the plan, and for what their code reports.
// How they stand, and the evidence, goes into the record.
func (r *run) wait(ctx context.Context) (err error) {
	ctx, cancel := within(ctx, r.Options.Timeout)
	defer cancel()
	o := r.Options.Wait
	o.Freed = len(r.record.Replaced) > 0
	if !r.plan.starts {
		o.Settle = -1 // nothing starts that could die in its first seconds
	}
	if r.record.Workloads, err = r.watch(ctx, r.plan, o, 0); err != nil || len(r.Options.Metrics) == 0 {
		return err
	}
	evidence, err := r.measure(ctx, r.plan)
	for i := range evidence {
		evidence[i].When = r.Now().UTC().Truncate(time.Second)
	}
	if err == nil {
		r.record.Gates = slices.Concat(r.record.Gates, evidence)
	}
	return err
}

// Soak waits until all workloads of a plan have been well for so long without
// a break. Work that is done is well.
func (p *Promoter) Soak(ctx context.Context, plan *Plan, d time.Duration) error {
	o := p.Options.Wait
	o.Settle, o.Until = d, apply.UntilStarted
	timeout := p.Options.Timeout
	if timeout > 0 {
		timeout += d
	}
	_, err := p.watch(ctx, plan, o, timeout)
	return err
}

// within bounds a wait; 0 does not.
func within(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout == 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, timeout)
}

func (p *Promoter) watch(ctx context.Context, plan *Plan, o apply.WaitOptions, timeout time.Duration) ([]apply.Standing, error) {
	ctx, cancel := within(ctx, timeout)
	defer cancel()
	o.PodSelector = release.ProjectLabel + "=" + p.Target.Project
	var standings []apply.Standing
	o.Seen = func(s apply.Standing) {
		standings = append(slices.DeleteFunc(standings, func(old apply.Standing) bool { return old.Object == s.Object }), s)
	}
	err := p.Cluster.Wait(ctx, plan.waited, o, p.Reporter)
	slices.SortFunc(standings, func(a, b apply.Standing) int { return strings.Compare(a.Object.String(), b.Object.String()) })
	return standings, err
}
