package promote

import (
	"context"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/canary"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

// trial is the part of a run in which the next pods get some of the traffic.
type trial struct {
	*run
	*canary.Canary      // nil: nothing is tried
	there          bool // its Deployment may be
	most           int  // pods that the stable Deployment has had
}

// tryOut gives the pods of the canary more and more of the traffic, once what
// they alone need is there, and returns the changes that are left to apply;
// the route and autoscalers come last of all. A *CanaryError says that the
// release is given up, and that the traffic is where it was.
func (t *trial) tryOut(ctx context.Context, changes *apply.Plan) (*apply.Plan, error) {
	if t.Canary == nil {
		return changes, nil
	}
	if _, left := t.plan.entries[t.Ref()]; left { // of a run that died: nobody knows what it has, and how it is
		t.there = true
		if err := t.end(ctx, t.before()); err != nil {
			return changes, &CanaryError{0, err}
		}
		delete(t.gone, t.Ref())
	}
	reads := references(t.Deployment)
	first, rest := changes.Split(func(c apply.Change) bool {
		return c.Action == apply.Create && (early(c.Ref) || slices.Contains(reads, c.Ref))
	})
	if err := t.apply(ctx, first); err != nil {
		return rest, err
	}
	last := []apply.Ref{apply.RefOf(t.Route)}
	for _, autoscaler := range t.Autoscalers {
		last = append(last, apply.RefOf(autoscaler))
	}
	_, rest = rest.Split(func(c apply.Change) bool { return slices.Contains(last, c.Ref) })
	t.there = true
	for _, autoscaler := range t.Autoscalers {
		if _, err := t.put(ctx, canary.Held(autoscaler)); err != nil {
			return rest, &CanaryError{0, t.giveUp(ctx, err)}
		}
	}
	for _, step := range t.Options.Canary.Steps {
		if err := t.step(ctx, step); err != nil {
			return rest, &CanaryError{step.Weight, t.giveUp(ctx, err)}
		}
	}
	return rest, nil
}

// early says whether a new object may come before the pods that need it are
// tried: it changes nothing for those that run, as a quota or a policy would.
func early(ref apply.Ref) bool {
	switch ref.Group {
	case "rbac.authorization.k8s.io", "scheduling.k8s.io", "node.k8s.io", "resource.k8s.io", "storage.k8s.io":
		return true
	case "":
		return ref.Kind == "ServiceAccount" || ref.Kind == "Secret" || ref.Kind == "ConfigMap"
	}
	return false
}

// handOver gives all of the traffic to the Deployment that was tried for, once
// its own pods are the next ones. What else the release brings, such as a run
// that takes hours, does not keep the canary.
func (t *trial) handOver(ctx context.Context, applied error) error {
	if t.Canary == nil {
		return applied
	}
	err := applied
	if err == nil {
		at := slices.IndexFunc(t.plan.objects, func(o *unstructured.Unstructured) bool { return apply.RefOf(o) == t.Stable })
		err = t.well(ctx, t.plan.objects[at], 0)
	}
	if err != nil {
		return t.giveUp(ctx, err)
	}
	if err := t.end(ctx, t.plan.objects); err != nil {
		return t.giveUp(ctx, err)
	}
	return nil
}

// before is what the traffic went by, as the current release has it.
func (t *trial) before() []*unstructured.Unstructured {
	return append(slices.Clone(t.Autoscalers), t.Weighted(0))
}

// giveUp takes the traffic back, also when the user interrupts: nobody watches
// over the pods then. It returns the cause, in a *StrandedError where that did
// not work.
func (t *trial) giveUp(ctx context.Context, cause error) error {
	cause = causeOf(ctx, cause)
	// A gateway that does not say what it goes by takes routePatience of it.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), routePatience+recordPatience)
	defer cancel()
	err := t.lock.Renew(ctx)
	if err == nil {
		err = t.end(ctx, t.before())
	}
	if err == nil {
		return cause
	}
	stranded := &StrandedError{Route: apply.RefOf(t.Route), Deployment: t.Ref(), Cause: cause, Err: err}
	t.Reporter.Note("%v", stranded) // also where the cause is all that is printed in the end
	return stranded
}

func (t *trial) step(ctx context.Context, step CanaryStep) error {
	t.most = max(t.most, t.replicas(ctx, t.Stable))
	deployment, pods := t.Scaled(step.Weight, t.most)
	t.Reporter.Start(fmt.Sprintf("Canary at %d %%: %d of %s", step.Weight, pods, t.Ref().Short()))
	changed, err := t.put(ctx, deployment)
	t.Reporter.End(err)
	if err == nil && changed {
		err = t.well(ctx, deployment, 0)
	}
	if err != nil {
		return err
	}
	if err := t.divide(ctx, t.Weighted(step.Weight)); err != nil {
		return err
	}
	t.Reporter.Note("%s has %d %% of the traffic of HTTPRoute/%s", t.Ref().Short(), step.Weight, t.Route.GetName())
	if step.Soak > 0 {
		if err := t.well(ctx, deployment, step.Soak); err != nil {
			return err
		}
	}
	if step.Gate == nil {
		return nil
	}
	evidence, err := step.Gate(ctx, t.plan)
	t.record.Gates = slices.Concat(t.record.Gates, evidence)
	return err
}

// replicas are how many pods a live Deployment is to have, which an autoscaler
// may have changed; 0 where that is not to be known.
func (p *Promoter) replicas(ctx context.Context, ref apply.Ref) int {
	live, err := p.Cluster.Get(ctx, ref)
	if err != nil {
		return 0
	}
	n, _, _ := unstructured.NestedInt64(live.Object, "spec", "replicas")
	return int(n)
}

// well waits until the pods have been there for so long without a break; 0: as
// long as new ones have to.
func (t *trial) well(ctx context.Context, deployment *unstructured.Unstructured, soak time.Duration) error {
	o := t.Options.Wait
	o.Settle, o.Until = soak, apply.UntilStarted
	o.PodSelector = release.ProjectLabel + "=" + t.Target.Project
	timeout := t.Options.Timeout
	if timeout > 0 {
		timeout += soak
	}
	ctx, cancel := within(ctx, timeout)
	defer cancel()
	return t.Cluster.Wait(ctx, []*unstructured.Unstructured{deployment}, o, t.Reporter)
}

// put applies an object, whatever the plan knew of it, and says whether that
// changed it.
func (t *trial) put(ctx context.Context, obj *unstructured.Unstructured) (changed bool, err error) {
	o := t.options(t.plan.state)
	changes, err := t.Cluster.Diff(ctx, []*unstructured.Unstructured{obj}, o)
	if err != nil {
		return false, err
	}
	done, err := t.Cluster.Apply(ctx, changes, o, nil)
	for ref, receipt := range done {
		t.receipts[ref] = receipt
	}
	return changes.Writes(), err
}

// How long a gateway may take to say that it goes by a route, which not every
// one does, and its proxies after that. Chosen.
const (
	routePatience = 10 * time.Second
	proxyPatience = time.Second
)

// divide applies a route, and waits until the traffic goes by it.
func (t *trial) divide(ctx context.Context, route *unstructured.Unstructured) error {
	changed, err := t.put(ctx, route)
	if err != nil || !changed {
		return err
	}
	limited, cancel := context.WithTimeout(ctx, routePatience)
	defer cancel()
	err = t.Cluster.Watch(limited, apply.RefOf(route), func(live *unstructured.Unstructured) {
		if live == nil || canary.InForce(live) {
			cancel()
		}
	})
	if limited.Err() == nil { // it cannot be watched, and has to be believed
		t.Reporter.Note("whether the gateway goes by HTTPRoute/%s is not to be known: %v", route.GetName(), err)
	}
	if !rest(ctx, proxyPatience) {
		return context.Cause(ctx)
	}
	return nil
}

// end gives the traffic to the pods that the route among the objects says, and
// removes the canary.
func (t *trial) end(ctx context.Context, objects []*unstructured.Unstructured) error {
	if !t.there {
		return nil
	}
	t.Reporter.Start(fmt.Sprintf("Give the traffic to %s, remove %s", t.Stable.Short(), t.Ref().Short()))
	err := t.restore(ctx, objects)
	if err == nil {
		err = t.remove(ctx)
	}
	t.Reporter.End(err)
	if err == nil {
		t.there = false
	}
	return err
}

// restore applies the route and the autoscalers as they are among the objects.
func (t *trial) restore(ctx context.Context, objects []*unstructured.Unstructured) error {
	route := apply.RefOf(t.Route)
	for _, obj := range objects {
		switch ref := apply.RefOf(obj); {
		case ref == route:
			if err := t.divide(ctx, obj); err != nil {
				return err
			}
		case slices.ContainsFunc(t.Autoscalers, func(a *unstructured.Unstructured) bool { return apply.RefOf(a) == ref }):
			if _, err := t.put(ctx, obj); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *trial) remove(ctx context.Context) error {
	live, err := t.Cluster.Get(ctx, t.Ref())
	switch {
	case apierrors.IsNotFound(err):
		err = nil
	case err != nil:
		return fmt.Errorf("read %s: %w", t.Ref(), err)
	case live.GetLabels()[release.PartOf] == t.id():
		if _, err = t.Cluster.Delete(ctx, t.Ref(), live.GetUID()); err == nil {
			err = t.Cluster.Gone(ctx, t.Ref(), live.GetUID())
		}
	}
	if err == nil {
		t.gone[t.Ref()] = true
	}
	return err
}
