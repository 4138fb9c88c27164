package apply

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

// PodSelector finds the pods of work that ends by itself, by what its
// controller marks them with; "" where nothing on them names it.
func PodSelector(live *unstructured.Unstructured) string {
	label, value := podLabel(live)
	if ref := RefOf(live); ref.Group == "batch" && ref.Kind == "Job" {
		label = "job-name"
	}
	if label == "" {
		return ""
	}
	return label + "=" + value
}

// Pods tells of the pods that a selector finds, of each whenever it changed,
// by one goroutine until ctx ends. It returns why they cannot be watched.
func (c *Client) Pods(ctx context.Context, namespace, selector string, tell func(*corev1.Pod)) error {
	return c.pods(ctx, namespace, selector, func(e event) {
		changed := e.full
		if e.object != nil && !e.deleted {
			changed = append(changed, e.object)
		}
		for _, obj := range changed {
			var pod corev1.Pod
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, &pod); err == nil {
				tell(&pod)
			}
		}
	})
}

func (c *Client) pods(ctx context.Context, namespace, selector string, tell func(event)) error {
	m, err := c.mapping(podGVK.GroupKind(), podGVK.Version)
	if err != nil {
		return err
	}
	return follow(ctx, at(c.Dynamic, m, namespace), metav1.ListOptions{LabelSelector: selector}, tell)
}

// podsEnd waits until no pod of a workload is alive.
func (c *Client) podsEnd(ctx context.Context, live *unstructured.Unstructured) error {
	selector := PodSelector(live)
	if selector == "" {
		return nil
	}
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	alive := map[string]bool{}
	ended := false
	err := c.pods(inner, live.GetNamespace(), selector, func(e event) {
		if e.reset {
			clear(alive)
		}
		for _, pod := range e.full {
			alive[pod.GetName()] = lives(pod)
		}
		if e.object != nil {
			alive[e.object.GetName()] = !e.deleted && lives(e.object)
		}
		for _, lives := range alive {
			if lives {
				return
			}
		}
		ended = true
		cancel()
	})
	switch {
	case ended:
		return nil
	case err == nil:
		err = context.Cause(ctx)
	}
	return &ObjectError{Action: "wait for the pods of", Ref: RefOf(live), Err: err}
}

// lives says whether a pod may still run something.
func lives(pod *unstructured.Unstructured) bool {
	phase := text(pod, "status.phase")
	return phase != string(corev1.PodSucceeded) && phase != string(corev1.PodFailed)
}
