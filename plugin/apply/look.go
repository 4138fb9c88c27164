package apply

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Look says how far a workload is at this moment, by its object and its pods.
// denied is why the server refused to create pods, "" where it did not. The
// error is one that Wait would end with: a *FailedError, or a *PodError where
// a pod does not run and will not by itself. A pod that fits nowhere is one,
// since nobody here waits for nodes to come, and so is trouble that may pass.
func Look(object *unstructured.Unstructured, pods []*corev1.Pod, denied string) (Standing, error) {
	now := time.Now()
	v := view{object: object, pods: pods, now: now, since: newWaitingSince(func() time.Time { return now })}
	if denied != "" {
		v.denial = &denial{message: denied, since: now}
	}
	out := judge(RefOf(object), v)
	return Standing{Object: RefOf(object), Phase: out.phase, Detail: out.say}, out.err
}
