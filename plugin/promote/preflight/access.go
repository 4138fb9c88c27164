package preflight

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
)

// need is a verb on a resource in a namespace ("" = cluster-wide).
type need struct {
	group, resource, namespace, verb string
}

func (n need) String() string {
	where := "cluster-wide"
	if n.namespace != "" {
		where = "in namespace " + n.namespace
	}
	resource := n.resource
	if n.group != "" {
		resource += "." + n.group
	}
	return fmt.Sprintf("%s %s %s", n.verb, resource, where)
}

// needs lists what a promotion does: apply and read the bundle's kinds, watch
// pods, keep its record. Deleting is for prune only and not always wanted.
func (c *Check) needs() (must, may []need) {
	add := func(list *[]need, group, resource, namespace string, verbs ...string) {
		for _, v := range verbs {
			n := need{group, resource, namespace, v}
			if !slices.Contains(*list, n) {
				*list = append(*list, n)
			}
		}
	}
	for _, obj := range c.Objects {
		resource, namespaced, err := c.Client.Resource(obj.GroupVersionKind())
		if err != nil {
			continue // said by kinds
		}
		ns := obj.GetNamespace()
		if !namespaced {
			ns = ""
		}
		add(&must, resource.Group, resource.Resource, ns, "get", "create", "patch")
		add(&may, resource.Group, resource.Resource, ns, "list", "delete")
		if apply.Waited(obj) {
			add(&must, resource.Group, resource.Resource, ns, "list", "watch")
			if ns != "" {
				add(&must, "", "pods", ns, "list", "watch")
			}
			if obj.GetKind() == "Deployment" {
				add(&must, "apps", "replicasets", ns, "list", "watch")
			}
		}
	}
	add(&must, "", "configmaps", c.Namespace, "get", "create", "update")
	add(&must, "", "secrets", c.Namespace, "get", "list", "create", "delete")
	may = slices.DeleteFunc(may, func(n need) bool { return slices.Contains(must, n) })
	return must, may
}

// access finds out what we may not do. One rules review a namespace answers
// nearly all of it; only what the rules do not grant is asked for singly,
// because a reviewer may leave rules out.
func (c *Check) access(ctx context.Context) (Report, error) {
	must, may := c.needs()
	rules := map[string][]rule{}
	for _, n := range slices.Concat(must, may) {
		if _, ok := rules[n.namespace]; ok || n.namespace == "" {
			continue
		}
		r, err := c.rules(ctx, n.namespace)
		if err != nil {
			return nil, err
		}
		rules[n.namespace] = r
	}
	ask := func(list []need) ([]need, error) {
		refused := make([]*need, len(list))
		group, gctx := errgroup.WithContext(ctx)
		group.SetLimit(8)
		for i, n := range list {
			if slices.ContainsFunc(rules[n.namespace], func(r rule) bool { return r.grants(n) }) {
				continue
			}
			group.Go(func() error {
				allowed, err := c.allowed(gctx, n)
				if err == nil && !allowed {
					refused[i] = &n
				}
				return err
			})
		}
		err := group.Wait()
		var out []need
		for _, n := range refused {
			if n != nil {
				out = append(out, *n)
			}
		}
		return out, err
	}
	var report Report
	for _, part := range []struct {
		list  []need
		level Level
		words string
	}{
		{must, Error, "not permitted: %s"},
		{may, Warning, "not permitted, needed to prune or to prove objects unchanged: %s"},
	} {
		refused, err := ask(part.list)
		if err != nil {
			return report, err
		}
		for _, words := range merge(refused) {
			report = append(report, Finding{CheckAccess, part.level, fmt.Sprintf(part.words, words)})
		}
	}
	return report, nil
}

// merge joins the verbs of one resource into one line.
func merge(list []need) []string {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b need) int {
		return cmp.Or(cmp.Compare(a.namespace, b.namespace), cmp.Compare(a.group, b.group), cmp.Compare(a.resource, b.resource))
	})
	var out []string
	for i := 0; i < len(list); {
		verbs := []string{list[i].verb}
		j := i + 1
		for ; j < len(list) && list[j].group == list[i].group && list[j].resource == list[i].resource && list[j].namespace == list[i].namespace; j++ {
			verbs = append(verbs, list[j].verb)
		}
		n := list[i]
		n.verb = strings.Join(verbs, ", ")
		out = append(out, n.String())
		i = j
	}
	return out
}

type rule struct{ verbs, groups, resources []string }

func (r rule) grants(n need) bool {
	has := func(list []string, s string) bool { return slices.Contains(list, "*") || slices.Contains(list, s) }
	return has(r.verbs, n.verb) && has(r.groups, n.group) && has(r.resources, n.resource)
}

var (
	rulesReviews  = schema.GroupVersionResource{Group: "authorization.k8s.io", Version: "v1", Resource: "selfsubjectrulesreviews"}
	accessReviews = schema.GroupVersionResource{Group: "authorization.k8s.io", Version: "v1", Resource: "selfsubjectaccessreviews"}
)

func (c *Check) rules(ctx context.Context, namespace string) ([]rule, error) {
	review, err := c.Client.Dynamic.Resource(rulesReviews).Create(ctx, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectRulesReview",
		"spec": map[string]any{"namespace": namespace},
	}}, metav1.CreateOptions{})
	if apierrors.IsForbidden(err) || apierrors.IsNotFound(err) {
		return []rule{}, nil // every need is asked for singly then
	}
	if err != nil {
		return nil, fmt.Errorf("ask what is permitted in %s: %w", namespace, err)
	}
	items, _, _ := unstructured.NestedSlice(review.Object, "status", "resourceRules")
	out := []rule{}
	for _, item := range items {
		m, _ := item.(map[string]any)
		if names, _ := m["resourceNames"].([]any); len(names) > 0 {
			continue // for some names only
		}
		out = append(out, rule{texts(m["verbs"]), texts(m["apiGroups"]), texts(m["resources"])})
	}
	return out, nil
}

func texts(v any) []string {
	items, _ := v.([]any)
	var out []string
	for _, item := range items {
		if s, ok := item.(string); ok {
			out = append(out, s)
		}
	}
	return out
}

func (c *Check) allowed(ctx context.Context, n need) (bool, error) {
	review, err := c.Client.Dynamic.Resource(accessReviews).Create(ctx, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
		"spec": map[string]any{"resourceAttributes": map[string]any{
			"namespace": n.namespace, "verb": n.verb, "group": n.group, "resource": n.resource,
		}},
	}}, metav1.CreateOptions{})
	if err != nil {
		return false, fmt.Errorf("ask whether we may %s: %w", n, err)
	}
	allowed, _, _ := unstructured.NestedBool(review.Object, "status", "allowed")
	return allowed, nil
}
