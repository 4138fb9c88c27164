package audit

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/carrier"
)

// pods compares what nodes say that containers run. Pods of an earlier release,
// such as those of a Job that still runs, are left out: they say so themselves.
func (a *audit) pods(ctx context.Context) error {
	seen := map[string]bool{}
	for _, t := range a.Targets {
		namespace := t.Object.GetNamespace()
		if seen[namespace] {
			continue
		}
		seen[namespace] = true
		pods, err := a.cluster.Pods(ctx, namespace)
		if err != nil {
			return fmt.Errorf("list pods: %w", err)
		}
		for i := range pods {
			if err := a.pod(&pods[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

func (a *audit) pod(pod *unstructured.Unstructured) error {
	annotations := pod.GetAnnotations()
	if annotations[promote.DigestAnnotation] != a.Record.TreeDigest || pod.GetDeletionTimestamp() != nil {
		return nil
	}
	templates, err := workload.Templates(pod)
	if err != nil {
		return err
	}
	for name := range strings.SplitSeq(annotations[promote.ContainersAnnotation], ",") {
		where := fmt.Sprintf("%s/%s", pod.GetName(), name)
		for _, c := range templates[0].Containers() {
			if c.Name() == name {
				a.compare("pod", where, "image", a.expected(pod.GetNamespace(), name, c.Image()), c.Image())
				a.running(pod, where, name, c.Image())
			}
		}
	}
	now, expected := carrier.Mount(templates[0]), ""
	for i, t := range a.Targets {
		if m := carrier.Mount(t.Template); i == 0 || m == now {
			expected = m
		}
	}
	a.compare("pod", pod.GetName(), "volume of the code", expected, now)
	return nil
}

// expected is the image that the release gives to containers of that name: the
// one found where several targets share the name.
func (a *audit) expected(namespace, container, found string) string {
	want := ""
	for _, t := range a.Targets {
		if t.Object.GetNamespace() != namespace || t.Container.Name() != container {
			continue
		}
		if want == "" || t.Container.Image() == found {
			want = t.Container.Image()
		}
	}
	return want
}

// running compares what the node runs with what the pod names.
func (a *audit) running(pod *unstructured.Unstructured, where, container, image string) {
	statuses, _, _ := unstructured.NestedSlice(pod.Object, "status", "containerStatuses")
	for _, item := range statuses {
		status, _ := item.(map[string]any)
		id, _ := status["imageID"].(string)
		if status["name"] != container || id == "" {
			continue
		}
		_, digest, pinned := strings.Cut(image, "@")
		_, runs, named := strings.Cut(id, "@")
		if !pinned || !named {
			a.found = append(a.found, Finding{Check: "pod", Name: where, What: "image that the node runs", Verdict: Unknown, Expected: image, Found: id})
			continue
		}
		a.compare("pod", where, "image that the node runs", digest, runs)
	}
}
