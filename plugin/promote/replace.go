package promote

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

// Replacement says what becomes of an earlier run of a workload that has not
// ended when the next one begins.
type Replacement string

// The replacements. Unasked a run goes on beside the next one.
const (
	ReplaceKeep        Replacement = "keep"
	ReplaceAfterFinish Replacement = "after-finish" // nothing of the bundle is written until it has ended
	ReplaceSuspend     Replacement = "suspend"      // it is held back, and goes on when its release comes back
	ReplaceKill        Replacement = "kill"         // it is deleted with its pods
)

// Replacements are all that there are.
var Replacements = []string{string(ReplaceKeep), string(ReplaceAfterFinish), string(ReplaceSuspend), string(ReplaceKill)}

// suspender is the field manager of the field by which a promotion suspends an
// earlier run. Whoever lets the run go on takes the field from it; so it says
// that a run rests because of us.
const suspender = Manager + "-suspend"

func suspendedByUs(live *unstructured.Unstructured) bool {
	return apply.Suspended(live) && slices.ContainsFunc(live.GetManagedFields(), func(m fieldsEntry) bool { return m.Manager == suspender })
}

// NotSuspendableError says that a run cannot be suspended for the next one.
// Nothing was written.
type NotSuspendableError struct {
	Ref    apply.Ref
	Reason string
}

func (e *NotSuspendableError) Error() string {
	return fmt.Sprintf("%s cannot be suspended: %s", e.Ref, e.Reason)
}

// notSuspendable says why a run cannot be suspended; "" when it can. Sources:
// the reconciler of Kueue, which starts suspended jobs of an admitted
// Workload; KubeRay's ValidateRayJobSpec; Volcano, which aborts a Job by a
// Command of its own.
func notSuspendable(live *unstructured.Unstructured) string {
	if queue := live.GetLabels()["kueue.x-k8s.io/queue-name"]; queue != "" {
		return "Kueue decides when it runs (queue " + queue + ") and would let it go on"
	}
	if apply.SuspendPath(apply.RefOf(live)) == nil {
		return "its kind has no field for it"
	}
	if live.GetKind() == "RayJob" {
		if ends, _, _ := unstructured.NestedBool(live.Object, "spec", "shutdownAfterJobFinishes"); !ends {
			return "KubeRay wants spec.shutdownAfterJobFinishes for that"
		}
		if chosen, _, _ := unstructured.NestedMap(live.Object, "spec", "clusterSelector"); len(chosen) > 0 {
			return "it runs on a RayCluster that is not its own"
		}
	}
	return ""
}

// findEarlier finds the earlier runs that give way to runs of the plan: of the
// same workload, in the inventory, not in the bundle, and not ended.
func (p *Promoter) findEarlier(ctx context.Context, plan *Plan) error {
	if p.Options.Replace == "" || p.Options.Replace == ReplaceKeep {
		return nil
	}
	wanted, lines := map[apply.Ref]bool{}, map[apply.Ref]bool{}
	for _, obj := range plan.objects {
		if ref := apply.RefOf(obj); isRun(ref) {
			wanted[ref], lines[lineage(ref)] = true, true
		}
	}
	var refs []apply.Ref
	for _, e := range plan.state.Inventory {
		if isRun(e.Ref) && !wanted[e.Ref] && lines[lineage(e.Ref)] && (p.Options.replaceOnly == nil || p.Options.replaceOnly[e.Ref]) {
			refs = append(refs, e.Ref)
		}
	}
	found, err := plan.members.Find(ctx, refs)
	if apierrors.IsForbidden(err) {
		return nil // preflight says so
	}
	if err != nil {
		return err
	}
	for _, ref := range refs {
		live, e := found[ref], plan.entries[ref]
		if live == nil || apply.Finished(live) || e.UID != "" && e.UID != live.GetUID() || live.GetLabels()[release.PartOf] != p.id() {
			continue
		}
		f := former{e, live}
		rests := apply.Suspended(live) && live.GetLabels()["kueue.x-k8s.io/queue-name"] == ""
		switch {
		case p.Options.Replace == ReplaceKill:
		case rests: // it holds nothing, and nobody knows when it goes on
			continue
		case p.Options.Replace == ReplaceSuspend:
			if reason := notSuspendable(live); reason != "" {
				return &NotSuspendableError{Ref: ref, Reason: reason}
			}
		}
		plan.earlier = append(plan.earlier, f)
	}
	return nil
}

// yield puts into the plan what becomes of the earlier runs. Nothing waits for
// them where no new run of their workload begins.
func (p *Promoter) yield(plan *Plan) {
	begins := map[apply.Ref]bool{}
	for _, c := range plan.Changes.Changes {
		if c.Action == apply.Create {
			begins[lineage(c.Ref)] = true
		}
	}
	var staying []former
	for _, f := range plan.earlier {
		switch p.Options.Replace {
		case ReplaceAfterFinish:
			if !begins[lineage(f.entry.Ref)] {
				continue
			}
			plan.Changes.AddFormer(apply.Await, f.live, "it still runs, and the next run begins when it has ended")
		case ReplaceSuspend:
			plan.Changes.AddFormer(apply.Suspend, f.live, "it still runs, and goes on when its release comes back")
		case ReplaceKill:
			plan.Changes.AddFormer(apply.Kill, f.live, "it has not ended, and is deleted with its pods before the next run begins")
		}
		staying = append(staying, f)
	}
	plan.earlier = staying
}

// reasonsOf says of the earlier runs that stay what becomes of them.
func (p *Promoter) reasonsOf(plan *Plan) {
	words := map[Replacement]string{ReplaceAfterFinish: "the next run waits for its end", ReplaceSuspend: "it is suspended"}[p.Options.Replace]
	for i := range plan.Kept {
		k := &plan.Kept[i]
		if words != "" && slices.ContainsFunc(plan.earlier, func(f former) bool { return f.entry.Ref == k.Entry.Ref }) {
			k.Reason = words
		}
	}
}

// withoutKilled returns the formers but the runs that are killed before.
func (p *Promoter) withoutKilled(plan *Plan, formers []former) []former {
	if p.Options.Replace != ReplaceKill {
		return formers
	}
	return slices.DeleteFunc(formers, func(f former) bool {
		return slices.ContainsFunc(plan.earlier, func(e former) bool { return e.entry.Ref == f.entry.Ref })
	})
}

// resume lets the runs of the bundle go on that an earlier promotion
// suspended. It comes after the digest of the bundle, which is that of the
// bundle as it was given.
func resume(plan *Plan, live map[apply.Ref]*unstructured.Unstructured) error {
	for _, obj := range plan.objects {
		ref := apply.RefOf(obj)
		if !isRun(ref) || live[ref] == nil || !suspendedByUs(live[ref]) || apply.Suspended(obj) {
			continue
		}
		if err := unstructured.SetNestedField(obj.Object, false, apply.SuspendPath(ref)...); err != nil {
			return fmt.Errorf("%s: %w", ref, err)
		}
	}
	return nil
}

// await waits until the earlier runs have ended. It comes before anything of
// the bundle is written, so that an interrupted wait leaves nothing behind but
// the record of it; the lock is held meanwhile, as a plan made now would not
// hold after another run.
func (r *run) await(ctx context.Context) error {
	if r.Options.Replace != ReplaceAfterFinish {
		return nil
	}
	ctx, cancel := within(ctx, r.Options.Timeout)
	defer cancel()
	for _, f := range r.plan.earlier {
		r.Reporter.Start(fmt.Sprintf("Wait until %s has ended", f.entry.Short()))
		err := r.Cluster.Ended(ctx, f.entry.Ref, f.live.GetUID())
		if err != nil && ctx.Err() != nil {
			err = &apply.TimeoutError{Pending: []apply.Standing{{Object: f.entry.Ref, Phase: apply.Running, Detail: "the next run begins when it has ended"}}, Err: context.Cause(ctx)}
		}
		r.Reporter.End(err)
		if err != nil {
			return err
		}
		r.replaced(f.entry.Ref)
	}
	return nil
}

// displace suspends or kills the earlier runs, and waits until their pods have
// ended: what they hold is free for the next ones then.
func (r *run) displace(ctx context.Context) error {
	if len(r.plan.earlier) == 0 || r.Options.Replace == ReplaceAfterFinish {
		return nil
	}
	ctx, cancel := within(ctx, r.Options.Timeout)
	defer cancel()
	if r.Options.Replace == ReplaceKill {
		r.Reporter.Start(fmt.Sprintf("Kill %d earlier runs", len(r.plan.earlier)))
		gone, err := r.deleteAll(ctx, r.plan.earlier, deletion{wait: true, keep: func(f former) string {
			if apply.Finished(f.live) && !slices.Contains(r.Options.PruneAlso, f.entry.Short()) {
				return "it ended by itself"
			}
			return ""
		}})
		r.Reporter.End(err)
		maps.Copy(r.gone, gone)
		for _, f := range r.plan.earlier {
			if gone[f.entry.Ref] {
				r.replaced(f.entry.Ref)
			}
		}
		return err
	}
	r.Reporter.Start(fmt.Sprintf("Suspend %d earlier runs", len(r.plan.earlier)))
	err := r.suspendAll(ctx)
	r.Reporter.End(err)
	return err
}

func (r *run) suspendAll(ctx context.Context) error {
	for _, f := range r.plan.earlier {
		rests, err := r.suspend(ctx, f.live, true)
		if err != nil {
			return err
		}
		if rests {
			r.replaced(f.entry.Ref)
		}
	}
	for _, f := range r.plan.earlier {
		if err := r.Cluster.Rests(ctx, f.live); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) replaced(ref apply.Ref) {
	r.record.Replaced = append(r.record.Replaced, release.Replaced{Object: ref, How: string(r.Options.Replace)})
}

// suspend holds a run back, or lets it go on, if it is the one that was looked
// at and has not ended. It says whether it did.
func (p *Promoter) suspend(ctx context.Context, live *unstructured.Unstructured, held bool) (bool, error) {
	ref, uid := apply.RefOf(live), live.GetUID()
	resource, err := p.resource(live)
	if err != nil {
		return false, err
	}
	for try := 0; ; try++ {
		patch := &unstructured.Unstructured{Object: map[string]any{}}
		patch.SetUID(uid)
		patch.SetResourceVersion(live.GetResourceVersion())
		if err := unstructured.SetNestedField(patch.Object, held, apply.SuspendPath(ref)...); err != nil {
			return false, fmt.Errorf("%s: %w", ref, err)
		}
		body, err := json.Marshal(patch.Object)
		if err != nil {
			return false, fmt.Errorf("encode: %w", err)
		}
		_, err = resource.Patch(ctx, ref.Name, types.MergePatchType, body, metav1.PatchOptions{FieldManager: suspender})
		switch {
		case err == nil:
			return true, nil
		case apierrors.IsNotFound(err):
			return false, nil
		case !apierrors.IsConflict(err) || try == tries:
			return false, &apply.ObjectError{Action: "suspend", Ref: ref, Err: err}
		}
		// Somebody, most likely the controller of its status, wrote to it.
		live, err = resource.Get(ctx, ref.Name, metav1.GetOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return false, nil
		case err != nil:
			return false, &apply.ObjectError{Action: "read", Ref: ref, Err: err}
		case live.GetUID() != uid, apply.Finished(live):
			return false, nil
		}
	}
}
