package preflight

import (
	"encoding/json"
	"fmt"
	"slices"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/component-helpers/auth/rbac/validation"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
)

// need is a verb on a resource in a namespace ("" = cluster-wide), for one
// object or ("") for all.
type need struct {
	group, resource, namespace, name, verb string
	// optional needs are for what a promotion can do without: it asks more
	// then, or prunes nothing.
	optional bool
	// held is set where a rule has to be held so that a Role of the bundle
	// may grant it.
	held *held
}

// held is a rule that a Role or ClusterRole of the bundle grants.
type held struct {
	resource, name string // of the role
	granted        rbacv1.PolicyRule
}

func (n need) String() string {
	where := "cluster-wide"
	if n.namespace != "" {
		where = "in namespace " + n.namespace
	}
	if n.held != nil {
		return fmt.Sprintf("grant by %s/%s what you do not hold yourself %s (or escalate on it)", n.held.resource, n.held.name, where)
	}
	resource := n.resource
	if n.group != "" {
		resource += "." + n.group
	}
	if n.name != "" {
		resource += "/" + n.name
	}
	return fmt.Sprintf("%s %s %s", n.verb, resource, where)
}

// rule is the need as a rule that satisfies just it.
func (n need) rule() rbacv1.PolicyRule {
	if n.held != nil {
		return n.held.granted
	}
	r := rbacv1.PolicyRule{Verbs: []string{n.verb}, APIGroups: []string{n.group}, Resources: []string{n.resource}}
	if n.name != "" {
		r.ResourceNames = []string{n.name}
	}
	return r
}

// needs lists what a promotion does: apply and read the bundle's kinds, watch
// pods, delete what left the bundle, keep its record and its lock. A dry run
// wants the verbs of the real one.
func (c *Check) needs(v *view) []need {
	if c.removal != nil {
		return c.removalNeeds()
	}
	var out []need
	add := func(optional bool, group, resource, namespace, name string, verbs ...string) {
		for _, verb := range verbs {
			n := need{group: group, resource: resource, namespace: namespace, name: name, verb: verb, optional: optional}
			if !slices.Contains(out, n) {
				out = append(out, n)
			}
		}
	}
	add(false, "", "configmaps", c.Namespace, "", "get", "create", "update")
	add(false, "", "secrets", c.Namespace, "", "get", "list", "create", "delete")
	add(false, "coordination.k8s.io", "leases", c.Namespace, "", "get", "create", "update", "delete")
	for _, ns := range c.namespacesWanted() {
		add(true, "", "namespaces", ns, ns, "get")
	}
	if c.Pinned {
		add(false, "", "namespaces", "kube-system", "kube-system", "get")
	}
	for _, ref := range c.Former {
		m, err := c.Client.Mapper.RESTMapping(ref.GroupKind())
		if err == nil {
			add(false, m.Resource.Group, m.Resource.Resource, ref.Namespace, "", "get", "delete")
		}
	}
	for _, obj := range c.Objects {
		s, ok := v.resources[obj.GroupVersionKind()]
		if !ok {
			continue // said by kinds
		}
		group, resource, ns := s.resource.Group, s.resource.Resource, obj.GetNamespace()
		if s.namespaced {
			add(false, group, resource, ns, "", "get", "create", "patch")
			add(true, group, resource, ns, "", "list", "delete")
		} else { // no more than the bundle's own
			add(false, group, resource, "", obj.GetName(), "get", "patch")
			add(false, group, resource, "", "", "create")
			add(true, group, resource, "", obj.GetName(), "delete")
			add(true, group, resource, "", "", "list")
		}
		if s.namespaced && apply.Waited(obj) {
			add(false, group, resource, ns, "", "list", "watch")
			add(false, "", "pods", ns, "", "list", "watch")
			add(true, "", "events", ns, "", "list", "watch")
			if c.Logs {
				add(false, "", "pods/log", ns, "", "get")
			}
			if obj.GetKind() == "Deployment" {
				add(false, "apps", "replicasets", ns, "", "list", "watch")
			}
		}
		out = append(out, c.roleNeeds(obj)...)
	}
	return withoutRepeats(out)
}

// roleNeeds are what RBAC asks of those who write roles and bindings: to hold
// what they grant, or to be let off (kubernetes.io, "Privilege escalation
// prevention and bootstrapping").
func (c *Check) roleNeeds(obj *unstructured.Unstructured) []need {
	if obj.GroupVersionKind().Group != rbacv1.GroupName {
		return nil
	}
	ns := obj.GetNamespace()
	switch obj.GetKind() {
	case "Role", "ClusterRole":
		rules, err := rulesOf(obj)
		if err != nil {
			return nil // malformed: the server says so
		}
		return holding(ns, roleResources[obj.GetKind()], obj.GetName(), rules)
	case "RoleBinding", "ClusterRoleBinding":
		kind, _, _ := unstructured.NestedString(obj.Object, "roleRef", "kind")
		name, _, _ := unstructured.NestedString(obj.Object, "roleRef", "name")
		if roleResources[kind] == "" {
			return nil // malformed: the server says so
		}
		// Who does not hold the role's rules needs the verb; and who does, as
		// long as the role comes with the same promotion: a dry run finds
		// none whose rules it could compare.
		return []need{{group: rbacv1.GroupName, resource: roleResources[kind], namespace: ns, name: name, verb: "bind"}}
	}
	return nil
}

var roleResources = map[string]string{"Role": "roles", "ClusterRole": "clusterroles"}

// holding is the need to hold the rules of a role.
func holding(namespace, resource, name string, rules []rbacv1.PolicyRule) []need {
	var out []need
	for _, r := range rules {
		out = append(out, need{namespace: namespace, held: &held{resource: resource, name: name, granted: r}})
	}
	return out
}

// rulesOf returns the rules of a Role or ClusterRole.
func rulesOf(role *unstructured.Unstructured) ([]rbacv1.PolicyRule, error) {
	items, _, err := unstructured.NestedSlice(role.Object, "rules")
	if err != nil {
		return nil, err
	}
	raw, err := json.Marshal(items)
	if err != nil {
		return nil, err
	}
	var rules []rbacv1.PolicyRule
	if err := json.Unmarshal(raw, &rules); err != nil {
		return nil, fmt.Errorf("read the rules of %s %s: %w", role.GetKind(), role.GetName(), err)
	}
	return rules, nil
}

// withoutRepeats drops the optional needs that are also plain ones, and rules
// that are held twice.
func withoutRepeats(list []need) []need {
	slices.SortStableFunc(list, func(a, b need) int {
		switch {
		case a.optional == b.optional:
			return 0
		case b.optional:
			return -1
		}
		return 1
	})
	var out []need
	for _, n := range list {
		if !slices.ContainsFunc(out, func(o need) bool {
			if o.namespace != n.namespace || (n.held == nil) != (o.held == nil) {
				return false
			}
			ok, _ := validation.Covers([]rbacv1.PolicyRule{o.rule()}, []rbacv1.PolicyRule{n.rule()})
			return ok
		}) {
			out = append(out, n)
		}
	}
	return out
}
