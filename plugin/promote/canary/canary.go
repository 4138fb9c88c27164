// Package canary makes what tries the next pods of a served workload on a part
// of its traffic: a Deployment beside the one that it may replace, and the
// weights of an HTTPRoute (Gateway API, HTTPBackendRef.weight). It only makes
// objects; package promote applies them.
//
// A rule of the route has two Services: the stable one, and one of weight 0,
// the canary's, whose selector says how its pods are told apart.
package canary

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
)

// RouteError says why a bundle's route cannot carry a canary.
type RouteError struct {
	Route  string
	Reason string
}

func (e *RouteError) Error() string { return fmt.Sprintf("HTTPRoute/%s: %s", e.Route, e.Reason) }

// Canary is a Deployment that is tried, and the way to its traffic.
type Canary struct {
	Deployment *unstructured.Unstructured // with the next pods
	Stable     apply.Ref                  // the Deployment whose pods it tries to replace
	// Selector tells its pods from the others of the Deployment.
	Selector map[string]string
	// Route is the HTTPRoute, as the current release has it.
	Route *unstructured.Unstructured
	// Autoscalers are those of the stable Deployment, as the current release
	// has them.
	Autoscalers []*unstructured.Unstructured

	rules  []rule
	stable int // pods of the stable Deployment, as the bundle says
}

// rule is one that weighs the two Services.
type rule struct{ index, stable, canary int }

// Find looks in the objects of the current release and in those of the next
// one for a Deployment whose pods are to change behind the route of that name.
// Where there is nothing to try it returns nil and why. A bundle that cannot
// have a canary is a *RouteError.
func Find(current, next []*unstructured.Unstructured, route string) (c *Canary, why string, err error) {
	planned := find(next, isRoute(route))
	if planned == nil {
		return nil, "", &RouteError{route, "the bundle has none of that name"}
	}
	fail := func(format string, args ...any) (*Canary, string, error) {
		return nil, "", &RouteError{route, fmt.Sprintf(format, args...)}
	}
	_, stable, canary := weighed(planned)
	if stable == "" {
		return fail("no rule has two Services, one of them with weight 0 for the canary")
	}
	former := find(current, isRoute(route))
	if former == nil {
		return nil, fmt.Sprintf("HTTPRoute/%s comes with this release", route), nil
	}
	rules, before, beside := weighed(former)
	if before != stable || beside != canary {
		return nil, fmt.Sprintf("the rules of HTTPRoute/%s change with this release", route), nil
	}
	ns := former.GetNamespace()
	main, other := selectorOf(service(next, ns, stable)), selectorOf(service(next, ns, canary))
	if len(main) == 0 || len(other) == 0 {
		return fail("Services %s and %s have to be in the bundle, each with a selector", stable, canary)
	}
	for _, name := range []string{stable, canary} {
		if !same(service(current, ns, name), service(next, ns, name), "spec") {
			return nil, fmt.Sprintf("Service/%s changes with this release", name), nil
		}
	}
	var behind []*unstructured.Unstructured
	for _, obj := range next {
		if !is(obj, "apps", "Deployment", "") || obj.GetNamespace() != ns {
			continue
		}
		if selects(main, labelsOf(obj)) {
			behind = append(behind, obj)
		}
		if selects(other, labelsOf(obj)) {
			return fail("%s is behind Service %s already", apply.RefOf(obj).Short(), canary)
		}
	}
	if len(behind) != 1 {
		return fail("%d Deployments are behind Service %s, and a canary wants one", len(behind), stable)
	}
	want := behind[0]
	ref := apply.RefOf(want)
	now := find(current, func(o *unstructured.Unstructured) bool { return apply.RefOf(o) == ref })
	switch {
	case now == nil:
		return nil, ref.Short() + " comes with this release", nil
	case same(now, want, "spec", "template"):
		return nil, ref.Short() + " keeps its pods", nil
	}
	if strategy, _, _ := unstructured.NestedString(want.Object, "spec", "strategy", "type"); strategy == "Recreate" {
		return fail("%s is of strategy Recreate: its pods are not to run beside the former ones", ref.Short())
	}
	templates, err := workload.Templates(want)
	if err != nil {
		return nil, "", err
	}
	c = &Canary{Stable: ref, Selector: other, Route: former.DeepCopy(), rules: rules}
	for _, t := range templates {
		c.stable = workload.Replicas(t)
	}
	c.Deployment = copyOf(want, other)
	for _, obj := range slices.Concat(current, next) {
		if apply.RefOf(obj) == c.Ref() {
			return fail("the bundle has a %s of its own, or its current release has", c.Ref().Short())
		}
		if !is(obj, "", "Service", "") || obj.GetNamespace() != ns || obj.GetName() == canary {
			continue
		}
		if selector := selectorOf(obj); len(selector) > 0 && selects(selector, labelsOf(c.Deployment)) {
			return fail("Service %s would select the pods of the canary too: the selector of %s needs a label that it has with another value", obj.GetName(), canary)
		}
	}
	for _, obj := range current {
		if is(obj, "autoscaling", "HorizontalPodAutoscaler", "") && obj.GetNamespace() == ns && scales(obj, ref) {
			c.Autoscalers = append(c.Autoscalers, obj)
		}
	}
	return c, "", nil
}

// scales says whether an autoscaler is that of a Deployment.
func scales(autoscaler *unstructured.Unstructured, ref apply.Ref) bool {
	kind, _, _ := unstructured.NestedString(autoscaler.Object, "spec", "scaleTargetRef", "kind")
	name, _, _ := unstructured.NestedString(autoscaler.Object, "spec", "scaleTargetRef", "name")
	return kind == ref.Kind && name == ref.Name && autoscaler.GetAPIVersion() == "autoscaling/v2"
}

// Held returns an autoscaler that takes away no pods: the Deployment has less
// to do meanwhile, and gets all of it back at once.
func Held(autoscaler *unstructured.Unstructured) *unstructured.Unstructured {
	out := autoscaler.DeepCopy()
	_ = unstructured.SetNestedField(out.Object, "Disabled", "spec", "behavior", "scaleDown", "selectPolicy") // these are maps
	return out
}

// Ref names the canary's Deployment.
func (c *Canary) Ref() apply.Ref { return apply.RefOf(c.Deployment) }

// Scaled returns the Deployment with pods for so many percent of the traffic,
// at least one. now is how many the stable one has, which an autoscaler may
// have changed; 0: as many as the bundle says.
func (c *Canary) Scaled(percent, now int) (deployment *unstructured.Unstructured, pods int) {
	if now <= 0 {
		now = c.stable
	}
	pods = max((now*percent+99)/100, 1)
	out := c.Deployment.DeepCopy()
	_ = unstructured.SetNestedField(out.Object, int64(pods), "spec", "replicas") // spec is a map
	return out, pods
}

// Weighted returns the route with so many percent of the traffic for the
// canary; 0 is as the current release has it.
func (c *Canary) Weighted(percent int) *unstructured.Unstructured {
	out := c.Route.DeepCopy()
	if percent == 0 {
		return out
	}
	rules, _, _ := unstructured.NestedSlice(out.Object, "spec", "rules")
	for _, r := range c.rules {
		backends := rules[r.index].(map[string]any)["backendRefs"].([]any)
		backends[r.stable].(map[string]any)["weight"] = int64(100 - percent)
		backends[r.canary].(map[string]any)["weight"] = int64(percent)
	}
	_ = unstructured.SetNestedSlice(out.Object, rules, "spec", "rules") // they were there
	return out
}

// InForce says whether every gateway that a route has goes by it as it is now
// (Gateway API, RouteParentStatus).
func InForce(route *unstructured.Unstructured) bool {
	parents, _, _ := unstructured.NestedSlice(route.Object, "status", "parents")
	for _, parent := range parents {
		fields, _ := parent.(map[string]any)
		conditions, _ := fields["conditions"].([]any)
		for _, item := range conditions {
			condition, _ := item.(map[string]any)
			if number(condition["observedGeneration"], 0) < int(route.GetGeneration()) {
				return false
			}
		}
	}
	return len(parents) > 0
}

// suffix is what the name of a canary's Deployment has more.
const suffix = "-canary"

// copyOf returns a Deployment with the pods of another one, under labels of
// its own.
func copyOf(d *unstructured.Unstructured, labels map[string]string) *unstructured.Unstructured {
	out := d.DeepCopy()
	out.SetName(d.GetName() + suffix)
	for _, path := range [][]string{{"spec", "selector", "matchLabels"}, {"spec", "template", "metadata", "labels"}} {
		all, _, _ := unstructured.NestedStringMap(out.Object, path...)
		all = maps.Clone(all)
		if all == nil {
			all = map[string]string{}
		}
		maps.Copy(all, labels)
		_ = unstructured.SetNestedStringMap(out.Object, all, path...)
	}
	return out
}

// weighed returns the rules of a route that have two Services, one of them
// with weight 0, and the names of the two; those of the first rule count.
func weighed(route *unstructured.Unstructured) (rules []rule, stable, canary string) {
	all, _, _ := unstructured.NestedSlice(route.Object, "spec", "rules")
	for i, item := range all {
		fields, _ := item.(map[string]any)
		backends, _ := fields["backendRefs"].([]any)
		if len(backends) != 2 {
			continue
		}
		var names [2]string
		var weights [2]int
		for j, backend := range backends {
			names[j], weights[j] = backendOf(backend)
		}
		at := slices.Index(weights[:], 0)
		if at < 0 || weights[1-at] == 0 || names[0] == "" || names[1] == "" {
			continue
		}
		if stable == "" {
			stable, canary = names[1-at], names[at]
		}
		if names[1-at] == stable && names[at] == canary {
			rules = append(rules, rule{i, 1 - at, at})
		}
	}
	return rules, stable, canary
}

// backendOf returns the Service of the route's own namespace that a backend
// is, "" where it is something else, and its weight, which is 1 unless it says
// another.
func backendOf(backend any) (service string, weight int) {
	fields, _ := backend.(map[string]any)
	text := func(key string) string { s, _ := fields[key].(string); return s }
	if text("group") != "" || text("kind") != "" && text("kind") != "Service" || text("namespace") != "" {
		return "", 1
	}
	return text("name"), number(fields["weight"], 1)
}

func number(v any, otherwise int) int {
	switch v := v.(type) {
	case int64:
		return int(v)
	case float64:
		return int(v)
	}
	return otherwise
}

func find(objects []*unstructured.Unstructured, is func(*unstructured.Unstructured) bool) *unstructured.Unstructured {
	if i := slices.IndexFunc(objects, is); i >= 0 {
		return objects[i]
	}
	return nil
}

func is(obj *unstructured.Unstructured, group, kind, name string) bool {
	gvk := obj.GroupVersionKind()
	return gvk.Group == group && gvk.Kind == kind && (name == "" || obj.GetName() == name)
}

func isRoute(name string) func(*unstructured.Unstructured) bool {
	return func(obj *unstructured.Unstructured) bool {
		return is(obj, "gateway.networking.k8s.io", "HTTPRoute", name)
	}
}

// same says whether two objects have one value of a field. Numbers differ in
// type where one of the objects was stored.
func same(a, b *unstructured.Unstructured, field ...string) bool {
	var raw [2][]byte
	for i, obj := range []*unstructured.Unstructured{a, b} {
		if obj == nil {
			return false
		}
		value, _, _ := unstructured.NestedFieldNoCopy(obj.Object, field...)
		raw[i], _ = json.Marshal(value) // what was decoded from JSON encodes
	}
	return bytes.Equal(raw[0], raw[1])
}

func service(objects []*unstructured.Unstructured, namespace, name string) *unstructured.Unstructured {
	return find(objects, func(o *unstructured.Unstructured) bool {
		return is(o, "", "Service", name) && o.GetNamespace() == namespace
	})
}

func selectorOf(service *unstructured.Unstructured) map[string]string {
	if service == nil {
		return nil
	}
	labels, _, _ := unstructured.NestedStringMap(service.Object, "spec", "selector")
	return labels
}

func labelsOf(deployment *unstructured.Unstructured) map[string]string {
	labels, _, _ := unstructured.NestedStringMap(deployment.Object, "spec", "template", "metadata", "labels")
	return labels
}

func selects(selector, labels map[string]string) bool {
	for key, value := range selector {
		if labels[key] != value {
			return false
		}
	}
	return true
}
