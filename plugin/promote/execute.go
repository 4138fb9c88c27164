package promote

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

type fieldsEntry = metav1.ManagedFieldsEntry

// recordPatience is how long the record of a failed promotion may take after
// its context has ended.
const recordPatience = 15 * time.Second

// run is an execution of a plan: what it has and knows so far.
type run struct {
	*Promoter
	plan     *Plan
	record   release.Record
	lock     *release.Lock
	receipts map[apply.Ref]apply.Receipt
	gone     map[apply.Ref]bool // that the plan said would go
	recorded bool               // by the run before, which died: the inventory is what is left to write
}

// Execute does what the plan says, under the project's lock: apply, wait,
// prune, record. It returns the record, and a *FailedError when the release did
// not come up, or a *PruneError when it did and something of the old one would
// not go. Before anything is written it may return a *release.LockedError.
func (p *Promoter) Execute(ctx context.Context, plan *Plan) (release.Record, error) {
	recorded := plan.state.Unsettled && plan.state.Bundle == plan.Bundle && !plan.Changes.Writes()
	if recorded {
		plan.Revision = plan.state.Current
	}
	r := &run{Promoter: p, plan: plan, recorded: recorded, receipts: map[apply.Ref]apply.Receipt{}, gone: map[apply.Ref]bool{}, record: release.Record{
		APIVersion: release.APIVersion, Kind: release.Kind,
		Project: p.Target.Project, Environment: p.Target.Environment, Namespace: p.Target.Namespace,
		Revision: plan.Revision, BundleDigest: plan.Bundle, TreeDigest: plan.Tree, Images: plan.Images, Evidence: plan.Evidence, Gates: plan.Gates,
		Who: p.Who(ctx), When: p.Now().UTC().Truncate(time.Second),
		Context: p.Target.Context, Server: p.Target.Server, RollbackTo: plan.RollbackTo, From: plan.From,
	}}
	// The lock and the record live in the namespace. Where there is none it
	// comes first; all else, and be it a label on it, is written under the lock.
	first, rest := plan.Changes.Split(func(c apply.Change) bool {
		return c.Action == apply.Create && c.Ref == apply.Ref{Kind: "Namespace", Name: p.Target.Namespace}
	})
	if err := r.apply(ctx, first); err != nil {
		return r.record, fmt.Errorf("make the namespace: %w", err)
	}
	doing := "promote"
	if plan.RollbackTo > 0 {
		doing = "rollback"
	}
	ctx, lock, err := p.lock(ctx, doing)
	if err != nil {
		return r.record, err
	}
	defer lock.Release(ctx)
	r.lock = lock
	plan.state.Begun = &release.Begun{Doing: doing, Who: r.record.Who, When: r.record.When, TreeDigest: plan.Tree}
	r.begin()
	if err := p.Store.Save(ctx, plan.state); err != nil {
		return r.record, causeOf(ctx, err)
	}
	if err := r.await(ctx); err != nil {
		return r.fail(ctx, err)
	}
	// Earlier runs give way when all that the next ones need is there.
	runs, rest := rest.Split(func(c apply.Change) bool { return isRun(c.Ref) })
	t := &trial{run: r, Canary: plan.canary}
	if rest, err = t.tryOut(ctx, rest); err != nil {
		return r.fail(ctx, err)
	}
	if err := t.handOver(ctx, r.apply(ctx, rest)); err != nil {
		return r.fail(ctx, err)
	}
	if err := r.displace(ctx); err != nil {
		return r.fail(ctx, err)
	}
	if err := r.apply(ctx, runs); err != nil {
		return r.fail(ctx, err)
	}
	if err := r.wait(ctx); err != nil {
		return r.fail(ctx, err)
	}
	gone, pruneErr := p.prune(ctx, plan)
	if ctx.Err() != nil {
		return r.fail(ctx, errors.Join(context.Cause(ctx), pruneErr))
	}
	r.record.Status = release.Deployed
	plan.state.Current, plan.state.Bundle, plan.state.Unpruned = plan.Revision, plan.Bundle, pruneErr != nil
	maps.Copy(r.gone, gone)
	r.settle()
	if err := r.write(ctx); err != nil {
		return r.record, causeOf(ctx, err)
	}
	if err := p.Store.Trim(ctx, plan.state); err != nil {
		return r.record, errors.Join(pruneErr, err)
	}
	return r.record, pruneErr
}

// lock takes the project's lock, and says whom it waits for.
func (p *Promoter) lock(ctx context.Context, doing string) (context.Context, *release.Lock, error) {
	waited := false
	held, lock, err := p.Store.Lock(ctx, release.Holder{Who: p.Who(ctx), Host: p.Host, Doing: doing}, func(h release.Holder, since time.Time) {
		waited = true
		p.Reporter.Start(fmt.Sprintf("See whether the %s that %s began %s from %s is alive", h.Doing, h.Who, since.Local().Format(time.TimeOnly), h.Host))
	})
	if waited {
		p.Reporter.End(err)
	}
	return held, lock, err
}

// causeOf returns why the context ended, where that is why a request failed.
func causeOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func (r *run) apply(ctx context.Context, changes *apply.Plan) error {
	done, err := r.Cluster.Apply(ctx, changes, r.options(r.plan.state), r.Reporter)
	for ref, receipt := range done {
		r.receipts[ref] = receipt
	}
	return err
}

// begin puts into the inventory what may exist from now on. Of a namespace it
// notes whether it is the release that makes it: one with our label that no
// inventory knows was made by a promotion that died before it could say so.
func (r *run) begin() {
	state := r.plan.state
	state.Pending = r.plan.Revision
	known := make(map[apply.Ref]bool, len(state.Inventory))
	for _, e := range state.Inventory {
		known[e.Ref] = true
	}
	for _, c := range r.plan.Changes.Changes {
		if c.Former() || known[c.Ref] {
			continue
		}
		made := c.Action == apply.Create || c.Live != nil && c.Live.GetLabels()[release.PartOf] == r.id()
		state.Inventory = append(state.Inventory, release.Entry{Ref: c.Ref, Release: r.plan.Revision, Made: made && isNamespace(c.Ref)})
	}
	if r.plan.canary != nil && !known[r.plan.canary.Ref()] {
		state.Inventory = append(state.Inventory, release.Entry{Ref: r.plan.canary.Ref(), Release: r.plan.Revision})
	}
	// A run that is killed did not end and was not taken by its TTL. The next
	// promotion has to know that, also when this one dies.
	for _, c := range r.plan.Changes.Changes {
		if c.Action == apply.Kill {
			at := slices.IndexFunc(state.Inventory, func(e release.Entry) bool { return e.Ref == c.Ref })
			state.Inventory[at].Receipt = apply.Receipt{}
		}
	}
}

// settle brings the inventory to what is there now. What was not reached keeps
// what is known of it.
func (r *run) settle() {
	state := r.plan.state
	before := make(map[apply.Ref]release.Entry, len(state.Inventory))
	for _, e := range state.Inventory {
		before[e.Ref] = e
	}
	state.Last, state.Pending, state.Begun = r.plan.Revision, 0, nil
	var inventory []release.Entry
	seen := map[apply.Ref]bool{}
	for _, c := range r.plan.Changes.Changes {
		if c.Former() {
			continue
		}
		e := before[c.Ref]
		e.Ref, e.Release = c.Ref, r.plan.Revision
		if receipt, ok := r.receipts[c.Ref]; ok {
			e.Receipt = receipt
		}
		seen[c.Ref] = true
		inventory = append(inventory, e)
	}
	stays := map[apply.Ref]bool{}
	for _, k := range r.plan.Kept {
		stays[k.Entry.Ref] = true
	}
	for _, f := range slices.Concat(r.plan.prune, r.plan.earlier) {
		stays[f.entry.Ref] = !r.gone[f.entry.Ref]
	}
	if r.plan.canary != nil {
		stays[r.plan.canary.Ref()] = !r.gone[r.plan.canary.Ref()]
	}
	for _, e := range state.Inventory {
		if !seen[e.Ref] && stays[e.Ref] {
			if receipt, ok := r.receipts[e.Ref]; ok { // of a canary
				e.Receipt = receipt
			}
			inventory = append(inventory, e)
		}
	}
	state.Inventory = inventory
}

// fail records a promotion that did not come up. Nothing is pruned; what it
// applied is in the inventory beside what was there. Without the lock nothing
// is written: the release stays pending, and the next run takes over.
func (r *run) fail(ctx context.Context, cause error) (release.Record, error) {
	var stranded *StrandedError
	if !errors.As(cause, &stranded) { // that is more than why the context ended
		cause = causeOf(ctx, cause)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordPatience)
	defer cancel()
	r.record.Status, r.record.Reason = release.Failed, cause.Error()
	err := &FailedError{Revision: r.plan.Revision, Current: r.plan.state.Current, Err: cause}
	if lockErr := r.lock.Renew(ctx); lockErr != nil {
		return r.record, errors.Join(err, fmt.Errorf("it is not recorded: %w", lockErr))
	}
	r.settle()
	if writeErr := r.write(ctx); writeErr != nil {
		return r.record, errors.Join(err, writeErr)
	}
	return r.record, err
}

// write writes the record first and then the pointer to it.
func (r *run) write(ctx context.Context) error {
	if r.recorded {
		return r.Store.Save(ctx, r.plan.state)
	}
	if err := r.Store.Add(ctx, r.plan.state, r.record, r.plan.manifests); err != nil {
		return err
	}
	return r.Store.Save(ctx, r.plan.state)
}

// prune deletes what the plan says, and looks once more at what changed since.
func (p *Promoter) prune(ctx context.Context, plan *Plan) (map[apply.Ref]bool, error) {
	if len(plan.prune) == 0 {
		return nil, nil
	}
	if err := p.definitions(ctx, plan.prune); err != nil {
		return nil, &PruneError{Err: err}
	}
	claims, err := p.claims(ctx, plan.prune)
	if err != nil {
		return nil, &PruneError{Err: err}
	}
	plan.state.AddClaims(claims)
	p.Reporter.Start(fmt.Sprintf("Prune %d objects", len(plan.prune)))
	gone, err := p.deleteAll(ctx, plan.prune, deletion{
		keep: func(f former) string {
			_, kept := selectPrune([]former{f}, plan.Revision, p.Options.PruneAlso)
			if len(kept) == 0 {
				return ""
			}
			return kept[0].Reason
		},
	})
	p.Reporter.End(err)
	return gone, err
}
