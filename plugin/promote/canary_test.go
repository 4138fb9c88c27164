package promote

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	ktesting "k8s.io/client-go/testing"

	"github.com/kubectl-ai/kubectl-ai/plugin/promote/canary"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

// served is a bundle with a route to a Deployment that reads two ConfigMaps.
func served(t *testing.T, generation, settings string) []*unstructured.Unstructured {
	t.Helper()
	var out []*unstructured.Unstructured
	for _, text := range []string{
		"{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: serve, namespace: ns}, spec: {rules: [{backendRefs: [{name: serve, port: 80, weight: 100}, {name: serve-canary, port: 80, weight: 0}]}]}}",
		"{apiVersion: v1, kind: Service, metadata: {name: serve, namespace: ns}, spec: {selector: {app: serve}}}",
		"{apiVersion: v1, kind: Service, metadata: {name: serve-canary, namespace: ns}, spec: {selector: {app: serve-canary}}}",
		"{apiVersion: v1, kind: ConfigMap, metadata: {name: code-" + generation + ", namespace: ns}}",
		"{apiVersion: v1, kind: ConfigMap, metadata: {name: settings, namespace: ns}, data: {a: " + settings + "}}",
		"{apiVersion: apps/v1, kind: Deployment, metadata: {name: serve, namespace: ns}, spec: {selector: {matchLabels: {app: serve}}, template: {metadata: {labels: {app: serve}}, spec: {volumes: [{name: code, configMap: {name: code-" + generation + "}}], containers: [{name: main, envFrom: [{configMapRef: {name: settings}}]}]}}}}",
	} {
		out = append(out, object(t, text))
	}
	return out
}

func TestWhatACanaryWouldShareIsRefused(t *testing.T) {
	for _, c := range []struct{ name, generation, settings, refused, note string }{
		{"what changes its name with its content is no trouble", "b", "1", "", "canary: Deployment/serve-canary gets 10 %, then 50 % of the traffic of HTTPRoute/serve, then Deployment/serve is replaced"},
		{"what both would read is", "b", "2", "ConfigMap/settings changes under its name", ""},
		{"where the pods stay there is nothing to try", "a", "2", "", "no canary: Deployment/serve keeps its pods"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, _ := cluster(t)
			packed, err := release.Manifests(served(t, "a", "1"))
			if err != nil {
				t.Fatal(err)
			}
			state := &release.State{Current: 1, Last: 1, Bundle: "sha256:a"}
			if err := p.Store.Add(t.Context(), state, release.Record{Revision: 1, Project: "digits", Namespace: "ns", Status: release.Deployed}, packed); err != nil {
				t.Fatal(err)
			}
			p.Options.Canary = &CanaryOptions{Route: "serve", Steps: []CanaryStep{{Weight: 10}, {Weight: 50}}}
			plan := &Plan{state: state, Bundle: "sha256:b", objects: served(t, c.generation, c.settings)}
			err = p.findCanary(t.Context(), plan, Bundle{})
			var shared *SharedConfigError
			if c.refused != "" {
				if !errors.As(err, &shared) || !strings.Contains(err.Error(), c.refused) {
					t.Errorf("err = %v", err)
				}
				return
			}
			if err != nil || !slices.Equal(plan.Notes, []string{c.note}) {
				t.Errorf("%v, %q", err, plan.Notes)
			}
			if _, _, ok := plan.Canary(); ok != strings.HasPrefix(c.note, "canary") {
				t.Errorf("a canary: %t", ok)
			}
		})
	}
	t.Run("a rollback tries nothing", func(t *testing.T) {
		p, _ := cluster(t)
		p.Options.Canary = &CanaryOptions{Route: "serve"}
		plan := &Plan{state: &release.State{Current: 1}, Bundle: "sha256:b"}
		if err := p.findCanary(t.Context(), plan, Bundle{RollbackTo: 1}); err != nil || plan.canary != nil || len(plan.Notes) > 0 {
			t.Errorf("%v, %v, %q", err, plan.canary, plan.Notes)
		}
	})
}

// A canary that cannot be taken back says both what it died of and that.
func TestTheTrafficThatIsNotTakenBackIsNamed(t *testing.T) {
	p, client := cluster(t)
	next := served(t, "b", "1")
	own(next, "digits", release.ID("digits", "ns"))
	c, _, err := canary.Find(served(t, "a", "1"), next, "serve")
	if err != nil {
		t.Fatal(err)
	}
	ctx, lock, err := p.lock(t.Context(), "promote")
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Release(ctx)
	client.PrependReactor("*", "httproutes", func(ktesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("the server is gone")
	})
	trial := &trial{run: &run{Promoter: p, lock: lock, plan: &Plan{state: &release.State{}}}, Canary: c, there: true}
	ended, end := context.WithCancel(ctx)
	end()
	cause := trial.giveUp(ended, fmt.Errorf("it was ill"))
	if cause == nil || !strings.Contains(cause.Error(), "the traffic is not taken back") || !strings.Contains(cause.Error(), context.Canceled.Error()) {
		t.Errorf("cause = %v", cause)
	}
}
