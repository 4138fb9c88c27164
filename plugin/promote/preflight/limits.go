package preflight

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	resources "k8s.io/component-helpers/resource"

	"github.com/kubectl-ai/kubectl-ai/plugin/capacity"
)

// admitted is a pod as it gets past the LimitRanges of its namespace: what
// its containers leave out is filled in (plugin/pkg/admission/limitranger in
// Kubernetes).
func (v *view) admitted(p *podSet) *corev1.Pod {
	pod := p.pod()
	for _, lr := range v.limitRanges[p.namespace()] {
		for _, item := range lr.Spec.Limits {
			if item.Type != corev1.LimitTypeContainer {
				continue
			}
			for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
				for i := range list {
					fill(&list[i].Resources.Limits, item.Default)
					fill(&list[i].Resources.Requests, item.DefaultRequest)
				}
			}
		}
	}
	if name := pod.Spec.RuntimeClassName; name != nil {
		if class := v.runtimeClasses[*name]; class != nil && class.Overhead != nil {
			pod.Spec.Overhead = class.Overhead.PodFixed
		}
	}
	return pod
}

func fill(into *corev1.ResourceList, from corev1.ResourceList) {
	for name, q := range from {
		if _, ok := (*into)[name]; ok {
			continue
		}
		if *into == nil {
			*into = corev1.ResourceList{}
		}
		(*into)[name] = q
	}
}

// limits compares pods, containers and claims with the LimitRanges of their
// namespaces.
func (c *Check) limits(v *view) Report {
	report := v.blinded(CheckLimits)
	next := func(lr *corev1.LimitRange) string {
		return fmt.Sprintf("change the resources in the overlay; kubectl describe limitrange %s -n %s", lr.Name, lr.Namespace)
	}
	for i := range v.pods {
		p := &v.pods[i]
		pod := v.admitted(p)
		for j := range v.limitRanges[p.namespace()] {
			lr := &v.limitRanges[p.namespace()][j]
			for _, item := range lr.Spec.Limits {
				switch item.Type {
				case corev1.LimitTypeContainer:
					for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
						for k := range list {
							for _, words := range outside(item, list[k].Resources.Requests, list[k].Resources.Limits) {
								report.add(CheckLimits, Error, p.object, next(lr), "%s: %s (LimitRange %s)", p.container(&list[k]), words, lr.Name)
							}
						}
					}
				case corev1.LimitTypePod:
					requests := resources.PodRequests(pod, resources.PodResourcesOptions{ExcludeOverhead: true})
					limits := resources.PodLimits(pod, resources.PodResourcesOptions{ExcludeOverhead: true})
					for _, words := range outside(item, requests, limits) {
						report.add(CheckLimits, Error, p.object, next(lr), "a pod of %s: %s (LimitRange %s)", p.name(), words, lr.Name)
					}
				}
			}
		}
	}
	for _, obj := range c.newClaims(v) {
		size, ok := claimSize(obj)
		for j := range v.limitRanges[obj.GetNamespace()] {
			lr := &v.limitRanges[obj.GetNamespace()][j]
			for _, item := range lr.Spec.Limits {
				if item.Type != corev1.LimitTypePersistentVolumeClaim || !ok {
					continue
				}
				least, hasLeast := item.Min[corev1.ResourceStorage]
				most, hasMost := item.Max[corev1.ResourceStorage]
				if hasLeast && size.Cmp(least) < 0 || hasMost && size.Cmp(most) > 0 {
					report.add(CheckLimits, Error, obj, next(lr), "it asks for %s of storage, and LimitRange %s allows %s to %s", size.String(), lr.Name, orNothing(least, hasLeast), orNothing(most, hasMost))
				}
			}
		}
	}
	return report
}

func orNothing(q resource.Quantity, ok bool) string {
	if !ok {
		return "any"
	}
	return q.String()
}

// outside says where requests and limits are not within a LimitRange's item,
// in the order of the names.
func outside(item corev1.LimitRangeItem, requests, limits corev1.ResourceList) []string {
	var out []string
	for _, name := range capacity.Names(item.Min) {
		least := item.Min[name]
		request, has := requests[name]
		limit, limited := limits[name]
		switch {
		case !has:
			out = append(out, fmt.Sprintf("no request of %s, at least %s is wanted", name, least.String()))
		case request.Cmp(least) < 0:
			out = append(out, fmt.Sprintf("requests %s of %s, at least %s is wanted", request.String(), name, least.String()))
		case limited && limit.Cmp(least) < 0:
			out = append(out, fmt.Sprintf("is limited to %s of %s, at least %s is wanted", limit.String(), name, least.String()))
		}
	}
	for _, name := range capacity.Names(item.Max) {
		most := item.Max[name]
		request := requests[name]
		limit, limited := limits[name]
		switch {
		case !limited:
			out = append(out, fmt.Sprintf("no limit of %s, at most %s is allowed", name, most.String()))
		case limit.Cmp(most) > 0:
			out = append(out, fmt.Sprintf("is limited to %s of %s, at most %s is allowed", limit.String(), name, most.String()))
		case request.Cmp(most) > 0:
			out = append(out, fmt.Sprintf("requests %s of %s, at most %s is allowed", request.String(), name, most.String()))
		}
	}
	for _, name := range capacity.Names(item.MaxLimitRequestRatio) {
		most := item.MaxLimitRequestRatio[name]
		request, limit := requests[name], limits[name]
		if request.IsZero() || limit.IsZero() || limit.AsApproximateFloat64()/request.AsApproximateFloat64() > most.AsApproximateFloat64() {
			out = append(out, fmt.Sprintf("limit %s of %s is more than %s times the request %s", limit.String(), name, most.String(), request.String()))
		}
	}
	return out
}

// newClaims are the volume claims of the bundle that are not there yet.
func (c *Check) newClaims(v *view) []*unstructured.Unstructured {
	var out []*unstructured.Unstructured
	for _, obj := range c.Objects {
		if obj.GetKind() == "PersistentVolumeClaim" && obj.GroupVersionKind().Group == "" && c.isNew(v, obj) {
			out = append(out, obj)
		}
	}
	return out
}

func claimSize(obj *unstructured.Unstructured) (resource.Quantity, bool) {
	text, _, _ := unstructured.NestedString(obj.Object, "spec", "resources", "requests", "storage")
	q, err := resource.ParseQuantity(text)
	return q, err == nil
}
