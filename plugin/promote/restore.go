package promote

import (
	"context"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

// RestoreError says that what was there before a release could not be brought
// back.
type RestoreError struct {
	Environment string
	Revision    int // to come back; 0: nothing was there
	Err         error
}

func (e *RestoreError) Error() string {
	if e.Revision == 0 {
		return fmt.Sprintf("remove the first release: %v", e.Err)
	}
	return fmt.Sprintf("bring release %d back: %v", e.Revision, e.Err)
}

func (e *RestoreError) Unwrap() error { return e.Err }

// Restored is what Restore left behind.
type Restored struct {
	Record release.Record // of the way back; Revision 0: nothing was recorded
	// Kept are objects that the release made and that may hold data.
	Kept []apply.Ref
}

// Restore undoes a plan that was executed: revision to, which was current when
// the plan was made, is applied again from its record, and Jobs that the plan
// made are removed though they may run. Jobs of the former release that are
// done stay done. Where nothing was there before (to is 0) all that the plan
// made is removed but volume claims, namespaces and CRDs. Runs that the plan
// suspended go on, when its own are gone. It returns a *RestoreError.
func (p *Promoter) Restore(ctx context.Context, plan *Plan, to int, cause error) (Restored, error) {
	again := *p
	again.Options.Rerun, again.Options.PruneAlso, again.Options.Metrics = false, nil, nil
	again.Options.Wait.Until = apply.UntilStarted
	made := map[apply.Ref]bool{}
	for _, c := range plan.Changes.Changes {
		if c.Action != apply.Create {
			continue
		}
		made[c.Ref] = true
		if apply.RunsToCompletion(c.Ref) {
			again.Options.PruneAlso = append(again.Options.PruneAlso, c.Ref.Short())
		}
	}
	again.Options.Replace = ReplaceKeep
	if p.Options.Replace == ReplaceSuspend || p.Options.Replace == ReplaceKill {
		again.Options.Replace, again.Options.replaceOnly = ReplaceKill, made
	}
	var out Restored
	var err error
	if to == 0 {
		out, err = again.remove(ctx, made, cause)
	} else {
		out.Record, err = again.reapply(ctx, to)
	}
	if err == nil && p.Options.Replace == ReplaceSuspend {
		err = p.resumeAll(ctx, plan.earlier)
	}
	if err != nil {
		return out, &RestoreError{Environment: p.Target.Environment, Revision: to, Err: err}
	}
	return out, nil
}

func (p *Promoter) reapply(ctx context.Context, revision int) (release.Record, error) {
	old, objects, err := p.Store.Get(ctx, revision)
	if err != nil {
		return release.Record{}, err
	}
	plan, err := p.Plan(ctx, Bundle{Objects: objects, Tree: old.TreeDigest, Images: old.Images, Evidence: old.Evidence, RollbackTo: revision, Restore: true})
	if err != nil {
		return release.Record{}, err
	}
	return p.Execute(ctx, plan)
}

// resumeAll lets runs go on that were suspended and are not of the release
// that came back.
func (p *Promoter) resumeAll(ctx context.Context, earlier []former) error {
	if len(earlier) == 0 {
		return nil
	}
	ctx, lock, err := p.lock(ctx, "rollback")
	if err != nil {
		return err
	}
	defer lock.Release(ctx)
	for _, f := range earlier {
		live, err := p.Cluster.Get(ctx, f.entry.Ref)
		switch {
		case apierrors.IsNotFound(err):
		case err != nil:
			return &apply.ObjectError{Action: "read", Ref: f.entry.Ref, Err: err}
		case live.GetUID() == f.live.GetUID() && suspendedByUs(live):
			if _, err := p.suspend(ctx, live, false); err != nil {
				return err
			}
		}
	}
	return nil
}

// remove deletes what a first release made.
func (p *Promoter) remove(ctx context.Context, made map[apply.Ref]bool, cause error) (Restored, error) {
	var out Restored
	ctx, lock, err := p.lock(ctx, "rollback")
	if err != nil {
		return out, err
	}
	defer lock.Release(ctx)
	state, err := p.Store.Load(ctx)
	if err != nil {
		return out, err
	}
	goes := &Plan{state: state, members: p.Cluster.Members(release.PartOf + "=" + p.id())}
	formers, err := p.formers(ctx, goes)
	if err != nil {
		return out, err
	}
	stays := map[apply.Ref]bool{}
	for _, f := range formers {
		ref := f.entry.Ref
		switch {
		case !made[ref]: // adopted: it was there before
			stays[ref] = true
		case holdsData(ref):
			stays[ref] = true
			out.Kept = append(out.Kept, ref)
		default:
			goes.prune = append(goes.prune, f)
		}
	}
	gone, err := p.prune(ctx, goes)
	for _, f := range goes.prune {
		stays[f.entry.Ref] = !gone[f.entry.Ref]
	}
	deployed := state.Current > 0
	state.Inventory = slices.DeleteFunc(state.Inventory, func(e release.Entry) bool { return !stays[e.Ref] })
	state.Current, state.Bundle, state.Pending, state.Begun = 0, "", 0, nil
	if deployed {
		// Its record says that it was deployed, which is true no more.
		state.Last++
		out.Record = release.Record{
			Project: p.Target.Project, Environment: p.Target.Environment, Namespace: p.Target.Namespace,
			Revision: state.Last, Status: release.Failed, Reason: fmt.Sprintf("removed again: %v", cause), Images: map[string]string{},
			Who: p.Who(ctx), When: p.Now().UTC().Truncate(time.Second), Context: p.Target.Context, Server: p.Target.Server,
		}
		empty, packErr := release.Manifests(nil)
		if packErr != nil {
			return out, packErr
		}
		if addErr := p.Store.Add(ctx, state, out.Record, empty); addErr != nil {
			return out, addErr
		}
	}
	if saveErr := p.Store.Save(ctx, state); saveErr != nil {
		return out, saveErr
	}
	return out, err
}

// holdsData says whether deleting an object could delete what somebody made.
func holdsData(ref apply.Ref) bool {
	switch ref.Group {
	case "":
		return slices.Contains([]string{"Namespace", "PersistentVolumeClaim", "PersistentVolume"}, ref.Kind)
	case "apiextensions.k8s.io":
		return true
	}
	return false
}
