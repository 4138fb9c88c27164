package promote

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

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

func (e *CanaryError) Error() string {
	if e.Weight == 0 {
		return fmt.Sprintf("canary: %v", e.Err)
	}
	return fmt.Sprintf("canary at %d %%: %v", e.Weight, e.Err)
}
func (e *CanaryError) Unwrap() error { return e.Err }

// StrandedError says that a release was given up, and that the traffic could
// not be given back to the pods that ran before.
type StrandedError struct {
	Route, Deployment apply.Ref
	Cause, Err        error
}

func (e *StrandedError) Error() string {
	return fmt.Sprintf("%v; the traffic is not taken back, and %s may still give %s a part: %v", e.Cause, e.Route.Short(), e.Deployment.Short(), e.Err)
}
func (e *StrandedError) Unwrap() []error { return []error{e.Cause, e.Err} }

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
	var lost *release.NotFoundError
	var damaged *release.DamagedError
	if errors.As(err, &lost) || errors.As(err, &damaged) {
		plan.Notes = append(plan.Notes, fmt.Sprintf("no canary: the record of release %d cannot be read", plan.state.Current))
		return nil
	}
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
		if (ref.Kind == "ConfigMap" || ref.Kind == "Secret") && differs(current, plan.objects, ref) {
			return &SharedConfigError{Deployment: c.Stable, Object: ref}
		}
	}
	annotations := c.Deployment.GetAnnotations()
	for key := range keepers { // it is the canary that goes, however a run ends
		delete(annotations, key)
	}
	c.Deployment.SetAnnotations(annotations)
	plan.canary, plan.pods = c, p.replicas(ctx, c.Stable)
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
	if _, left := plan.entries[plan.canary.Ref()]; left {
		return nil // of a run that died; this one removes it first
	}
	changes, err := p.Cluster.Diff(ctx, []*unstructured.Unstructured{plan.canary.Deployment}, p.options(plan.state))
	if err != nil {
		return err
	}
	return errors.Join(changes.Immutables()...)
}
