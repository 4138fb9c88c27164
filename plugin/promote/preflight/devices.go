package preflight

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
)

var (
	nodeResource = schema.GroupVersionResource{Version: "v1", Resource: "nodes"}
	podResource  = schema.GroupVersionResource{Version: "v1", Resource: "pods"}
)

// gang is the pods of one template that have to run at the same time.
type gang struct {
	name    string
	pods    int
	devices map[string]int64 // of one pod
	spec    corev1.PodSpec
}

// devices finds out whether the GPUs (and other extended resources) that are
// free suffice for every pod and for all pods of all workloads together.
func (c *Check) devices(ctx context.Context) (Report, error) {
	gangs, releasing, err := c.gangs(ctx)
	if err != nil || len(gangs) == 0 {
		return nil, err
	}
	nodes, pods, err := c.cluster(ctx)
	if apierrors.IsForbidden(err) {
		return Report{{CheckDevices, Warning, "may not read nodes and pods, so nobody knows whether enough devices are free"}}, nil
	}
	if err != nil {
		return nil, err
	}
	return fit(nodes, pods, gangs, releasing), nil
}

// gangs returns the gangs that the promotion would start, and a function that
// says which running pods they replace. A Job that exists already starts
// nothing.
func (c *Check) gangs(ctx context.Context) ([]gang, func(*corev1.Pod) bool, error) {
	var out []gang
	type selection struct {
		namespace string
		selector  labels.Selector
	}
	var replaced []selection
	for _, obj := range c.Objects {
		templates, err := workload.Templates(obj)
		if err != nil {
			return nil, nil, err
		}
		if obj.GetKind() == "CronJob" {
			continue // starts later, by the clock
		}
		if len(templates) > 0 && obj.GetKind() == "Job" {
			_, err := c.Client.Get(ctx, apply.RefOf(obj))
			if err == nil {
				continue
			}
			var unserved *apply.UnservedError
			if !apierrors.IsNotFound(err) && !apierrors.IsForbidden(err) && !errors.As(err, &unserved) {
				return nil, nil, fmt.Errorf("read %s: %w", apply.RefOf(obj), err)
			}
		}
		for _, t := range templates {
			var spec corev1.PodSpec
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(runtime.DeepCopyJSON(t.Spec()), &spec); err != nil {
				return nil, nil, fmt.Errorf("%s: %s: %w", workload.Name(obj), t.Path, err)
			}
			if d := devicesOf(&spec); len(d) > 0 {
				out = append(out, gang{name: workload.Name(obj), pods: workload.Replicas(t), devices: d, spec: spec})
			}
		}
		match, _, _ := unstructured.NestedStringMap(obj.Object, "spec", "selector", "matchLabels")
		if len(match) > 0 && len(templates) > 0 {
			replaced = append(replaced, selection{obj.GetNamespace(), labels.SelectorFromSet(match)})
		}
	}
	return out, func(pod *corev1.Pod) bool {
		return slices.ContainsFunc(replaced, func(s selection) bool {
			return s.namespace == pod.Namespace && s.selector.Matches(labels.Set(pod.Labels))
		})
	}, nil
}

// cluster reads the nodes and all pods that hold something.
func (c *Check) cluster(ctx context.Context) ([]corev1.Node, []corev1.Pod, error) {
	nodeList, err := c.Client.Dynamic.Resource(nodeResource).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, nil, wrap(err, "list nodes")
	}
	var nodes []corev1.Node
	for i := range nodeList.Items {
		var n corev1.Node
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(nodeList.Items[i].Object, &n); err != nil {
			return nil, nil, fmt.Errorf("read node %s: %w", nodeList.Items[i].GetName(), err)
		}
		nodes = append(nodes, n)
	}
	podList, err := c.Client.Dynamic.Resource(podResource).List(ctx, metav1.ListOptions{FieldSelector: "status.phase!=Succeeded,status.phase!=Failed"})
	if err != nil {
		return nil, nil, wrap(err, "list pods")
	}
	var pods []corev1.Pod
	for i := range podList.Items {
		var p corev1.Pod
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(podList.Items[i].Object, &p); err != nil {
			return nil, nil, fmt.Errorf("read pod %s: %w", podList.Items[i].GetName(), err)
		}
		pods = append(pods, p)
	}
	return nodes, pods, nil
}

func wrap(err error, action string) error { return fmt.Errorf("%s: %w", action, err) }

// devicesOf returns the extended resources that a pod holds: the sum of its
// containers, or more where an init container wants more.
func devicesOf(spec *corev1.PodSpec) map[string]int64 {
	out := map[string]int64{}
	each := func(c corev1.Container, put func(string, int64)) {
		all := map[corev1.ResourceName]resource.Quantity{}
		for name, q := range c.Resources.Requests {
			all[name] = q
		}
		for name, q := range c.Resources.Limits {
			all[name] = q // requests of extended resources equal their limits
		}
		for name, q := range all {
			if extended(string(name)) && q.Value() > 0 {
				put(string(name), q.Value())
			}
		}
	}
	for _, c := range spec.Containers {
		each(c, func(name string, n int64) { out[name] += n })
	}
	for _, c := range spec.InitContainers {
		each(c, func(name string, n int64) { out[name] = max(out[name], n) })
	}
	return out
}

// extended says whether a resource is none of Kubernetes' own.
func extended(name string) bool {
	domain, _, ok := strings.Cut(name, "/")
	return ok && domain != "kubernetes.io" && !strings.HasSuffix(domain, ".kubernetes.io")
}
