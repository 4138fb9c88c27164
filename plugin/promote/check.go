package promote

import (
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/preflight"
)

// saw remembers what was read, so that preflight reads it no second time.
func (p *Plan) saw(ref apply.Ref, live *unstructured.Unstructured, err error) {
	switch {
	case err == nil:
		p.read[ref] = live
	case apierrors.IsNotFound(err):
		p.read[ref] = nil
	}
}

// check is the preflight of a plan, with what the release already knows.
func (p *Promoter) check(plan *Plan, b Bundle) *preflight.Check {
	c := &preflight.Check{
		Client: p.Cluster, Server: p.Server, Project: p.Target.Project, Environment: p.Target.Environment, Pinned: p.Target.Pinned,
		Objects: plan.objects, Namespace: p.Target.Namespace, MakesNamespace: len(plan.objects) > len(b.Objects),
		Read: plan.read, Known: map[apply.Ref]bool{}, Adopt: p.Options.Adopt, Pushed: b.Pushed,
		Logs: len(p.Options.Metrics) > 0, OnNode: p.OnNode,
		NodesOnDemand: p.Options.Wait.Grace > apply.DefaultGrace,
	}
	if plan.canary != nil { // it has to fit beside all the rest
		steps := p.Options.Canary.Steps
		most, _ := plan.canary.Scaled(steps[len(steps)-1].Weight, plan.pods)
		c.Objects = append(slices.Clone(plan.objects), most)
		c.Former = append(c.Former, plan.canary.Ref()) // and goes again
	}
	for _, f := range plan.earlier {
		c.Leaving = append(c.Leaving, f.live)
	}
	wanted := map[apply.Ref]bool{}
	for _, obj := range plan.objects {
		wanted[apply.RefOf(obj)] = true
	}
	for _, e := range plan.state.Inventory {
		switch {
		case !wanted[e.Ref]:
			c.Former = append(c.Former, e.Ref)
		case e.UID != "":
			c.Known[e.Ref] = true
		}
	}
	return c
}

// drifted returns the objects that are sent just as they were sent last and
// change all the same, with the managers that wrote them since.
func drifted(plan *Plan) map[apply.Ref][]string {
	out := map[apply.Ref][]string{}
	for i := range plan.Changes.Changes {
		c := &plan.Changes.Changes[i]
		e, ok := plan.entries[c.Ref]
		if !ok || c.Action != apply.Update || c.Live == nil || e.Sum == "" || e.Sum != apply.Sum(c.Want) {
			continue
		}
		var by []string
		for _, f := range c.Live.GetManagedFields() {
			if f.Subresource == "" && f.Manager != Manager && !slices.Contains(by, f.Manager) {
				by = append(by, f.Manager)
			}
		}
		out[c.Ref] = by
	}
	return out
}
