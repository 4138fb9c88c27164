package preflight

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/component-helpers/auth/rbac/validation"
)

// grants are the rules that the server says we hold in a namespace.
type grants []rbacv1.PolicyRule

func (g grants) cover(rule rbacv1.PolicyRule) bool {
	ok, _ := validation.Covers(g, []rbacv1.PolicyRule{rule})
	return ok
}

// nowhere is no possible name of a namespace, so nobody is bound to a Role in
// it: the rules that one holds there are those that one holds everywhere. It
// saves a question a verb for cluster-wide kinds.
const nowhere = "cluster-wide."

var (
	rulesReviews  = schema.GroupVersionResource{Group: "authorization.k8s.io", Version: "v1", Resource: "selfsubjectrulesreviews"}
	accessReviews = schema.GroupVersionResource{Group: "authorization.k8s.io", Version: "v1", Resource: "selfsubjectaccessreviews"}
	selfReviews   = schema.GroupVersionResource{Group: "authentication.k8s.io", Version: "v1", Resource: "selfsubjectreviews"}
)

// readAccess finds out what we may not do. One rules review a namespace
// answers nearly all of it; what the rules do not grant is asked for singly,
// because a reviewer may leave rules out.
func (c *Check) readAccess(v *view) []task {
	needs := map[string][]need{}
	for _, n := range c.needs(v) {
		needs[n.namespace] = append(needs[n.namespace], n)
	}
	return []task{func(ctx context.Context) error {
		var tasks []task
		for ns, list := range needs {
			tasks = append(tasks, func(ctx context.Context) error { return c.missing(ctx, v, ns, list) })
		}
		if err := c.all(ctx, tasks); err != nil {
			return err
		}
		if !slices.ContainsFunc(v.missing, func(n need) bool { return !n.optional }) {
			return nil
		}
		user, err := c.whoami(ctx)
		if err != nil {
			return err
		}
		c.role, err = c.roleYAML(v, user)
		return err
	}}
}

// missing asks for the needs in one namespace.
func (c *Check) missing(ctx context.Context, v *view, ns string, needs []need) error {
	rules, err := c.rules(ctx, cmp.Or(ns, nowhere))
	if err != nil {
		return err
	}
	v.lock(func() { v.grants[ns] = rules })
	var tasks []task
	for _, n := range needs {
		if rules.cover(n.rule()) {
			continue
		}
		tasks = append(tasks, func(ctx context.Context) error {
			allowed, err := c.allowed(ctx, n, rules)
			if err == nil && !allowed {
				v.lock(func() { v.missing = append(v.missing, n) })
			}
			return err
		})
	}
	return c.all(ctx, tasks)
}

func (c *Check) rules(ctx context.Context, namespace string) (grants, error) {
	review, err := c.Client.Dynamic.Resource(rulesReviews).Create(ctx, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
		"spec": map[string]any{"namespace": namespace},
	}}, metav1.CreateOptions{})
	if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) {
		return nil, nil // every need is asked for singly then
	}
	if err != nil {
		return nil, fmt.Errorf("ask what is permitted in %s: %w", namespace, err)
	}
	items, _, _ := unstructured.NestedSlice(review.Object, "status", "resourceRules")
	raw, err := json.Marshal(items)
	if err != nil {
		return nil, fmt.Errorf("read what is permitted in %s: %w", namespace, err)
	}
	var out grants // a ResourceRule is a PolicyRule without URLs
	if err := json.Unmarshal(raw, &out); err != nil {
		return nil, fmt.Errorf("read what is permitted in %s: %w", namespace, err)
	}
	return out, nil
}

// allowed asks for a single need, and for what may stand in for it.
func (c *Check) allowed(ctx context.Context, n need, rules grants) (bool, error) {
	switch {
	case n.held != nil: // RBAC lets nobody grant what he does not hold, but who may escalate
		n = need{group: rbacv1.GroupName, resource: n.held.resource, namespace: n.namespace, verb: "escalate", name: n.held.name}
		if rules.cover(n.rule()) {
			return true, nil
		}
	case n.verb == "bind":
		if held, err := c.holds(ctx, n, rules); held || err != nil {
			return held, err
		}
	}
	attributes := map[string]any{"verb": n.verb, "group": n.group, "resource": n.resource}
	if n.namespace != "" {
		attributes["namespace"] = n.namespace
	}
	if n.name != "" {
		attributes["name"] = n.name
	}
	review, err := c.Client.Dynamic.Resource(accessReviews).Create(ctx, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
		"spec": map[string]any{"resourceAttributes": attributes},
	}}, metav1.CreateOptions{})
	if err != nil {
		return false, fmt.Errorf("ask whether we may %s: %w", n, err)
	}
	allowed, _, _ := unstructured.NestedBool(review.Object, "status", "allowed")
	return allowed, nil
}

// holds says whether we hold the rules of a role that is to be bound. A role
// that may not be read is taken for one whose rules we do not hold.
func (c *Check) holds(ctx context.Context, n need, rules grants) (bool, error) {
	gvr := rbacv1.SchemeGroupVersion.WithResource(n.resource)
	namespace := n.namespace
	if n.resource == "clusterroles" {
		namespace = ""
	}
	role, err := c.Client.Dynamic.Resource(gvr).Namespace(namespace).Get(ctx, n.name, metav1.GetOptions{})
	if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read %s %s: %w", n.resource, n.name, err)
	}
	granted, err := rulesOf(role)
	if err != nil {
		return false, err
	}
	ok, _ := validation.Covers(rules, granted)
	return ok, nil
}

// whoami returns the name by which the server knows us.
func (c *Check) whoami(ctx context.Context) (string, error) {
	review, err := c.Client.Dynamic.Resource(selfReviews).Create(ctx, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview",
	}}, metav1.CreateOptions{})
	if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("ask the server who we are: %w", err)
	}
	name, _, _ := unstructured.NestedString(review.Object, "status", "userInfo", "username")
	return name, nil
}

// access says what is not permitted, and makes the Role that would.
func (c *Check) access(v *view) Report {
	var report Report
	for _, part := range []struct {
		optional bool
		level    Level
		words    string
	}{
		{false, Error, "not permitted: %s"},
		{true, Warning, "not permitted, and done without: %s"},
	} {
		list := slices.DeleteFunc(slices.Clone(v.missing), func(n need) bool { return n.optional != part.optional })
		for _, words := range merge(list) {
			report.add(CheckAccess, part.level, nil, c.grantCommand(), part.words, words)
		}
	}
	return report
}

func (c *Check) grantCommand() string {
	return fmt.Sprintf("kubectl ai rbac --to %s prints the Role that is needed; an administrator pipes it into kubectl apply -f -", c.Environment)
}

// merge joins the verbs of one resource into one line.
func merge(list []need) []string {
	list = slices.Clone(list)
	key := func(n need) string {
		if n.held != nil {
			return strings.Join([]string{n.namespace, n.held.resource, n.held.name}, "\x00")
		}
		return strings.Join([]string{n.namespace, n.group, n.resource, n.name}, "\x00")
	}
	slices.SortStableFunc(list, func(a, b need) int { return cmp.Compare(key(a), key(b)) })
	var out []string
	for i := 0; i < len(list); {
		n := list[i]
		verbs := []string{n.verb}
		j := i + 1
		for ; j < len(list) && key(list[j]) == key(n); j++ {
			verbs = append(verbs, list[j].verb)
		}
		slices.Sort(verbs)
		n.verb = strings.Join(slices.Compact(verbs), ", ")
		out = append(out, n.String())
		i = j
	}
	return out
}
