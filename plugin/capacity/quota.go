package capacity

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resources "k8s.io/component-helpers/resource"
)

// Usage is what a pod counts for under the names that quotas use
// (kubernetes.io, "Resource quotas").
func Usage(pod *corev1.Pod) corev1.ResourceList {
	out := corev1.ResourceList{"pods": resource.MustParse("1"), "count/pods": resource.MustParse("1")}
	for name, q := range resources.PodRequests(pod, resources.PodResourcesOptions{}) {
		switch {
		case name == corev1.ResourceCPU, name == corev1.ResourceMemory, name == corev1.ResourceEphemeralStorage, strings.HasPrefix(string(name), corev1.ResourceHugePagesPrefix):
			out[name] = q
			out["requests."+name] = q
		case Extended(string(name)):
			out["requests."+name] = q
		}
	}
	for name, q := range resources.PodLimits(pod, resources.PodResourcesOptions{}) {
		if name == corev1.ResourceCPU || name == corev1.ResourceMemory || name == corev1.ResourceEphemeralStorage {
			out["limits."+name] = q
		}
	}
	return out
}

// Scoped says whether a quota counts some pods alone.
func Scoped(q *corev1.ResourceQuota) bool {
	return len(q.Spec.Scopes) > 0 || q.Spec.ScopeSelector != nil && len(q.Spec.ScopeSelector.MatchExpressions) > 0
}

// InScope says whether a quota counts a pod. A scope that is not known here
// counts nothing: better silent than wrong.
func InScope(q *corev1.ResourceQuota, pod *corev1.Pod) bool {
	var all []corev1.ScopedResourceSelectorRequirement
	for _, s := range q.Spec.Scopes {
		all = append(all, corev1.ScopedResourceSelectorRequirement{ScopeName: s, Operator: corev1.ScopeSelectorOpExists})
	}
	if q.Spec.ScopeSelector != nil {
		all = append(all, q.Spec.ScopeSelector.MatchExpressions...)
	}
	for _, r := range all {
		matches := false
		switch r.ScopeName {
		case corev1.ResourceQuotaScopeTerminating:
			matches = pod.Spec.ActiveDeadlineSeconds != nil
		case corev1.ResourceQuotaScopeNotTerminating:
			matches = pod.Spec.ActiveDeadlineSeconds == nil
		case corev1.ResourceQuotaScopeBestEffort:
			matches = bestEffort(pod)
		case corev1.ResourceQuotaScopeNotBestEffort:
			matches = !bestEffort(pod)
		case corev1.ResourceQuotaScopePriorityClass:
			class := pod.Spec.PriorityClassName
			switch r.Operator {
			case corev1.ScopeSelectorOpExists:
				matches = class != ""
			case corev1.ScopeSelectorOpDoesNotExist:
				matches = class == ""
			case corev1.ScopeSelectorOpIn:
				matches = slices.Contains(r.Values, class)
			case corev1.ScopeSelectorOpNotIn:
				matches = !slices.Contains(r.Values, class)
			}
		}
		if !matches {
			return false
		}
	}
	return true
}

// bestEffort says whether a pod asks for no cpu and no memory at all.
func bestEffort(pod *corev1.Pod) bool {
	for _, list := range []corev1.ResourceList{
		resources.PodRequests(pod, resources.PodResourcesOptions{ExcludeOverhead: true}),
		resources.PodLimits(pod, resources.PodResourcesOptions{ExcludeOverhead: true}),
	} {
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			if q := list[name]; !q.IsZero() {
				return false
			}
		}
	}
	return true
}

// Admitted completes a pod as the API server does: requests that are left out
// are the limits (core/v1, ResourceRequirements).
func Admitted(pod *corev1.Pod) *corev1.Pod {
	pod = pod.DeepCopy()
	for _, list := range [][]corev1.Container{pod.Spec.InitContainers, pod.Spec.Containers} {
		for i := range list {
			r := &list[i].Resources
			if r.Requests == nil {
				r.Requests = corev1.ResourceList{}
			}
			for name, q := range r.Limits {
				if _, ok := r.Requests[name]; !ok {
					r.Requests[name] = q
				}
			}
		}
	}
	return pod
}

// Over says which of a namespace's quotas so many pods would exceed, a line
// each; none: they may be made.
func Over(quotas []corev1.ResourceQuota, pod *corev1.Pod, pods int) []string {
	var out []string
	need := corev1.ResourceList{}
	Add(need, Usage(pod), pods)
	for i := range quotas {
		q := &quotas[i]
		if !InScope(q, pod) {
			continue
		}
		for _, name := range Names(q.Spec.Hard) {
			hard, used, wanted := q.Spec.Hard[name], q.Status.Used[name], need[name]
			sum := used.DeepCopy()
			if sum.Add(wanted); !wanted.IsZero() && sum.Cmp(hard) > 0 {
				out = append(out, fmt.Sprintf("ResourceQuota %s: %s of %s %s used, %s more wanted", q.Name, used.String(), hard.String(), name, wanted.String()))
			}
		}
	}
	return out
}
