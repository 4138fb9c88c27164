package apply

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// WaitOptions say how patient Wait is.
type WaitOptions struct {
	// PodSelector narrows the pods that are watched; "" watches all pods of
	// the namespaces.
	PodSelector string
	// Grace is how long a pod may fit nowhere. 0: 30 s.
	Grace time.Duration
	// Settle is how long all must be there without a break, since a process
	// that dies in its first second was Ready for that second. 0: 3 s;
	// negative: none.
	Settle time.Duration
}

// Defaults of WaitOptions, both chosen.
const (
	DefaultGrace  = 30 * time.Second
	DefaultSettle = 3 * time.Second
)

// TimeoutError says what was not there when the time ran out. It unwraps to
// the cause of the context, such as context.DeadlineExceeded.
type TimeoutError struct {
	Pending []string // "Job/digits: 1 of 2 ranks ready"
	Err     error
}

func (e *TimeoutError) Error() string {
	return fmt.Sprintf("still waiting for %s: %v", strings.Join(e.Pending, "; "), e.Err)
}

func (e *TimeoutError) Unwrap() error { return e.Err }

// Wait waits until every workload among the objects is there: Jobs with all
// ranks Ready or complete, other kinds by kstatus. It returns a *FailedError
// or a *PodError as soon as waiting longer does not help, and a
// *TimeoutError when ctx ends before.
func (c *Client) Wait(ctx context.Context, objects []*unstructured.Unstructured, o WaitOptions, r Reporter) error {
	if o.Grace == 0 {
		o.Grace = DefaultGrace
	}
	if o.Settle == 0 {
		o.Settle = DefaultSettle
	}
	state := newWaiting(objects, o, time.Now)
	if len(state.refs) == 0 {
		return nil
	}
	r = or(r)
	if len(state.refs) == 1 {
		r.Start("Wait for " + state.refs[0].Short())
	} else {
		r.Start(fmt.Sprintf("Wait for %d workloads", len(state.refs)))
	}
	err := c.wait(ctx, state, o, r)
	r.End(err)
	return err
}

type source struct {
	gvk       schema.GroupVersionKind
	namespace string
	options   metav1.ListOptions
}

func (c *Client) wait(ctx context.Context, state *waiting, o WaitOptions, r Reporter) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	group, gctx := errgroup.WithContext(inner)
	type news struct {
		source source
		event
	}
	events := make(chan news)
	for _, s := range state.sources(o) {
		m, err := c.mapping(s.gvk.GroupKind(), s.gvk.Version)
		if err != nil {
			return err
		}
		group.Go(func() error {
			err := follow(gctx, at(c.Dynamic, m, s.namespace), s.options, func(e event) {
				select {
				case events <- news{s, e}:
				case <-gctx.Done():
				}
			})
			if err != nil {
				return fmt.Errorf("watch %s: %w", m.Resource.Resource, err)
			}
			return nil
		})
	}
	finish := func(result error) error {
		cancel()
		if err := group.Wait(); err != nil && result == nil {
			return err
		}
		return result
	}
	// Time matters besides events: a grace ends, all has settled.
	tick := time.NewTicker(250 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return finish(&TimeoutError{Pending: state.pending(), Err: context.Cause(ctx)})
		case <-gctx.Done():
			if ctx.Err() != nil {
				continue // the case above tells more
			}
			return finish(nil) // a watch was refused: Wait returns why
		case n := <-events:
			state.learn(n.source.gvk, n.source.namespace, n.event)
		case <-tick.C:
		}
		done, err := state.check(r)
		if err != nil {
			return finish(err)
		}
		if done {
			return finish(nil)
		}
	}
}

// sources returns what has to be watched: the workloads, their pods, and the
// ReplicaSets between Deployments and pods.
func (w *waiting) sources(o WaitOptions) []source {
	var out []source
	add := func(s source) {
		if !slices.ContainsFunc(out, func(t source) bool { return t == s }) {
			out = append(out, s)
		}
	}
	byKind := map[schema.GroupVersionKind]int{}
	for _, obj := range w.objects {
		byKind[obj.GroupVersionKind()]++
	}
	for _, obj := range w.objects {
		gvk := obj.GroupVersionKind()
		s := source{gvk: gvk, namespace: obj.GetNamespace()}
		if byKind[gvk] == 1 {
			s.options = byName(obj.GetName())
		}
		add(s)
		if obj.GetNamespace() == "" {
			continue
		}
		add(source{gvk: podGVK, namespace: obj.GetNamespace(), options: metav1.ListOptions{LabelSelector: o.PodSelector}})
		if gvk.Kind == "Deployment" && gvk.Group == "apps" {
			add(source{gvk: replicaSetGVK, namespace: obj.GetNamespace(), options: metav1.ListOptions{LabelSelector: o.PodSelector}})
		}
	}
	return out
}
