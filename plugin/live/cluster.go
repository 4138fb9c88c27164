package live

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/client-go/tools/cache"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/clientset"
	"github.com/kubectl-ai/kubectl-ai/plugin/observe"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/inject"
	"github.com/kubectl-ai/kubectl-ai/plugin/run"
)

// shown is how many runs that ended are part of the state.
const shown = 20

// watch keeps pods and nodes, and has records read again when a Job, a pod or
// a record changes.
func (w *Watcher) watch(ctx context.Context) error {
	var running sync.WaitGroup
	defer running.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watch := func(part string, informer cache.SharedInformer, update, gone func(any)) error {
		_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc:    update,
			UpdateFunc: func(_, obj any) { update(obj) },
			DeleteFunc: func(obj any) {
				if last, ok := obj.(cache.DeletedFinalStateUnknown); ok {
					obj = last.Obj
				}
				gone(obj)
			},
		})
		if err != nil {
			return fmt.Errorf("watch %s: %w", part, err)
		}
		err = informer.SetWatchErrorHandlerWithContext(func(ctx context.Context, _ *cache.Reflector, err error) {
			if apierrors.IsForbidden(err) {
				w.note(ctx, part, err) // of anything else, reading the records tells
			}
		})
		if err != nil {
			return fmt.Errorf("watch %s: %w", part, err)
		}
		running.Go(func() { informer.RunWithContext(ctx) })
		return nil
	}
	again := func(any) { wake(w.look) }
	core := w.Client.CoreV1()
	err := watch("pods", clientset.Informer(core.Pods(w.Namespace), run.ProjectLabel+"="+w.Project, &corev1.Pod{}),
		func(obj any) { w.pod(obj.(*corev1.Pod), false) }, func(obj any) {
			if pod, ok := obj.(*corev1.Pod); ok {
				w.pod(pod, true)
			}
		})
	if err == nil {
		err = watch("nodes", clientset.Informer(core.Nodes(), "", &corev1.Node{}),
			func(obj any) { w.node(obj.(*corev1.Node), false) }, func(obj any) {
				if node, ok := obj.(*corev1.Node); ok {
					w.node(node, true)
				}
			})
	}
	if err == nil {
		err = watch("records", clientset.Informer(core.ConfigMaps(w.Namespace), run.IDLabel, &corev1.ConfigMap{}), again, again)
	}
	if err == nil {
		err = watch("Jobs", clientset.Informer(w.Client.BatchV1().Jobs(w.Namespace), run.IDLabel, &batchv1.Job{}), again, again)
	}
	if err != nil {
		return err
	}
	<-ctx.Done()
	return context.Cause(ctx)
}

func (w *Watcher) pod(pod *corev1.Pod, gone bool) {
	w.change(func() {
		if gone {
			delete(w.pods, pod.UID)
		} else {
			w.pods[pod.UID] = pod
		}
	})
	wake(w.look)
	wake(w.devices)
}

func (w *Watcher) node(node *corev1.Node, gone bool) {
	w.change(func() {
		if gone {
			delete(w.nodes, node.Name)
		} else {
			w.nodes[node.Name] = node
		}
	})
	wake(w.devices)
}

// follow reads the records again and again, and follows the logs of whatever
// runs. ready is closed after the first time.
func (w *Watcher) follow(ctx context.Context, followers *sync.WaitGroup, ready chan<- struct{}) error {
	first := true
	return every(ctx, recordsEvery, w.look, func(ctx context.Context) error {
		err := w.readRecords(ctx)
		if apierrors.IsForbidden(err) {
			return err
		}
		if !w.note(ctx, "runs", err) {
			return nil
		}
		w.listen(ctx, followers)
		if first {
			first = false
			close(ready)
		}
		return nil
	})
}

// readRecords reads the records, and how those stand that go on.
func (w *Watcher) readRecords(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	all, broken, err := w.Store.List(ctx, w.Project)
	if err != nil {
		return err
	}
	w.mu.Lock()
	before := map[string]apply.Phase{}
	for _, r := range w.records {
		before[r.ID] = r.Phase
	}
	w.mu.Unlock()
	var records []run.Record
	ended := 0
	for _, r := range slices.Backward(all) {
		if r.Done() {
			if ended++; ended > shown {
				continue
			}
		} else {
			// Nobody need have recorded that it ran: of ranks that end one by one
			// it is to be known.
			if phase := before[r.ID]; phase == apply.Running {
				r.Phase = phase
			}
			if r, err = w.Store.Peek(ctx, r); err != nil {
				return err
			}
		}
		records = append(records, r)
	}
	w.change(func() {
		w.records = records
		delete(w.unread, "records")
		if len(broken) > 0 {
			w.unread["records"] = broken[0].Error()
		}
	})
	return nil
}

// ranksOf are the ranks of a pod, be they dev's or a run's.
func ranksOf(pod *corev1.Pod) []observe.Rank {
	if pod.Labels[run.IDLabel] != "" {
		return observe.Ranks(pod, run.CodeContainers(pod))
	}
	return observe.Ranks(pod, inject.ContainersAnnotation)
}
