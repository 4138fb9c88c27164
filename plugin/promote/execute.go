package promote

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

type fieldsEntry = metav1.ManagedFieldsEntry

// recordPatience is how long the record of a failed promotion may take after
// its context has ended.
const recordPatience = 15 * time.Second

// Execute does what the plan says: apply, wait, prune, record. It returns the
// record, and a *FailedError when the release did not come up, or a
// *PruneError when it did and something of the old one would not go.
func (p *Promoter) Execute(ctx context.Context, plan *Plan) (release.Record, error) {
	record := release.Record{
		APIVersion: release.APIVersion, Kind: release.Kind,
		Project: p.Target.Project, Environment: p.Target.Environment, Namespace: p.Target.Namespace,
		Revision: plan.Revision, BundleDigest: plan.Bundle, TreeDigest: plan.Tree, Images: plan.Images, Evidence: plan.Evidence, Gates: plan.Gates,
		Who: p.Who(ctx), When: p.Now().UTC().Truncate(time.Second),
		Context: p.Target.Context, Server: p.Target.Server, RollbackTo: plan.RollbackTo,
	}
	options := p.options(plan.state)
	receipts := map[apply.Ref]apply.Receipt{}
	// The record lives in the namespace, so that comes first.
	first, rest := plan.Changes.Split(func(c apply.Change) bool { return c.Ref.Group == "" && c.Ref.Kind == "Namespace" })
	err := p.apply(ctx, first, options, receipts)
	if err != nil {
		return record, fmt.Errorf("make the namespace: %w", err)
	}
	p.begin(plan)
	if err := p.Store.Save(ctx, plan.state); err != nil {
		return record, err
	}
	if err := p.apply(ctx, rest, options, receipts); err != nil {
		return p.fail(ctx, plan, record, receipts, err)
	}
	record.Workloads, err = p.wait(ctx, plan)
	if err != nil {
		return p.fail(ctx, plan, record, receipts, err)
	}
	gone, pruneErr := p.prune(ctx, plan)
	record.Status = release.Deployed
	plan.state.Current, plan.state.Bundle, plan.state.Unpruned = plan.Revision, plan.Bundle, pruneErr != nil
	p.settle(plan, receipts, gone)
	if err := p.write(ctx, plan, record); err != nil {
		return record, err
	}
	if err := p.Store.Trim(ctx, plan.state.Current); err != nil {
		return record, errors.Join(pruneErr, err)
	}
	return record, pruneErr
}

func (p *Promoter) apply(ctx context.Context, changes *apply.Plan, o apply.Options, receipts map[apply.Ref]apply.Receipt) error {
	done, err := p.Cluster.Apply(ctx, changes, o, p.Reporter)
	for ref, r := range done {
		receipts[ref] = r
	}
	return err
}

// begin puts into the inventory what may exist from now on.
func (p *Promoter) begin(plan *Plan) {
	plan.state.Pending = plan.Revision
	for _, c := range plan.Changes.Changes {
		if c.Action == apply.Prune {
			continue
		}
		if _, ok := plan.state.Find(c.Ref); !ok {
			plan.state.Inventory = append(plan.state.Inventory, release.Entry{Ref: c.Ref, Release: plan.Revision})
		}
	}
}

// settle brings the inventory to what is there now.
func (p *Promoter) settle(plan *Plan, receipts map[apply.Ref]apply.Receipt, gone map[apply.Ref]bool) {
	plan.state.Last, plan.state.Pending = plan.Revision, 0
	var inventory []release.Entry
	seen := map[apply.Ref]bool{}
	for _, c := range plan.Changes.Changes {
		if c.Action == apply.Prune {
			continue
		}
		seen[c.Ref] = true
		inventory = append(inventory, release.Entry{Ref: c.Ref, Receipt: receipts[c.Ref], Release: plan.Revision})
	}
	stays := map[apply.Ref]bool{}
	for _, k := range plan.Kept {
		stays[k.Entry.Ref] = true
	}
	for _, f := range plan.prune {
		stays[f.entry.Ref] = !gone[f.entry.Ref]
	}
	for _, e := range plan.state.Inventory {
		if !seen[e.Ref] && stays[e.Ref] {
			inventory = append(inventory, e)
		}
	}
	plan.state.Inventory = inventory
}

// fail records a promotion that did not come up. Nothing is pruned; what it
// applied is in the inventory beside what was there.
func (p *Promoter) fail(ctx context.Context, plan *Plan, record release.Record, receipts map[apply.Ref]apply.Receipt, cause error) (release.Record, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordPatience)
	defer cancel()
	record.Status, record.Reason = release.Failed, cause.Error()
	err := &FailedError{Revision: plan.Revision, Current: plan.state.Current, Err: cause}
	p.settle(plan, receipts, nil)
	if writeErr := p.write(ctx, plan, record); writeErr != nil {
		return record, errors.Join(err, writeErr)
	}
	return record, err
}

// write writes the record first and then the pointer to it.
func (p *Promoter) write(ctx context.Context, plan *Plan, record release.Record) error {
	if err := p.Store.Add(ctx, record, plan.manifests); err != nil {
		return err
	}
	return p.Store.Save(ctx, plan.state)
}

// prune deletes what the plan says, the last stages first.
func (p *Promoter) prune(ctx context.Context, plan *Plan) (map[apply.Ref]bool, error) {
	gone := map[apply.Ref]bool{}
	if len(plan.prune) == 0 {
		return gone, nil
	}
	p.Reporter.Start(fmt.Sprintf("Prune %d objects", len(plan.prune)))
	failed := &PruneError{}
	var errs []error
	for stage := apply.StageJobs; stage >= apply.StageNamespaces; stage-- {
		var refs []former
		for _, f := range plan.prune {
			if apply.StageOf(f.entry.Ref) == stage {
				refs = append(refs, f)
			}
		}
		for i, err := range p.deleteAll(ctx, refs) {
			if err != nil {
				failed.Refs = append(failed.Refs, refs[i].entry.Ref)
				errs = append(errs, err)
				continue
			}
			gone[refs[i].entry.Ref] = true
		}
	}
	if len(errs) > 0 {
		failed.Err = errors.Join(errs...)
		p.Reporter.End(failed)
		return gone, failed
	}
	p.Reporter.End(nil)
	return gone, nil
}
