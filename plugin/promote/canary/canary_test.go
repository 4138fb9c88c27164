package canary_test

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ai/kubectl-ai/plugin/promote/canary"
)

const bundle = `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: serve, namespace: ns}
spec:
  rules:
  - matches: [{path: {value: /v2}}]
    backendRefs:
    - {name: serve-canary, port: 8080, weight: 0}
    - {name: serve, port: 8080}
  - backendRefs: [{name: docs, port: 80}]
  - backendRefs:
    - {kind: Service, name: serve, port: 8080, weight: 100}
    - {name: serve-canary, port: 8080, weight: 0}
---
apiVersion: v1
kind: Service
metadata: {name: serve, namespace: ns}
spec: {selector: {app: serve}}
---
apiVersion: v1
kind: Service
metadata: {name: serve-canary, namespace: ns}
spec: {selector: {app: serve-canary}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: model, namespace: ns, labels: {team: a}}
spec:
  replicas: 4
  selector: {matchLabels: {app: serve}}
  template:
    metadata: {labels: {app: serve, stage: serve}}
    spec: {containers: [{name: main, image: one}]}
`

func decode(t *testing.T, manifests string) []*unstructured.Unstructured {
	t.Helper()
	var out []*unstructured.Unstructured
	for text := range strings.SplitSeq(manifests, "\n---\n") {
		raw, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		obj := &unstructured.Unstructured{}
		if err := obj.UnmarshalJSON(raw); err != nil {
			t.Fatal(err)
		}
		out = append(out, obj)
	}
	return out
}

func TestTheNextPodsGetAPartOfTheTraffic(t *testing.T) {
	current, next := decode(t, bundle), decode(t, strings.Replace(bundle, "image: one", "image: two", 1))
	c, why, err := canary.Find(current, next, "serve")
	if err != nil || c == nil {
		t.Fatal(why, err)
	}
	if c.Stable.Short() != "Deployment/model" || c.Ref().Short() != "Deployment/model-canary" {
		t.Errorf("%s beside %s", c.Ref(), c.Stable)
	}
	for _, scale := range []struct{ percent, now, pods int }{{1, 0, 1}, {10, 0, 1}, {26, 0, 2}, {50, 0, 2}, {99, 0, 4}, {50, 10, 5}} {
		d, pods := c.Scaled(scale.percent, scale.now)
		raw, _ := d.MarshalJSON()
		if pods != scale.pods || !bytes.Contains(raw, fmt.Appendf(nil, `"replicas":%d`, pods)) {
			t.Errorf("%d %% of %d: %d pods, %s", scale.percent, scale.now, pods, raw)
		}
	}
	d, _ := c.Scaled(10, 0)
	raw, _ := d.MarshalJSON()
	for _, want := range []string{`"matchLabels":{"app":"serve-canary"}`, `"labels":{"app":"serve-canary","stage":"serve"}`, `"image":"two"`, `"team":"a"`} {
		if !bytes.Contains(raw, []byte(want)) {
			t.Errorf("no %s in %s", want, raw)
		}
	}
	raw, _ = c.Weighted(10).MarshalJSON()
	for want, times := range map[string]int{`"name":"serve","port":8080,"weight":90`: 2, `"name":"serve-canary","port":8080,"weight":10`: 2, `{"name":"docs","port":80}`: 1} {
		if bytes.Count(raw, []byte(want)) != times {
			t.Errorf("want %d of %s in %s", times, want, raw)
		}
	}
	before, _ := current[0].MarshalJSON()
	if after, _ := c.Weighted(0).MarshalJSON(); !bytes.Equal(before, after) {
		t.Errorf("the way back is %s, want %s", after, before)
	}
}

func TestARouteIsInForceOnceEveryGatewayHasSeenIt(t *testing.T) {
	for status, want := range map[string]bool{
		"{}":            false,
		"{parents: []}": false,
		"{parents: [{conditions: [{type: Accepted, observedGeneration: 1}]}]}":                                                          false,
		"{parents: [{conditions: [{type: Accepted, observedGeneration: 2}, {type: ResolvedRefs, observedGeneration: 2}]}]}":             true,
		"{parents: [{conditions: [{type: Accepted, observedGeneration: 2}]}, {conditions: [{type: Accepted, observedGeneration: 1}]}]}": false,
	} {
		route := decode(t, "{kind: HTTPRoute, metadata: {generation: 2}, status: "+status+"}")[0]
		if got := canary.InForce(route); got != want {
			t.Errorf("%s: %t", status, got)
		}
	}
}

func TestWhereThereIsNothingToTryItSaysWhy(t *testing.T) {
	changed := strings.Replace(bundle, "image: one", "image: two", 1)
	route, _, _ := strings.Cut(bundle, "---")
	for _, c := range []struct{ name, current, next, want string }{
		{"the same pods", bundle, strings.Replace(bundle, "replicas: 4", "replicas: 5", 1), "Deployment/model keeps its pods"},
		{"a new route", strings.Replace(bundle, route, "", 1), changed, "HTTPRoute/serve comes with this release"},
		{"a route that changes", strings.ReplaceAll(bundle, "name: serve-canary", "name: other"), changed, "the rules of HTTPRoute/serve change with this release"},
		{"a Service that changes", bundle, strings.Replace(changed, "spec: {selector: {app: serve}}", "spec: {selector: {app: serve}, ports: [{port: 1}]}", 1), "Service/serve changes with this release"},
		{"a new Deployment", strings.Replace(bundle, "name: model", "name: former", 1), changed, "Deployment/model comes with this release"},
	} {
		t.Run(c.name, func(t *testing.T) {
			found, why, err := canary.Find(decode(t, c.current), decode(t, c.next), "serve")
			if found != nil || err != nil || why != c.want {
				t.Errorf("%v, %q, %v", found, why, err)
			}
		})
	}
}

func TestABundleThatCannotHaveACanary(t *testing.T) {
	for _, c := range []struct{ name, manifests, want string }{
		{"no route", strings.Replace(bundle, "name: serve, namespace", "name: other, namespace", 1), "the bundle has none of that name"},
		{"no weights", strings.ReplaceAll(bundle, "weight: 0", "weight: 1"), "no rule has two Services"},
		{"a Service elsewhere", strings.ReplaceAll(bundle, "name: serve-canary, port", "namespace: elsewhere, name: serve-canary, port"), "no rule has two Services"},
		{"no Service", strings.Replace(bundle, "metadata: {name: serve-canary, namespace: ns}", "metadata: {name: another, namespace: ns}", 1), "Services serve and serve-canary have to be in the bundle"},
		{"one label for both", strings.Replace(bundle, "selector: {app: serve-canary}", "selector: {app: serve}", 1), "Deployment/model is behind Service serve-canary already"},
		{"a Service for all of them", bundle + "\n---\n{apiVersion: v1, kind: Service, metadata: {name: all, namespace: ns}, spec: {selector: {stage: serve}}}", "Service all would select the pods of the canary too"},
		{"pods that must not run together", strings.Replace(bundle, "replicas: 4", "strategy: {type: Recreate}", 1), "Deployment/model is of strategy Recreate"},
		{"two Deployments", bundle + "\n---\n" + strings.Replace(strings.Split(bundle, "---")[3], "name: model", "name: second", 1), "2 Deployments are behind Service serve"},
		{"its name is taken", bundle + "\n---\n{apiVersion: apps/v1, kind: Deployment, metadata: {name: model-canary, namespace: ns}, spec: {template: {}}}", "the bundle has a Deployment/model-canary of its own"},
	} {
		t.Run(c.name, func(t *testing.T) {
			next := decode(t, strings.Replace(c.manifests, "image: one", "image: two", 1))
			found, _, err := canary.Find(decode(t, c.manifests), next, "serve")
			var refused *canary.RouteError
			if found != nil || !errors.As(err, &refused) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, %v", found, err)
			}
		})
	}
}
