package promote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

const earlierJob = `{apiVersion: batch/v1, kind: Job, metadata: {name: train-01234567, namespace: ns}, spec: {suspend: false, template: {spec: {containers: [{name: c, image: one}]}}}}`

// planOf is a plan whose inventory holds what lives, and whose bundle is next.
func planOf(p *Promoter, next *unstructured.Unstructured, live ...*unstructured.Unstructured) *Plan {
	plan := &Plan{
		Revision: 2, objects: []*unstructured.Unstructured{next}, state: &release.State{Current: 1}, entries: map[apply.Ref]release.Entry{},
		members: p.Cluster.Members(release.PartOf + "=" + p.id()), Changes: &apply.Plan{Changes: []apply.Change{{Action: apply.Create, Ref: apply.RefOf(next), Want: next}}},
	}
	for _, f := range formersOf(live...) {
		f.entry.Release = 1
		plan.state.Inventory = append(plan.state.Inventory, f.entry)
		plan.entries[f.entry.Ref] = f.entry
	}
	return plan
}

func TestWhichEarlierRunsGiveWay(t *testing.T) {
	const (
		queued   = `labels: {kueue.x-k8s.io/queue-name: q}`
		finished = `, status: {conditions: [{type: Failed, status: "True"}]}}`
	)
	edit := func(pairs ...string) string { return strings.NewReplacer(pairs...).Replace(earlierJob) }
	for _, c := range []struct {
		name, text string
		edit       func(*unstructured.Unstructured)
		want       string // the replacements for which it gives way
		refused    bool   // when it is to be suspended
	}{
		{name: "one that runs", text: earlierJob, want: "after-finish suspend kill"},
		{name: "one that has ended", text: strings.TrimSuffix(earlierJob, "}") + finished},
		{name: "one that is suspended already", text: edit("suspend: false", "suspend: true"), want: "kill"},
		{name: "one that waits in a queue", text: edit("suspend: false", "suspend: true", "namespace: ns", "namespace: ns, "+queued), want: "after-finish kill", refused: true},
		{name: "one that a queue let go", text: edit("namespace: ns", "namespace: ns, "+queued), want: "after-finish kill", refused: true},
		{name: "another workload's", text: edit("train-", "prepare-")},
		{name: "one of another namespace", text: edit("namespace: ns", "namespace: other")},
		{name: "one that somebody made anew", text: earlierJob, edit: func(live *unstructured.Unstructured) { live.SetUID("theirs") }},
		{name: "one that is ours no more", text: earlierJob, edit: func(live *unstructured.Unstructured) { live.SetLabels(nil) }},
		{name: "one of the bundle itself", text: edit("01234567", "89abcdef")},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := member(t, c.text)
			live := before.DeepCopy()
			if c.edit != nil {
				c.edit(live)
			}
			var got []string
			for _, how := range Replacements {
				p, _ := cluster(t, live)
				p.Options.Replace = Replacement(how)
				plan := planOf(p, object(t, strings.Replace(earlierJob, "01234567", "89abcdef", 1)), before)
				err := p.findEarlier(t.Context(), plan)
				var refused *NotSuspendableError
				if errors.As(err, &refused) != (c.refused && p.Options.Replace == ReplaceSuspend) || err != nil && refused == nil {
					t.Fatalf("%s: %v", how, err)
				}
				if len(plan.earlier) > 0 {
					got = append(got, how)
				}
			}
			if diff := cmp.Diff(c.want, strings.Join(got, " ")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestAnEarlierRunIsAwaitedForARunThatBeginsAlone(t *testing.T) {
	live := member(t, earlierJob)
	for action, want := range map[apply.Action]int{apply.Create: 1, apply.Unchanged: 0, apply.Update: 0} {
		p, _ := cluster(t, live)
		p.Options.Replace = ReplaceAfterFinish
		plan := planOf(p, object(t, strings.Replace(earlierJob, "01234567", "89abcdef", 1)), live)
		plan.Changes.Changes[0].Action = action
		if err := p.findEarlier(t.Context(), plan); err != nil {
			t.Fatal(err)
		}
		p.yield(plan)
		if got := plan.Changes.Count(apply.Await); got != want || len(plan.earlier) != want {
			t.Errorf("%s: %d are awaited, want %d", action, got, want)
		}
		if plan.Changes.Writes() != (action != apply.Unchanged) {
			t.Errorf("%s: to wait is taken for a write", action)
		}
	}
}

// begun is a run of a plan that has its lock.
func begun(p *Promoter, plan *Plan) *run {
	r := &run{Promoter: p, plan: plan, receipts: map[apply.Ref]apply.Receipt{}, gone: map[apply.Ref]bool{}}
	r.begin()
	return r
}

func TestRunsOfAllKindsAreSuspendedByTheirOwnField(t *testing.T) {
	paths := map[string]string{
		"Job": "spec.suspend", "JobSet": "spec.suspend", "TrainJob": "spec.suspend", "RayJob": "spec.suspend", "PyTorchJob": "spec.runPolicy.suspend", "Volcano": "",
	}
	texts := map[string]string{"Job": earlierJob}
	for kind, text := range runs {
		texts[kind] = strings.Replace(text, "NAME", "train-01234567", 1)
	}
	texts["RayJob"] = strings.Replace(texts["RayJob"], "suspend: false", "suspend: false, shutdownAfterJobFinishes: true", 1)
	for kind, path := range paths {
		t.Run(kind, func(t *testing.T) {
			live := member(t, texts[kind])
			if reason := notSuspendable(live); (reason == "") != (path != "") {
				t.Fatalf("it cannot be suspended: %q", reason)
			}
			if path == "" {
				return
			}
			p, d := cluster(t, live)
			d.PrependReactor("patch", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
				patch := a.(clienttesting.PatchActionImpl)
				var body struct {
					Metadata struct{ UID, ResourceVersion string }
				}
				if err := json.Unmarshal(patch.Patch, &body); err != nil || body.Metadata.UID != "uid-train-01234567" || body.Metadata.ResourceVersion != "1" || patch.PatchOptions.FieldManager != suspender {
					t.Errorf("%s by %s, %v", patch.Patch, patch.PatchOptions.FieldManager, err)
				}
				return false, nil, nil
			})
			if did, err := p.suspend(t.Context(), live, true); !did || err != nil {
				t.Fatal(did, err)
			}
			got, err := p.Cluster.Get(t.Context(), apply.RefOf(live))
			if held, _, _ := unstructured.NestedBool(got.Object, strings.Split(path, ".")...); err != nil || !held || !apply.Suspended(got) {
				t.Errorf("%v, %v", got.Object["spec"], err)
			}
		})
	}
	if reason := notSuspendable(member(t, strings.Replace(runs["RayJob"], "NAME", "train", 1))); !strings.Contains(reason, "shutdownAfterJobFinishes") {
		t.Errorf("a RayJob that keeps its cluster: %q", reason)
	}
}

// The next run is begun when the pods of the earlier one have ended.
func TestASuspendedRunRestsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		live := member(t, earlierJob)
		pod := object(t, `{apiVersion: v1, kind: Pod, metadata: {name: p, namespace: ns, labels: {job-name: train-01234567}}, status: {phase: Running}}`)
		p, d := cluster(t, live, pod)
		p.Options.Replace = ReplaceSuspend
		plan := planOf(p, object(t, strings.Replace(earlierJob, "01234567", "89abcdef", 1)), live)
		if err := p.findEarlier(t.Context(), plan); err != nil {
			t.Fatal(err)
		}
		p.yield(plan)
		r := begun(p, plan)
		rests := make(chan error, 1)
		go func() { rests <- r.displace(t.Context()) }()
		still := func(what string) {
			t.Helper()
			synctest.Wait()
			select {
			case err := <-rests:
				t.Fatalf("%s: it went on: %v", what, err)
			default:
			}
		}
		still("its controller has not seen it")
		held, err := p.Cluster.Get(t.Context(), apply.RefOf(live))
		if err != nil || !apply.Suspended(held) {
			t.Fatalf("it is not suspended: %v, %v", held, err)
		}
		held.Object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Suspended", "status": "True"}}}
		jobs := schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}
		if err := d.Tracker().Update(jobs, held, "ns"); err != nil {
			t.Fatal(err)
		}
		still("its pod saves a checkpoint")
		if err := d.Tracker().Delete(schema.GroupVersionResource{Version: "v1", Resource: "pods"}, "ns", "p"); err != nil {
			t.Fatal(err)
		}
		if err := <-rests; err != nil {
			t.Fatal(err)
		}
		want := []release.Replaced{{Object: apply.RefOf(live), How: "suspend"}}
		if diff := cmp.Diff(want, r.record.Replaced); diff != "" {
			t.Error(diff)
		}
	})
}

func TestARunThatIsLetGoAgainIsNoRoomForTheNext(t *testing.T) {
	live := member(t, earlierJob)
	p, d := cluster(t, live)
	d.PrependReactor("patch", "jobs", func(clienttesting.Action) (bool, runtime.Object, error) { return true, live, nil }) // a queue is quicker
	p.Options.Replace = ReplaceSuspend
	r := begun(p, planOf(p, object(t, strings.Replace(earlierJob, "01234567", "89abcdef", 1)), live))
	r.plan.earlier = formersOf(live)
	if err := r.displace(t.Context()); !errors.Is(err, apply.ErrResumed) {
		t.Errorf("err = %v", err)
	}
}

func TestAKilledRunIsNoRunThatEnded(t *testing.T) {
	live := member(t, strings.Replace(earlierJob, "suspend: false", "suspend: false, ttlSecondsAfterFinished: 60", 1))
	for _, c := range []struct {
		name string
		deny error
		gone bool
	}{
		{name: "it goes", gone: true},
		{name: "a policy keeps it", deny: apierrors.NewForbidden(schema.GroupResource{Resource: "jobs"}, "train", errors.New("no"))},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, d := cluster(t, live)
			d.PrependReactor("delete", "jobs", func(a clienttesting.Action) (bool, runtime.Object, error) {
				o := a.(clienttesting.DeleteActionImpl).DeleteOptions
				if o.Preconditions == nil || o.Preconditions.UID == nil || *o.Preconditions.UID != live.GetUID() || *o.PropagationPolicy != metav1.DeletePropagationForeground {
					t.Errorf("options %+v", o)
				}
				return c.deny != nil, nil, c.deny
			})
			p.Options.Replace = ReplaceKill
			plan := planOf(p, object(t, strings.Replace(earlierJob, "01234567", "89abcdef", 1)), live)
			if err := p.findEarlier(t.Context(), plan); err != nil {
				t.Fatal(err)
			}
			p.yield(plan)
			if formers := p.withoutKilled(plan, formersOf(live)); len(formers) != 0 {
				t.Errorf("it would be pruned again: %v", formers)
			}
			r := begun(p, plan)
			if e, _ := plan.state.Find(apply.RefOf(live)); wentByTTL(live, e) {
				t.Error("a promotion after one that died takes it for one that its TTL removed")
			}
			if err := r.displace(t.Context()); (err != nil) != (c.deny != nil) {
				t.Fatal(err)
			}
			r.settle()
			if _, left := plan.state.Find(apply.RefOf(live)); left == c.gone || (len(r.record.Replaced) == 1) != c.gone {
				t.Errorf("in the inventory: %v, recorded: %v", left, r.record.Replaced)
			}
		})
	}
}

// One that ends while it is to be killed stays, for its logs, unless it was
// named, as those are that a failed release made.
func TestARunThatEndsBeforeItIsKilled(t *testing.T) {
	for _, named := range []bool{false, true} {
		seen := member(t, earlierJob)
		live := seen.DeepCopy()
		live.SetResourceVersion("2")
		live.Object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Failed", "status": "True"}}}
		p, d := cluster(t, live)
		d.PrependReactor("delete", "jobs", func(a clienttesting.Action) (bool, runtime.Object, error) {
			if *a.(clienttesting.DeleteActionImpl).DeleteOptions.Preconditions.ResourceVersion != "2" {
				return true, nil, apierrors.NewConflict(schema.GroupResource{Resource: "jobs"}, "train", errors.New("precondition"))
			}
			return false, nil, nil
		})
		p.Options.Replace = ReplaceKill
		if named {
			p.Options.PruneAlso = []string{"Job/train-01234567"}
		}
		r := begun(p, planOf(p, object(t, strings.Replace(earlierJob, "01234567", "89abcdef", 1)), seen))
		r.plan.earlier = formersOf(seen)
		if err := r.displace(t.Context()); err != nil || r.gone[apply.RefOf(seen)] != named {
			t.Errorf("named %v: gone %v, %v", named, r.gone, err)
		}
	}
}

func TestAwaitedRunsMayTakeTheTimeGiven(t *testing.T) {
	live := member(t, earlierJob)
	p, d := cluster(t, live)
	p.Options.Replace = ReplaceAfterFinish
	r := begun(p, planOf(p, object(t, strings.Replace(earlierJob, "01234567", "89abcdef", 1)), live))
	r.plan.earlier = formersOf(live)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(context.DeadlineExceeded)
	var late *apply.TimeoutError
	if err := r.await(ctx); !errors.As(err, &late) || !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "Job/train-01234567") {
		t.Errorf("err = %v", err)
	}
	ended := live.DeepCopy()
	ended.Object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Complete", "status": "True"}}}
	if err := d.Tracker().Update(schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}, ended, "ns"); err != nil {
		t.Fatal(err)
	}
	if err := r.await(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestWhatWeSuspendedGoesOnWithItsRelease(t *testing.T) {
	for _, c := range []struct {
		name, manager string
		bundle        bool // the bundle itself holds it back
		goesOn        bool
	}{
		{name: "by us", manager: suspender, goesOn: true},
		{name: "by somebody else", manager: "kubectl-edit"},
		{name: "by us, and the bundle wants it so", manager: suspender, bundle: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			live := object(t, strings.Replace(earlierJob, "suspend: false", "suspend: true", 1))
			live.SetManagedFields([]fieldsEntry{{Manager: c.manager, Operation: "Update"}})
			want := object(t, strings.Replace(earlierJob, "suspend: false", fmt.Sprintf("suspend: %v", c.bundle), 1))
			if !c.bundle {
				unstructured.RemoveNestedField(want.Object, "spec", "suspend")
			}
			if err := resume(&Plan{objects: []*unstructured.Unstructured{want}}, map[apply.Ref]*unstructured.Unstructured{apply.RefOf(live): live}); err != nil {
				t.Fatal(err)
			}
			held, says, _ := unstructured.NestedBool(want.Object, "spec", "suspend")
			if goesOn := says && !held; goesOn != c.goesOn {
				t.Errorf("it goes on: %v", goesOn)
			}
		})
	}
}
