package command

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/carrier"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/preflight"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

// run is what promote and rollback share: plan, show, ask, push, execute.
func (p *production) run(ctx context.Context, f *Factory, o PromotionOptions, b promote.Bundle, carried *carrier.Result) error {
	plan, err := p.Plan(ctx, b)
	if plan != nil {
		for _, finding := range plan.Report {
			if finding.Level == preflight.Warning {
				f.Streams.Talk("warning: %s", finding)
			}
		}
	}
	if err != nil {
		if plan != nil && o.DryRun && o.Output != "" && len(plan.Report) > 0 {
			// A script reads the findings as data, whatever they say.
			view, names := viewPlan(plan)
			return errors.Join(printAs(f.Streams.Out, o.Output, view, names, func(io.Writer) error { return nil }), err)
		}
		return err
	}
	for _, note := range plan.Notes {
		f.Streams.Talk("%s", note)
	}
	if plan.Nothing() {
		f.Streams.Talk("nothing to do: release %d is what %s runs, code %s", plan.Current(), p.context, plan.Tree)
		if err := p.signAgain(ctx, f, o, carried); err != nil {
			return err
		}
		if o.Output == "" || o.DryRun {
			return p.showPlan(f, o, plan)
		}
		record, _, err := p.Store.Get(ctx, plan.Current())
		if err != nil {
			return err
		}
		return printRelease(f, o.Output, record)
	}
	for _, k := range plan.Kept {
		f.Streams.Talk("%s", p.keptWords(k))
	}
	if err := p.showPlan(f, o, plan); err != nil || o.DryRun {
		return err
	}
	if b.RollbackTo == 0 {
		if plan.Gates, err = p.askGates(ctx, f, o, plan, carried); err != nil {
			return err
		}
	}
	if !o.Yes {
		if err := p.confirm(ctx, f, "Apply this to"); err != nil {
			return err
		}
	}
	if carried != nil {
		if err := p.push(ctx, carried, plan.Evidence); err != nil {
			return err
		}
	}
	before := plan.Current()
	record, err := p.Execute(ctx, plan)
	if err != nil {
		err = errors.Join(err, (&fleet{PromotionOptions: o}).refused(f, err))
	}
	if err != nil && o.Atomic {
		err = p.undo(ctx, f, plan, before, err)
	}
	if record.Status == release.Deployed {
		f.Streams.Talk("release %d of %s is ready in %s, namespace %s, code %s", record.Revision, p.project.Name, p.context, p.namespace, record.TreeDigest)
		if printErr := printRelease(f, o.Output, record); printErr != nil {
			return printErr
		}
	}
	return err
}

// keptWords says why an object that left the bundle stays.
func (p *production) keptWords(k promote.Kept) string {
	s := fmt.Sprintf("%s left the bundle and stays: %s", k.Entry.Short(), k.Reason)
	if k.Entry.Kind == "Job" && k.Running {
		s += fmt.Sprintf("; end it with: kubectl --context %s -n %s delete job %s", p.context, k.Entry.Namespace, k.Entry.Name)
	}
	return s
}

// planView is what --dry-run -o json prints.
type planView struct {
	APIVersion   string              `json:"apiVersion"`
	Kind         string              `json:"kind"`
	Revision     int                 `json:"revision"`
	RollbackTo   int                 `json:"rollbackTo,omitempty"`
	Nothing      bool                `json:"nothing"`
	TreeDigest   string              `json:"treeDigest"`
	BundleDigest string              `json:"bundleDigest"`
	Images       map[string]string   `json:"images"`
	Summary      string              `json:"summary"`
	Changes      []changeView        `json:"changes"`
	Findings     []preflight.Finding `json:"findings"`
	Canary       *apply.Ref          `json:"canary,omitempty"` // the Deployment that is tried first
}

type changeView struct {
	Action     apply.Action `json:"action"`
	Object     apply.Ref    `json:"object"`
	Reason     string       `json:"reason,omitempty"` // of what becomes of an earlier run
	Unverified string       `json:"unverified,omitempty"`
}

// showPlan prints the difference on stdout, or on stderr where -o claims
// stdout, and the summary as talk.
func (p *production) showPlan(f *Factory, o PromotionOptions, plan *promote.Plan) error {
	out := f.Streams.Out
	if o.Output != "" {
		out = f.Streams.ErrOut
	}
	if err := plan.Changes.WriteDiff(out); err != nil {
		return err
	}
	f.Streams.Talk("%s", plan.Changes.Summary())
	if !o.DryRun {
		return nil
	}
	view, names := viewPlan(plan)
	return printAs(f.Streams.Out, o.Output, view, names, func(io.Writer) error { return nil })
}

// viewPlan puts a plan into the form that is printed, with the objects it changes.
// A preflight that failed has findings and no changes.
func viewPlan(plan *promote.Plan) (planView, []string) {
	changes := plan.Changes
	if changes == nil {
		changes = &apply.Plan{}
	}
	view := planView{
		APIVersion: outputVersion, Kind: "PromotionPlan", Revision: plan.Revision, RollbackTo: plan.RollbackTo, Nothing: plan.Changes != nil && plan.Nothing(),
		TreeDigest: plan.Tree, BundleDigest: plan.Bundle, Images: plan.Images, Summary: changes.Summary(),
		Changes: []changeView{}, Findings: plan.Report,
	}
	if deployment, _, ok := plan.Canary(); ok {
		view.Canary = &deployment
	}
	var names []string
	for _, c := range changes.Changes {
		view.Changes = append(view.Changes, changeView{c.Action, c.Ref, c.Reason, c.Unverified})
		if c.Action != apply.Unchanged {
			names = append(names, c.Ref.Short())
		}
	}
	return view, names
}

// printRelease prints one release where -o asks for it.
func printRelease(f *Factory, output string, r release.Record) error {
	return printAs(f.Streams.Out, output, r, []string{fmt.Sprintf("release/%d", r.Revision)}, func(io.Writer) error { return nil })
}
