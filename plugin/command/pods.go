package command

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// answering chooses the pod that is asked: one that is ready, else one that
// runs and may answer all the same; nil for none.
func answering(pods []corev1.Pod) *corev1.Pod {
	var running *corev1.Pod
	for i := range pods {
		pod := &pods[i]
		if pod.Status.Phase != corev1.PodRunning || pod.DeletionTimestamp != nil {
			continue
		}
		if slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
		}) {
			return pod
		}
		if running == nil {
			running = pod
		}
	}
	return running
}
