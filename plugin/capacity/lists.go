package capacity

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resources "k8s.io/component-helpers/resource"
)

// Devices counts the extended resources in a list.
func Devices(list corev1.ResourceList) int64 {
	var n int64
	for name, q := range list {
		if Extended(string(name)) {
			n += q.Value()
		}
	}
	return n
}

// Extended says whether a resource is none of Kubernetes' own.
func Extended(name string) bool {
	domain, _, ok := strings.Cut(name, "/")
	return ok && domain != "kubernetes.io" && !strings.HasSuffix(domain, ".kubernetes.io")
}

// Quantities puts resources into words, such as 2 nvidia.com/gpu, 500m cpu.
func Quantities(list corev1.ResourceList) string {
	var parts []string
	for _, name := range Names(list) {
		if name == corev1.ResourcePods {
			continue
		}
		q := list[name]
		parts = append(parts, fmt.Sprintf("%s %s", q.String(), name))
	}
	return strings.Join(parts, ", ")
}

// Names are those of a list of resources, in order.
func Names(list corev1.ResourceList) []corev1.ResourceName {
	return slices.Sorted(maps.Keys(list))
}

// Add adds up resources so many times.
func Add(to, from corev1.ResourceList, times int) {
	for name, q := range from {
		sum := to[name].DeepCopy()
		for range times {
			sum.Add(q)
		}
		to[name] = sum
	}
}

// Holders names the pods that hold most of a resource, at most three.
func Holders(pods []corev1.Pod, name corev1.ResourceName) string {
	type holder struct {
		pod  string
		held resource.Quantity
	}
	var all []holder
	for i := range pods {
		if pods[i].Spec.NodeName == "" {
			continue
		}
		held := resources.PodRequests(&pods[i], resources.PodResourcesOptions{})[name]
		if !held.IsZero() {
			all = append(all, holder{pods[i].Namespace + "/" + pods[i].Name, held})
		}
	}
	slices.SortFunc(all, func(a, b holder) int { return cmp.Or(b.held.Cmp(a.held), cmp.Compare(a.pod, b.pod)) })
	var parts []string
	for _, h := range all[:min(3, len(all))] {
		parts = append(parts, fmt.Sprintf("%s (%s)", h.pod, h.held.String()))
	}
	if more := len(all) - len(parts); more > 0 {
		parts = append(parts, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(parts, ", ")
}
