package run

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	resources "k8s.io/component-helpers/resource"

	"github.com/kubectl-ai/kubectl-ai/plugin/capacity"
)

// Held is what pods hold on nodes: the requests of those that have a node and
// have not ended. pick chooses among them; nil takes all.
func Held(pods []corev1.Pod, pick func(*corev1.Pod) bool) corev1.ResourceList {
	out := corev1.ResourceList{}
	for i := range pods {
		pod := &pods[i]
		ended := pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed
		if pod.Spec.NodeName != "" && !ended && (pick == nil || pick(pod)) {
			capacity.Add(out, resources.PodRequests(pod, resources.PodResourcesOptions{}), 1)
		}
	}
	return out
}

// Claims are the volume claims that a run's pods mount.
func Claims(pods []corev1.Pod, id string) (names []string) {
	for i := range pods {
		if pods[i].Labels[IDLabel] != id {
			continue
		}
		for _, v := range pods[i].Spec.Volumes {
			if c := v.PersistentVolumeClaim; c != nil && !slices.Contains(names, c.ClaimName) {
				names = append(names, c.ClaimName)
			}
		}
	}
	return names
}
