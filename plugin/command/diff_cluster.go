package command

import (
	"context"
	"fmt"
	"io"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote"
)

// live shows what a promotion would change in the environment's clusters.
func (o *DiffOptions) live(ctx context.Context, f *Factory) error {
	// What a promotion would refuse is compared all the same.
	p := &PromoteOptions{
		PromotionOptions: PromotionOptions{Dir: o.Dir, To: o.To, Cluster: o.Cluster, DryRun: true, Timeout: time.Minute, Grace: apply.DefaultGrace, PruneMax: 100, Output: o.Output},
		Unproven:         true, OtherRuntime: true, NoCanary: true,
	}
	if err := p.readSignKey(f); err != nil { // of the environment: a signature is a part of a ConfigMap
		return err
	}
	all, err := p.open(ctx, f)
	if err != nil {
		return err
	}
	members, err := p.members(ctx, f, all)
	if err != nil {
		return err
	}
	changed := 0
	for _, m := range members {
		plan, err := m.production.Plan(ctx, m.bundle)
		if err != nil {
			return m.in(err)
		}
		for _, k := range plan.Kept {
			f.Streams.Talk("%s%s", m.label(), m.keptWords(k))
		}
		if err := m.showPlan(f, p.PromotionOptions, plan); err != nil {
			return err
		}
		changed += len(plan.Changes.Changes) - plan.Changes.Count(apply.Unchanged)
	}
	if o.ExitCode && changed > 0 {
		return &explain.DifferenceError{A: "the bundle", B: "environment " + o.To, Count: changed}
	}
	return nil
}

// comparisonView is what `diff --releases -o json` prints.
type comparisonView struct {
	APIVersion string       `json:"apiVersion"`
	Kind       string       `json:"kind"`
	Releases   []int        `json:"releases"`
	TreeDigest []string     `json:"treeDigest"` // of each
	Changes    []changeView `json:"changes"`
}

// releases compares what two releases applied.
func (o *DiffOptions) releases(ctx context.Context, f *Factory) error {
	p, err := openProduction(ctx, f, o.Dir, o.To, o.Cluster)
	if err != nil {
		return err
	}
	var sides [2][]*unstructured.Unstructured
	view := comparisonView{APIVersion: outputVersion, Kind: "ReleaseComparison", Releases: o.Releases, Changes: []changeView{}}
	for i, number := range o.Releases {
		record, objects, err := p.Store.Get(ctx, number)
		if err != nil {
			return err
		}
		sides[i], view.TreeDigest = objects, append(view.TreeDigest, record.TreeDigest)
	}
	plan := promote.CompareReleases(sides[0], sides[1])
	var names []string
	for _, c := range plan.Changes {
		if c.Action != apply.Unchanged {
			view.Changes = append(view.Changes, changeView{Action: c.Action, Object: c.Ref})
			names = append(names, c.Ref.Short())
		}
	}
	if err := printAs(f.Streams.Out, o.Output, view, names, func(w io.Writer) error { return plan.WriteDiff(w) }); err != nil {
		return err
	}
	f.Streams.Talk("code %s → %s; %s", view.TreeDigest[0], view.TreeDigest[1], plan.Summary())
	if o.ExitCode && len(view.Changes) > 0 {
		return &explain.DifferenceError{A: fmt.Sprintf("release %d", o.Releases[0]), B: fmt.Sprintf("release %d", o.Releases[1]), Count: len(view.Changes)}
	}
	return nil
}
