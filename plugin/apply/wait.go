package apply

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// WaitOptions say how patient Wait is.
type WaitOptions struct {
	// PodSelector narrows the pods that are watched; "" watches all pods of
	// the namespaces.
	PodSelector string
	// Grace is how long a pod may fit nowhere, and a container wait for what
	// may pass, such as a registry that is overloaded. 0: 30 s.
	Grace time.Duration
	// Settle is how long all must be there without a break, since a process
	// that dies in its first second was Ready for that second. 0: 3 s;
	// negative: none.
	Settle time.Duration
	// Freed says that earlier work gave way just now. The usage of a quota is
	// counted a moment later, so that its refusals have the grace.
	Freed bool
	// Until is what is waited for; "": UntilStarted.
	Until Until
	// Seen is told whenever a workload's standing changes, by one goroutine;
	// nil: nobody is.
	Seen func(Standing)
}

// Until is what Wait waits for.
type Until string

// What can be waited for. Work that has no end, such as a Deployment, is
// complete when it has started.
const (
	UntilStarted  Until = "started"
	UntilComplete Until = "complete"
)

// Defaults of WaitOptions, both chosen.
const (
	DefaultGrace  = 30 * time.Second
	DefaultSettle = 3 * time.Second
)

// TimeoutError says what was not there when the time ran out. It unwraps to
// the cause of the context, such as context.DeadlineExceeded.
type TimeoutError struct {
	Pending []Standing
	Err     error
}

func (e *TimeoutError) Error() string {
	pending := make([]string, len(e.Pending))
	for i, s := range e.Pending {
		pending[i] = s.String()
	}
	return fmt.Sprintf("still waiting for %s: %v", strings.Join(pending, "; "), e.Err)
}

func (e *TimeoutError) Unwrap() error { return e.Err }

// Wait waits until every workload among the objects is there: all ranks Ready
// for the settle time, or the work complete, and the latter alone where the
// options say so. Jobs are judged by their pods, the kinds of operators that
// run training by these operators' own words, all else by kstatus. It returns
// a *FailedError or a *PodError as soon as waiting longer does not help, and a
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
	extra     bool // it helps, and waiting goes on without
}

func (c *Client) wait(ctx context.Context, state *waiting, o WaitOptions, r Reporter) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	group, gctx := errgroup.WithContext(inner)
	c.learnMute(ctx, state)
	type news struct {
		source source
		event
	}
	events := make(chan news)
	for _, s := range state.sources(o) {
		m, err := c.mapping(s.gvk.GroupKind(), s.gvk.Version)
		if s.extra && err != nil {
			continue
		}
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
			if err != nil && !s.extra {
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
	tick := time.NewTicker(tempo)
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

// tempo is how often time is looked at.
const tempo = 250 * time.Millisecond

// learnMute finds the kinds of CRDs that have no status, as their controllers,
// if they have any, say nothing. Where that may not be asked, kstatus decides. A
// server that gives no answer says nothing of the kind.
func (c *Client) learnMute(ctx context.Context, w *waiting) {
	for i, ref := range w.refs {
		gk := ref.GroupKind()
		_, known := operators[gk]
		if _, asked := w.mute[gk]; asked || known || !strings.Contains(gk.Group, ".") {
			continue
		}
		resource, err := c.of(w.objects[i])
		if err == nil {
			_, err = resource.Get(ctx, ref.Name, metav1.GetOptions{}, "status")
		}
		w.mute[gk] = apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err) || apierrors.IsForbidden(err)
	}
}

// sources returns what has to be watched: the workloads, their pods, the
// ReplicaSets between Deployments and pods, and what controllers say when they
// cannot make pods.
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
		add(source{gvk: eventGVK, namespace: obj.GetNamespace(), options: metav1.ListOptions{FieldSelector: "reason=" + failedCreate}, extra: true})
		if gvk.Kind == "Deployment" && gvk.Group == "apps" {
			add(source{gvk: replicaSetGVK, namespace: obj.GetNamespace(), options: metav1.ListOptions{LabelSelector: o.PodSelector}})
		}
	}
	return out
}
