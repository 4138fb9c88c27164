package preflight

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/capacity"
)

// podSet is the pods of one template. They run at the same time: a gang.
type podSet struct {
	object *unstructured.Unstructured
	path   string // of the template
	pods   int
	meta   metav1.ObjectMeta
	spec   corev1.PodSpec
	there  bool // the object is in the cluster already
}

// name names the pods for people.
func (p *podSet) name() string {
	if p.path == "" || p.path == "spec.template" {
		return workload.Name(p.object)
	}
	return workload.Name(p.object) + " " + p.path
}

func (p *podSet) namespace() string { return p.object.GetNamespace() }

// starts says whether the promotion makes the pods now. A CronJob starts them
// later, by the clock; a Job that is there started them before, and a runtime
// is a template for others.
func (p *podSet) starts() bool {
	switch p.object.GetKind() {
	case "CronJob", "TrainingRuntime", "ClusterTrainingRuntime":
		return false
	case "Job", "JobSet", "PyTorchJob", "RayJob", "TrainJob":
		if suspended, _, _ := unstructured.NestedBool(p.object.Object, "spec", "suspend"); suspended {
			return false
		}
		return !p.there
	}
	return true
}

// queued says whether Kueue decides when the pods start.
func (p *podSet) queued() bool { return p.object.GetLabels()[queueLabel] != "" }

// container names a container of the pods for people.
func (p *podSet) container(c *corev1.Container) string {
	return fmt.Sprintf("container %s of %s", c.Name, p.name())
}

// containers are all of the pods' containers.
func (p *podSet) containers() []*corev1.Container {
	var out []*corev1.Container
	for i := range p.spec.InitContainers {
		out = append(out, &p.spec.InitContainers[i])
	}
	for i := range p.spec.Containers {
		out = append(out, &p.spec.Containers[i])
	}
	return out
}

// pod is one of the pods as the API server admits it: requests that are left
// out are the limits, as the API's own defaults say.
func (p *podSet) pod() *corev1.Pod {
	return capacity.Admitted(&corev1.Pod{ObjectMeta: p.meta, Spec: p.spec})
}

// podSets returns the pod templates of objects, typed.
func podSets(objects []*unstructured.Unstructured) ([]podSet, error) {
	var out []podSet
	for _, obj := range objects {
		templates, err := workload.Templates(obj)
		if err != nil {
			return nil, err
		}
		for _, t := range templates {
			p := podSet{object: obj, path: t.Path, pods: workload.Replicas(t)}
			for into, from := range map[any]map[string]any{&p.spec: t.Spec(), &p.meta: t.Metadata()} {
				if err := runtime.DefaultUnstructuredConverter.FromUnstructured(runtime.DeepCopyJSON(from), into); err != nil {
					return nil, fmt.Errorf("%s: %s: %w", workload.Name(obj), strings.Trim(t.Path, "."), err)
				}
			}
			out = append(out, p)
		}
	}
	return out, nil
}

// refIn names an object in the namespace of the pods.
func (p *podSet) refIn(kind, name string) apply.Ref {
	return apply.Ref{Kind: kind, Namespace: p.namespace(), Name: name}
}
