package preflight

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// Role returns the YAML of the Roles and, for cluster-wide kinds, the
// ClusterRole that a promotion of the bundle needs, bound to user; "" stands
// for who we are. It is what the bundle needs in all, and nothing more, so
// that it can be applied in place of an earlier one.
func (c *Check) Role(ctx context.Context, user string) (string, error) {
	v := newView()
	if err := c.served(v); err != nil {
		return "", err
	}
	if err := c.all(ctx, c.readNamespaces(v)); err != nil {
		return "", err
	}
	if user == "" {
		var err error
		if user, err = c.whoami(ctx); err != nil {
			return "", err
		}
	}
	return c.roleYAML(v, user)
}

func (c *Check) roleYAML(v *view, user string) (string, error) {
	needs := c.needs(v)
	var docs []any
	if v.gone(c.Namespace) {
		docs = append(docs, &corev1.Namespace{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"}, ObjectMeta: metav1.ObjectMeta{Name: c.Namespace}})
		if c.MakesNamespace { // and so it need not
			needs = slices.DeleteFunc(needs, func(n need) bool { return n.namespace == "" && n.resource == "namespaces" })
		}
	}
	byNamespace := map[string][]need{}
	for _, n := range needs {
		byNamespace[n.namespace] = append(byNamespace[n.namespace], n)
	}
	subject := subjectOf(user)
	for _, ns := range sorted(byNamespace) {
		meta := metav1.ObjectMeta{Name: c.roleName(user), Namespace: ns}
		kind, binding := "Role", "RoleBinding"
		if ns == "" {
			kind, binding = "ClusterRole", "ClusterRoleBinding"
			meta.Name += "-" + c.Namespace // of all namespaces in one place
		}
		docs = append(docs,
			map[string]any{"apiVersion": rbacv1.SchemeGroupVersion.String(), "kind": kind, "metadata": named(meta), "rules": compact(byNamespace[ns])},
			map[string]any{
				"apiVersion": rbacv1.SchemeGroupVersion.String(), "kind": binding, "metadata": named(meta),
				"roleRef":  map[string]any{"apiGroup": rbacv1.GroupName, "kind": kind, "name": meta.Name},
				"subjects": []any{subject},
			})
	}
	var out bytes.Buffer
	for i, doc := range docs {
		raw, err := yaml.Marshal(doc)
		if err != nil {
			return "", fmt.Errorf("encode the Role: %w", err)
		}
		if i > 0 {
			out.WriteString("---\n")
		}
		out.Write(raw)
	}
	return out.String(), nil
}

// named is metadata without the nulls that the API types have.
func named(m metav1.ObjectMeta) map[string]any {
	out := map[string]any{"name": m.Name}
	if m.Namespace != "" {
		out["namespace"] = m.Namespace
	}
	return out
}

// roleName is the same for the same project and user, and another for others:
// applied twice, it replaces itself alone.
func (c *Check) roleName(user string) string {
	h := fnv.New32a()
	_, _ = h.Write([]byte(user))
	return fmt.Sprintf("kubectl-ai-promote-%s-%08x", c.Project, h.Sum32())
}

// subjectOf is a user as bindings name him.
func subjectOf(user string) map[string]any {
	if account, ok := strings.CutPrefix(user, "system:serviceaccount:"); ok {
		if ns, name, ok := strings.Cut(account, ":"); ok {
			return map[string]any{"kind": rbacv1.ServiceAccountKind, "namespace": ns, "name": name}
		}
	}
	return map[string]any{"kind": rbacv1.UserKind, "apiGroup": rbacv1.GroupName, "name": user}
}

// compact makes as few rules of the needs as say the same: the verbs of a
// resource in one, and resources of a group with the same verbs in one.
func compact(needs []need) []rbacv1.PolicyRule {
	type target struct{ group, resource, name string }
	verbs := map[target][]string{}
	var order []target
	var out []rbacv1.PolicyRule
	for _, n := range needs {
		if n.held != nil {
			out = append(out, n.held.granted)
			continue
		}
		t := target{n.group, n.resource, n.name}
		if verbs[t] == nil {
			order = append(order, t)
		}
		verbs[t] = append(verbs[t], n.verb)
	}
	slices.SortStableFunc(order, func(a, b target) int {
		return cmp.Or(cmp.Compare(a.group, b.group), cmp.Compare(a.resource, b.resource), cmp.Compare(a.name, b.name))
	})
	var rules []rbacv1.PolicyRule
	for _, t := range order {
		slices.Sort(verbs[t])
		list := slices.Compact(verbs[t])
		i := slices.IndexFunc(rules, func(r rbacv1.PolicyRule) bool {
			return r.APIGroups[0] == t.group && slices.Equal(r.Verbs, list) &&
				(t.name == "" && r.ResourceNames == nil && !slices.Contains(r.Resources, t.resource) || t.name != "" && r.ResourceNames != nil && r.Resources[0] == t.resource)
		})
		switch {
		case i < 0 && t.name == "":
			rules = append(rules, rbacv1.PolicyRule{APIGroups: []string{t.group}, Resources: []string{t.resource}, Verbs: list})
		case i < 0:
			rules = append(rules, rbacv1.PolicyRule{APIGroups: []string{t.group}, Resources: []string{t.resource}, ResourceNames: []string{t.name}, Verbs: list})
		case t.name == "":
			rules[i].Resources = append(rules[i].Resources, t.resource)
		default:
			rules[i].ResourceNames = append(rules[i].ResourceNames, t.name)
		}
	}
	return append(rules, out...)
}
