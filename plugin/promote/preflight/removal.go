package preflight

import (
	"context"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
)

// Removal is what an uninstall does.
type Removal struct {
	Deleted  []apply.Ref
	Disowned []apply.Ref // that stay, and lose the fields that releases set
}

// Permitted says whether a removal is permitted, all of it, before anything is
// deleted: one that stops half-way leaves a bundle that works no more. It
// returns a *FailedError with the Role that is missing.
func (c *Check) Permitted(ctx context.Context, r Removal) error {
	c.removal = &r
	v := newView()
	if err := c.all(ctx, c.readAccess(v)); err != nil {
		return err
	}
	return c.Err(c.access(v))
}

// removalNeeds lists what a removal does: delete its objects, and wait until
// those that end in their own time are gone; then the record and the lock.
func (c *Check) removalNeeds() []need {
	var out []need
	add := func(group, resource, namespace, name string, verbs ...string) {
		for _, verb := range verbs {
			out = append(out, need{group: group, resource: resource, namespace: namespace, name: name, verb: verb})
		}
	}
	add("", "configmaps", c.Namespace, "", "get", "update", "delete")
	add("", "secrets", c.Namespace, "", "list", "delete")
	add("coordination.k8s.io", "leases", c.Namespace, "", "get", "create", "update", "delete")
	for _, ref := range c.removal.Deleted {
		m, err := c.Client.Mapper.RESTMapping(ref.GroupKind())
		if err != nil {
			continue // it is not served any more, and so it is gone
		}
		name := ""
		if ref.Namespace == "" {
			name = ref.Name // no more than the release's own
		}
		add(m.Resource.Group, m.Resource.Resource, ref.Namespace, name, "get", "delete")
		if apply.StageOf(ref) >= apply.StageWorkloads {
			add(m.Resource.Group, m.Resource.Resource, ref.Namespace, name, "list", "watch")
		}
	}
	for _, ref := range c.removal.Disowned {
		if m, err := c.Client.Mapper.RESTMapping(ref.GroupKind()); err == nil {
			add(m.Resource.Group, m.Resource.Resource, ref.Namespace, ref.Name, "patch")
		}
	}
	return withoutRepeats(out)
}
