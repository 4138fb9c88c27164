package command

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/plugin/promote"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/carrier"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/waves"
	"github.com/kubectl-ai/kubectl-ai/plugin/term"
)

// fleet is a promotion, or a rollback, of several clusters.
type fleet struct {
	PromotionOptions
	members  []*member
	evidence []release.Gate // of the gates that were asked so far
}

// member is one of the clusters. It is a waves.Cluster.
type member struct {
	*production
	bundle  promote.Bundle
	carried *carrier.Result
	fleet   *fleet
	plan    *promote.Plan
	before  int // the release that was current
	record  release.Record
}

// Name implements waves.Cluster.
func (m *member) Name() string { return m.cluster }

// Plan implements waves.Cluster. A plan edits its objects, and there may be
// another one later.
func (m *member) Plan(ctx context.Context) (nothing bool, err error) {
	b := m.bundle
	b.Objects = make([]*unstructured.Unstructured, len(m.bundle.Objects))
	for i, obj := range m.bundle.Objects {
		b.Objects[i] = obj.DeepCopy()
	}
	m.plan, err = m.production.Plan(ctx, b)
	if err != nil {
		return false, err
	}
	m.before = m.plan.Current()
	return m.plan.Nothing(), nil
}

// Execute implements waves.Cluster.
func (m *member) Execute(ctx context.Context) (changed bool, err error) {
	m.plan.Gates = slices.Clone(m.fleet.evidence)
	m.record, err = m.production.Execute(ctx, m.plan)
	var unpruned *promote.PruneError
	if errors.As(err, &unpruned) && m.record.Status == release.Deployed {
		m.Reporter.Note("%v", err) // it is there; the next run tries again
		err = nil
	}
	return m.record.Status != "", err
}

// Soak implements waves.Cluster.
func (m *member) Soak(ctx context.Context, d time.Duration) error {
	return m.production.Soak(ctx, m.plan, d)
}

// Restore implements waves.Cluster.
func (m *member) Restore(ctx context.Context, cause error) error {
	restored, err := m.production.Restore(ctx, m.plan, m.before, cause)
	for _, ref := range restored.Kept {
		m.Reporter.Note("%s stays: it may hold data", ref)
	}
	if restored.Record.Revision > 0 {
		m.record = restored.Record
	}
	return err
}

// label is what lines about a cluster begin with where there are several.
func (p *production) label() string {
	if p.cluster == "" {
		return ""
	}
	return p.cluster + ": "
}

// in says in which cluster an error was met.
func (p *production) in(err error) error {
	if p.cluster == "" || err == nil {
		return err
	}
	return &waves.PlanError{Cluster: p.cluster, Err: err}
}

// labelled reports the steps of one cluster among several: steps of a Progress
// come one after the other, so these are notes to the one that runs.
type labelled struct {
	name     string
	progress *term.Progress
}

func (l labelled) Start(step string) { l.progress.Note("%s: %s", l.name, step) }
func (l labelled) Note(format string, args ...any) {
	l.progress.Note(l.name+": "+format, args...)
}

func (l labelled) End(err error) {
	if err != nil {
		l.progress.Note("%s: %v", l.name, err)
	}
}

// shareArchitectures has images made for the processors of all clusters, so
// that all get the same image.
func shareArchitectures(ctx context.Context, all []*production) error {
	if len(all) < 2 {
		return nil
	}
	found := make([][]string, len(all))
	group, gctx := errgroup.WithContext(ctx)
	for i, p := range all {
		group.Go(func() (err error) {
			found[i], err = p.architectures(gctx)
			return p.in(err)
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	var union []string
	for _, arches := range found {
		if arches == nil {
			return nil // one does not say: each is asked for itself
		}
		union = append(union, arches...)
	}
	slices.Sort(union)
	for _, p := range all {
		p.arches = slices.Compact(union)
	}
	return nil
}

// run plans all clusters, asks once, and goes through the waves.
func (o *fleet) run(ctx context.Context, f *Factory) error {
	progress := o.members[0].progress
	for _, m := range o.members {
		m.fleet, m.Reporter = o, labelled{m.cluster, progress}
	}
	env := o.members[0].env
	runner := &waves.Runner{Waves: o.waves(f), Rollback: env.OnFailure == "rollback", Reporter: progress}
	progress.Start(fmt.Sprintf("Check %d clusters", len(o.members)))
	err := runner.Plan(ctx)
	progress.End(err)
	o.warn(f)
	if err != nil {
		return err
	}
	if err := o.show(f); err != nil || o.DryRun {
		return errors.Join(err, o.report(f, runner.Outcomes(), o.DryRun))
	}
	if runner.Nothing() {
		f.Streams.Talk("nothing to do: all %d clusters run this release", len(o.members))
		for _, m := range o.members {
			if err := m.signAgain(ctx, f, o.PromotionOptions, m.carried); err != nil {
				return err
			}
		}
	} else if err := o.permit(ctx, f); err != nil {
		return err
	}
	err = runner.Run(ctx)
	for _, outcome := range runner.Outcomes() {
		f.Streams.Talk("%s", o.words(outcome))
	}
	return errors.Join(err, o.report(f, runner.Outcomes(), false))
}

// waves are those of the project file, with the clusters that were chosen. A
// rollback neither soaks nor asks gates: it is wanted now.
func (o *fleet) waves(f *Factory) []waves.Wave {
	var out []waves.Wave
	back := o.members[0].bundle.RollbackTo > 0
	for i, w := range o.members[0].env.Waves {
		wave := waves.Wave{Parallelism: w.Parallelism}
		var members []*member
		for _, m := range o.members {
			if slices.Contains(w.Clusters, m.cluster) {
				wave.Clusters = append(wave.Clusters, m)
				members = append(members, m)
			}
		}
		if len(members) == 0 {
			continue
		}
		if !back {
			wave.Soak = w.Soak
		}
		if !back && len(w.Gates) > 0 {
			wave.Gate = func(ctx context.Context) error {
				passed, err := o.keeper(f, members, i+1).Check(ctx, w.Gates)
				o.evidence = append(o.evidence, passed...)
				return err
			}
		}
		out = append(out, wave)
	}
	return out
}

// permit asks the environment's gates, then the user, then pushes.
func (o *fleet) permit(ctx context.Context, f *Factory) error {
	first := o.members[0]
	if first.bundle.RollbackTo == 0 {
		var err error
		if o.evidence, err = o.keeper(f, o.members, 0).Check(ctx, first.env.Gates); err != nil {
			return errors.Join(err, o.refused(f, err))
		}
	}
	if !o.Yes {
		if err := o.confirm(ctx, f); err != nil {
			return err
		}
	}
	var pushed []*carrier.Result
	for _, m := range o.members {
		if m.carried == nil {
			continue
		}
		if i := slices.IndexFunc(pushed, func(r *carrier.Result) bool { return maps.Equal(r.Images, m.carried.Images) }); i >= 0 {
			forget(pushed[i], m.bundle.Evidence)
			continue
		}
		if err := m.push(ctx, m.carried, m.bundle.Evidence); err != nil {
			return err
		}
		pushed = append(pushed, m.carried)
	}
	return nil
}

// confirm asks once for all clusters: by yes where all are kind clusters, else
// by the environment's name.
func (o *fleet) confirm(ctx context.Context, f *Factory) error {
	var all []string
	kind := true
	for _, m := range o.members {
		all = append(all, fmt.Sprintf("%s (%s)", m.cluster, m.context))
		kind = kind && strings.HasPrefix(m.context, "kind-")
	}
	first := o.members[0]
	where := fmt.Sprintf("%s, namespace %s", strings.Join(all, ", "), first.namespace)
	if kind {
		return f.Streams.Confirm(ctx, fmt.Sprintf("Apply this to %s?", where))
	}
	typed, err := f.Streams.Ask(ctx, fmt.Sprintf("Type the environment's name (%s) to apply this to %s: ", first.env.Name, where))
	if err != nil {
		return err
	}
	if typed != first.env.Name {
		return term.ErrDeclined
	}
	return nil
}
