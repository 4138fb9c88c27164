// Package preflight asks, before anything is written, whether a bundle can
// work on a cluster. All findings come in one report.
package preflight

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"
	authv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
)

// GPU is the resource name of NVIDIA GPUs.
const GPU = "nvidia.com/gpu"

// FindingsError holds everything that stands in the way.
type FindingsError struct{ Findings []string }

func (e *FindingsError) Error() string {
	return fmt.Sprintf("the target is not ready for this bundle:\n  - %s", strings.Join(e.Findings, "\n  - "))
}

// Target is the cluster and what will be applied to it.
type Target struct {
	Client    kubernetes.Interface
	Namespace string
	Objects   []*unstructured.Unstructured
	// Resource returns the resource of a kind; an error: not served.
	Resource func(schema.GroupVersionKind) (schema.GroupVersionResource, bool, error)
}

// Check returns a *FindingsError, or nil. namespaceMissing says that the
// target namespace neither exists nor comes with the bundle, and that it may
// be made.
func Check(ctx context.Context, t Target) (namespaceMissing bool, err error) {
	if _, err := t.Client.Discovery().ServerVersion(); err != nil {
		return false, fmt.Errorf("reach the API server: %w", err)
	}
	var findings []string
	missing, finding, err := t.namespace(ctx)
	if err != nil {
		return false, err
	}
	findings = append(findings, finding...)
	denied, err := t.permissions(ctx)
	if err != nil {
		return false, err
	}
	findings = append(findings, denied...)
	short, err := t.gpus(ctx)
	if err != nil {
		return false, err
	}
	if findings = append(findings, short...); len(findings) > 0 {
		return missing, &FindingsError{findings}
	}
	return missing, nil
}

func (t Target) namespace(ctx context.Context) (missing bool, findings []string, err error) {
	for _, obj := range t.Objects {
		if obj.GetKind() == "Namespace" && obj.GetName() == t.Namespace {
			return false, nil, nil
		}
	}
	ns, err := t.Client.CoreV1().Namespaces().Get(ctx, t.Namespace, metav1.GetOptions{})
	switch {
	case err == nil && ns.DeletionTimestamp != nil:
		return false, []string{"namespace " + t.Namespace + " is being deleted"}, nil
	case err == nil, apierrors.IsForbidden(err):
		return false, nil, nil
	case !apierrors.IsNotFound(err):
		return false, nil, fmt.Errorf("read namespace %s: %w", t.Namespace, err)
	}
	allowed, err := t.may(ctx, "", schema.GroupVersionResource{Version: "v1", Resource: "namespaces"}, "create")
	if err != nil {
		return false, nil, err
	}
	if !allowed {
		return false, []string{"namespace " + t.Namespace + " does not exist, and you may not create it"}, nil
	}
	return true, nil, nil
}

// permissions asks for each kind and namespace once (SelfSubjectAccessReview).
func (t Target) permissions(ctx context.Context) ([]string, error) {
	type question struct {
		resource  schema.GroupVersionResource
		namespace string
		verb      string
	}
	questions := map[question]bool{}
	ask := func(resource schema.GroupVersionResource, namespace string, verbs ...string) {
		for _, verb := range verbs {
			questions[question{resource, namespace, verb}] = true
		}
	}
	for _, obj := range t.Objects {
		resource, namespaced, err := t.Resource(obj.GroupVersionKind())
		if err != nil {
			continue // the plan names kinds that nobody serves
		}
		namespace := ""
		if namespaced {
			namespace = obj.GetNamespace()
		}
		ask(resource, namespace, "get", "create", "patch", "delete")
	}
	ask(schema.GroupVersionResource{Version: "v1", Resource: "secrets"}, t.Namespace, "list", "create", "delete")
	ask(schema.GroupVersionResource{Version: "v1", Resource: "pods"}, t.Namespace, "list", "watch")
	findings := make(chan string, len(questions))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for q := range questions {
		group.Go(func() error {
			allowed, err := t.may(ctx, q.namespace, q.resource, q.verb)
			if err == nil && !allowed {
				where := "cluster-wide"
				if q.namespace != "" {
					where = "in namespace " + q.namespace
				}
				findings <- fmt.Sprintf("you may not %s %s %s", q.verb, q.resource.Resource, where)
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	close(findings)
	var out []string
	for f := range findings {
		out = append(out, f)
	}
	return out, nil
}

func (t Target) may(ctx context.Context, namespace string, resource schema.GroupVersionResource, verb string) (bool, error) {
	review, err := t.Client.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, &authv1.SelfSubjectAccessReview{
		Spec: authv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authv1.ResourceAttributes{
			Namespace: namespace, Verb: verb, Group: resource.Group, Version: resource.Version, Resource: resource.Resource,
		}},
	}, metav1.CreateOptions{})
	if err != nil {
		return false, fmt.Errorf("ask for the permission to %s %s: %w", verb, resource.Resource, err)
	}
	return review.Status.Allowed, nil
}

// gpus compares what the bundle's pods ask for with what the nodes offer: a
// pod must fit on a node and the whole gang on the cluster. What other pods
// hold is the scheduler's business at the time: they may end.
func (t Target) gpus(ctx context.Context) ([]string, error) {
	type need struct {
		name     string
		per, all int64
	}
	var needs []need
	for _, obj := range t.Objects {
		templates, err := workload.Templates(obj)
		if err != nil {
			return nil, err
		}
		for _, template := range templates {
			if per := perPod(template); per > 0 {
				needs = append(needs, need{workload.Name(obj), per, per * int64(workload.Replicas(template))})
			}
		}
	}
	if len(needs) == 0 {
		return nil, nil
	}
	nodes, err := t.Client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if apierrors.IsForbidden(err) {
		return nil, nil // a tenant of a namespace cannot look; the scheduler will say
	}
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	var largest, total int64
	for i := range nodes.Items {
		n := count(nodes.Items[i].Status.Allocatable[corev1.ResourceName(GPU)])
		largest, total = max(largest, n), total+n
	}
	var findings []string
	for _, n := range needs {
		switch {
		case total == 0:
			findings = append(findings, fmt.Sprintf("%s needs %d %s, and no node offers any", n.name, n.all, GPU))
		case n.per > largest:
			findings = append(findings, fmt.Sprintf("a pod of %s needs %d %s, and the largest node offers %d", n.name, n.per, GPU, largest))
		case n.all > total:
			findings = append(findings, fmt.Sprintf("%s needs %d %s for all its pods, and the cluster offers %d", n.name, n.all, GPU, total))
		}
	}
	return findings, nil
}

func count(q resource.Quantity) int64 { return q.Value() }

// perPod sums the GPUs of a pod's containers.
func perPod(t workload.Template) int64 {
	var n int64
	for _, c := range t.Containers() {
		value, ok, err := unstructured.NestedFieldNoCopy(c.Map(), "resources", "limits", GPU)
		if err != nil || !ok {
			continue
		}
		if q, err := resource.ParseQuantity(fmt.Sprint(value)); err == nil {
			n += q.Value()
		}
	}
	return n
}
