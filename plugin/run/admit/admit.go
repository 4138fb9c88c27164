// Package admit lets suspended runs go when all their ranks find room, one
// kubectl ai at a time.
//
// There is no controller: whoever waits for a run, starts one or looks at runs
// makes a pass over all that wait. A Lease in kube-system keeps passes from
// each other, so that two gangs that each find room alone are not both let go.
// Where somebody may not write there, the Lease is in the namespace of the
// runs and keeps those from each other alone.
//
// A Job that has a Kueue queue is left to Kueue.
package admit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/clientset"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
	"github.com/kubectl-ai/kubectl-ai/plugin/run"
)

// Queue is the runs of a cluster that wait.
type Queue struct {
	Client    clientset.Interface
	Dynamic   dynamic.Interface // for the Lease
	Namespace string            // of the runs of whoever asks
	Holder    release.Holder
	Now       func() time.Time
}

// ErrBusy says that another kubectl ai makes a pass at this moment.
var ErrBusy = errors.New("another kubectl ai decides which run is next")

// leaseName is the Lease's name without the prefix that all of ours have.
const leaseName = "admission"

// Pass lets go what finds room. It returns what it decided of each run that
// waited or was taken back, or ErrBusy. When nothing waits it writes nothing.
func (q *Queue) Pass(ctx context.Context) ([]Decision, error) {
	seen, blind, err := q.See(ctx)
	if err != nil {
		return nil, err
	}
	if blind != nil {
		return q.letAllGo(ctx, seen.Jobs)
	}
	decisions := Decide(seen)
	if len(decisions) == 0 {
		return nil, nil
	}
	if !changes(decisions) {
		return decisions, q.explain(ctx, decisions)
	}
	// What was decided may not hold under the lock: decide again there.
	ctx, lock, err := q.lock(ctx)
	if err != nil {
		return nil, err
	}
	defer lock.Release(ctx)
	if seen, _, err = q.See(ctx); err != nil {
		return nil, err
	}
	decisions = Decide(seen)
	for _, d := range decisions {
		if !d.Go && !d.Back {
			continue
		}
		if err := q.suspend(ctx, d.Job, d.Back, d.Why); err != nil {
			return decisions, err
		}
	}
	return decisions, q.explain(ctx, decisions)
}

func changes(all []Decision) bool {
	for _, d := range all {
		if d.Go || d.Back {
			return true
		}
	}
	return false
}

// lock takes the Lease.
func (q *Queue) lock(ctx context.Context) (context.Context, *release.Lock, error) {
	for _, namespace := range []string{metav1.NamespaceSystem, q.Namespace} {
		store := &release.Store{Client: q.Dynamic, Project: leaseName, Namespace: namespace}
		held, lock, err := store.Lock(ctx, q.Holder, nil)
		var locked *release.LockedError
		switch {
		case err == nil:
			return held, lock, nil
		case errors.As(err, &locked):
			return ctx, nil, ErrBusy
		case !apierrors.IsForbidden(err):
			return ctx, nil, err
		}
	}
	return ctx, nil, fmt.Errorf("the Lease kubectl-ai-%s may be written neither in kube-system nor in %s", leaseName, q.Namespace)
}

// See reads what there is. blind says that nodes or pods may not be listed:
// only the scheduler knows then.
func (q *Queue) See(ctx context.Context) (seen Seen, blind, err error) {
	seen.Now = q.Now()
	jobs, err := q.jobs(ctx)
	if err != nil {
		return seen, nil, err
	}
	seen.Jobs = jobs
	nodes, err := q.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err == nil {
		seen.Nodes = nodes.Items
		var pods *corev1.PodList
		pods, err = q.Client.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: "status.phase!=Succeeded,status.phase!=Failed"})
		if err == nil {
			seen.Pods = pods.Items
		}
	}
	if apierrors.IsForbidden(err) {
		return seen, err, nil
	}
	if err != nil {
		return seen, nil, fmt.Errorf("see what is free: %w", err)
	}
	for _, namespace := range namespaces(jobs) {
		quotas, err := q.Client.CoreV1().ResourceQuotas(namespace).List(ctx, metav1.ListOptions{})
		if err == nil {
			seen.Quotas = append(seen.Quotas, quotas.Items...)
		}
	}
	return seen, nil, nil
}

// jobs lists those of runs everywhere, or where that is permitted.
func (q *Queue) jobs(ctx context.Context) ([]batchv1.Job, error) {
	options := metav1.ListOptions{LabelSelector: run.IDLabel}
	list, err := q.Client.BatchV1().Jobs("").List(ctx, options)
	if apierrors.IsForbidden(err) {
		list, err = q.Client.BatchV1().Jobs(q.Namespace).List(ctx, options)
	}
	if err != nil {
		return nil, fmt.Errorf("list the Jobs of runs: %w", err)
	}
	return list.Items, nil
}

func namespaces(jobs []batchv1.Job) []string {
	var out []string
	seen := map[string]bool{}
	for i := range jobs {
		if ns := jobs[i].Namespace; !seen[ns] {
			seen[ns] = true
			out = append(out, ns)
		}
	}
	return out
}

// letAllGo leaves it to the scheduler, where nobody here may see what is free.
func (q *Queue) letAllGo(ctx context.Context, jobs []batchv1.Job) ([]Decision, error) {
	var out []Decision
	for i := range jobs {
		job := &jobs[i]
		if job.Namespace != q.Namespace || job.Labels[run.QueueLabel] != "" || job.Spec.Suspend == nil || !*job.Spec.Suspend {
			continue
		}
		if err := q.suspend(ctx, job, false, ""); err != nil {
			return out, err
		}
		out = append(out, Decision{Job: job, Go: true})
	}
	return out, nil
}

// suspend lets a Job go, or holds it.
func (q *Queue) suspend(ctx context.Context, job *batchv1.Job, hold bool, why string) error {
	err := q.patch(ctx, job, map[string]any{"spec": map[string]any{"suspend": hold}, "metadata": map[string]any{
		"resourceVersion": job.ResourceVersion, "annotations": map[string]any{run.WaitingAnnotation: orNil(why)},
	}})
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil // somebody changed or deleted it since; the next pass sees
	}
	return err
}

// explain notes on the Jobs what they wait for, where that changed and may be.
func (q *Queue) explain(ctx context.Context, all []Decision) error {
	for _, d := range all {
		if d.Go || d.Back || d.Job.Annotations[run.WaitingAnnotation] == d.Why {
			continue
		}
		err := q.patch(ctx, d.Job, map[string]any{"metadata": map[string]any{"annotations": map[string]any{run.WaitingAnnotation: d.Why}}})
		if err != nil && !apierrors.IsForbidden(err) && !apierrors.IsNotFound(err) {
			return err
		}
	}
	return nil
}

func orNil(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func (q *Queue) patch(ctx context.Context, job *batchv1.Job, patch map[string]any) error {
	raw, err := json.Marshal(patch)
	if err != nil {
		return err
	}
	_, err = q.Client.BatchV1().Jobs(job.Namespace).Patch(ctx, job.Name, types.MergePatchType, raw, metav1.PatchOptions{FieldManager: "kubectl-ai"})
	if err != nil && !apierrors.IsForbidden(err) && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("let Job/%s go: %w", job.Name, err)
	}
	return err
}
