package promote

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/canary"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

// CanaryOptions say how a release tries the pods of a served workload first.
type CanaryOptions struct {
	Route string // the HTTPRoute with the weights
	Steps []CanaryStep
}

// CanaryStep is one part of the traffic.
type CanaryStep struct {
	Weight int           // percent
	Soak   time.Duration // how long the pods have to stay well
	// Gate says whether the release may go on, with the evidence; nil: it may.
	Gate func(ctx context.Context, plan *Plan) ([]release.Gate, error)
}

// CanaryError says that a release was given up while its pods were tried: the
// traffic is back with the former ones.
type CanaryError struct {
	Weight int // percent of the traffic that they had, or were to have
	Err    error
}

func (e *CanaryError) Error() string { return fmt.Sprintf("canary at %d %%: %v", e.Weight, e.Err) }
func (e *CanaryError) Unwrap() error { return e.Err }

// SharedConfigError says that the pods of a canary and the former ones would
// read one object that changes with the release.
type SharedConfigError struct {
	Deployment, Object apply.Ref
}

func (e *SharedConfigError) Error() string {
	return fmt.Sprintf("%s cannot be tried beside the pods that run: %s changes under its name, for both", e.Deployment.Short(), e.Object.Short())
}

// Canary returns the Deployment that a plan tries beside another one, and the
// labels of its pods; false where it tries none.
func (p *Plan) Canary() (deployment apply.Ref, selector map[string]string, ok bool) {
	if p.canary == nil {
		return apply.Ref{}, nil, false
	}
	return p.canary.Ref(), p.canary.Selector, true
}

// findCanary looks for what the plan has to try first.
func (p *Promoter) findCanary(ctx context.Context, plan *Plan, b Bundle) error {
	if p.Options.Canary == nil || b.RollbackTo > 0 || plan.state.Current == 0 || plan.state.Bundle == plan.Bundle {
		return nil
	}
	_, current, err := p.Store.Get(ctx, plan.state.Current)
	if err != nil {
		return err
	}
	c, why, err := canary.Find(current, plan.objects, p.Options.Canary.Route)
	if err != nil {
		return err
	}
	if c == nil {
		plan.Notes = append(plan.Notes, "no canary: "+why)
		return nil
	}
	for _, ref := range references(c.Deployment) {
		if differs(current, plan.objects, ref) {
			return &SharedConfigError{Deployment: c.Stable, Object: ref}
		}
	}
	plan.canary = c
	plan.Notes = append(plan.Notes, fmt.Sprintf("canary: %s gets %s of the traffic of HTTPRoute/%s, then %s is replaced", c.Ref().Short(), steps(p.Options.Canary.Steps), c.Route.GetName(), c.Stable.Short()))
	return nil
}

// steps are the parts of the traffic, for people: "10 % for 5m0s, then 50 %".
func steps(all []CanaryStep) string {
	var parts []string
	for _, s := range all {
		part := fmt.Sprintf("%d %%", s.Weight)
		if s.Soak > 0 {
			part += fmt.Sprintf(" for %v", s.Soak)
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", then ")
}

// differs says whether an object is in both lists and differs.
func differs(current, next []*unstructured.Unstructured, ref apply.Ref) bool {
	var raw [2][]byte
	for i, list := range [][]*unstructured.Unstructured{current, next} {
		at := slices.IndexFunc(list, func(o *unstructured.Unstructured) bool { return apply.RefOf(o) == ref })
		if at < 0 {
			return false
		}
		raw[i], _ = json.Marshal(list[at]) // what was decoded from JSON encodes
	}
	return string(raw[0]) != string(raw[1])
}

// rehearseCanary asks the server for the canary's Deployment: what it objects
// to comes before the first write.
func (p *Promoter) rehearseCanary(ctx context.Context, plan *Plan) error {
	if plan.canary == nil {
		return nil
	}
	_, err := p.Cluster.Diff(ctx, []*unstructured.Unstructured{plan.canary.Deployment}, p.options(plan.state))
	return err
}

// trial is the part of a run in which the next pods get some of the traffic.
type trial struct {
	*run
	*canary.Canary      // nil: nothing is tried
	there          bool // its Deployment may be
}

// tryOut gives the pods of the canary more and more of the traffic, once what
// they alone read is there, and returns the changes that are left to apply;
// the route comes last of all. A *CanaryError says that the release is given
// up, and that the traffic is where it was.
func (t *trial) tryOut(ctx context.Context, changes *apply.Plan) (*apply.Plan, error) {
	if t.Canary == nil {
		return changes, nil
	}
	reads := references(t.Deployment)
	first, rest := changes.Split(func(c apply.Change) bool { return c.Action == apply.Create && slices.Contains(reads, c.Ref) })
	if err := t.apply(ctx, first); err != nil {
		return rest, err
	}
	route := apply.RefOf(t.Route)
	_, rest = rest.Split(func(c apply.Change) bool { return c.Ref == route })
	for _, step := range t.Options.Canary.Steps {
		if err := t.step(ctx, step); err != nil {
			return rest, &CanaryError{step.Weight, t.giveUp(ctx, err)}
		}
	}
	return rest, nil
}

// giveUp takes the traffic back, also when the user interrupts: nobody watches
// over the pods then. It returns the cause.
func (t *trial) giveUp(ctx context.Context, cause error) error {
	cause = causeOf(ctx, cause)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordPatience)
	defer cancel()
	err := t.lock.Renew(ctx)
	if err == nil {
		err = t.end(ctx, []*unstructured.Unstructured{t.Weighted(0)})
	}
	if err != nil {
		return fmt.Errorf("%w; the traffic is not taken back: %w", cause, err)
	}
	return cause
}

func (t *trial) step(ctx context.Context, step CanaryStep) error {
	now := 0
	if live, err := t.Cluster.Get(ctx, t.Stable); err == nil { // an autoscaler may have changed it
		n, _, _ := unstructured.NestedInt64(live.Object, "spec", "replicas")
		now = int(n)
	}
	deployment, pods := t.Scaled(step.Weight, now)
	t.there = true
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
	return breathe(ctx, proxyPatience)
}

func breathe(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

// end gives the traffic to the pods that the route among the objects says, and
// removes the canary.
func (t *trial) end(ctx context.Context, objects []*unstructured.Unstructured) error {
	if !t.there {
		return nil
	}
	t.Reporter.Start("Remove " + t.Ref().Short())
	route := apply.RefOf(t.Route)
	var err error
	for _, obj := range objects {
		if apply.RefOf(obj) == route && err == nil {
			err = t.divide(ctx, obj)
		}
	}
	if err == nil {
		err = t.remove(ctx)
	}
	t.Reporter.End(err)
	return err
}

func (t *trial) remove(ctx context.Context) error {
	live, err := t.Cluster.Get(ctx, t.Ref())
	switch {
	case apierrors.IsNotFound(err):
		err = nil
	case err != nil:
		return fmt.Errorf("read %s: %w", t.Ref(), err)
	case live.GetLabels()[release.PartOf] == t.id():
		_, err = t.Cluster.Delete(ctx, t.Ref(), live.GetUID())
	}
	if err == nil {
		t.gone[t.Ref()] = true
	}
	return err
}
