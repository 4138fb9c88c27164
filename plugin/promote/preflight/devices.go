package preflight

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/capacity"
)

// gang is the pods of one template that have to run at the same time, and
// what one of them asks for.
type gang struct {
	capacity.Gang
	name     string
	object   *unstructured.Unstructured
	waits    bool  // Kueue starts it when there is room
	priority int32 // of pods that it may take the place of: those below
}

// devices finds out whether what is free of GPUs (and other extended
// resources), cpu and memory suffices for every pod and for all pods of all
// workloads together.
func (c *Check) devices(v *view) Report {
	report := v.blinded(CheckDevices)
	if len(report) > 0 {
		return report
	}
	var gangs []gang
	for i := range v.pods {
		p := &v.pods[i]
		if p.starts() {
			g := gangOf(p, v.admitted(p))
			g.priority = c.priority(v, p)
			gangs = append(gangs, g)
		}
	}
	// Karpenter marks the nodes that it makes.
	onDemand := c.NodesOnDemand || slices.ContainsFunc(v.nodes, func(n corev1.Node) bool { return n.Labels["karpenter.sh/nodepool"] != "" })
	return append(report, fit(v.nodes, v.running, gangs, c.frees(v), onDemand)...)
}

func gangOf(p *podSet, pod *corev1.Pod) gang {
	return gang{Gang: capacity.GangOf(pod, p.pods), name: p.name(), object: p.object, waits: p.queued()}
}

// priority is that of the pods' class; 0, below which is next to nothing, for
// none, and for one that takes nobody's place.
func (c *Check) priority(v *view, p *podSet) int32 {
	name := p.spec.PriorityClassName
	if class := v.priorityClasses[name]; class != nil {
		if class.PreemptionPolicy != nil && *class.PreemptionPolicy == corev1.PreemptNever {
			return 0
		}
		return class.Value
	}
	for _, obj := range c.Objects {
		if obj.GetKind() != "PriorityClass" || obj.GetName() != name {
			continue
		}
		value, _, _ := unstructured.NestedInt64(obj.Object, "value")
		if policy, _, _ := unstructured.NestedString(obj.Object, "preemptionPolicy"); policy != string(corev1.PreemptNever) {
			return int32(value)
		}
	}
	return 0
}

// frees says which running pods will have gone: those of workloads that the
// promotion replaces, and of runs that give way.
func (c *Check) frees(v *view) func(*corev1.Pod) bool {
	updated, leaving := replaced(v.pods), c.leaves()
	return func(pod *corev1.Pod) bool { return updated(pod) || leaving(pod) }
}

// leaves says which pods are those of earlier runs that give way.
func (c *Check) leaves() func(*corev1.Pod) bool {
	selectors := make([]labels.Selector, len(c.Leaving))
	for i, run := range c.Leaving {
		selectors[i] = labels.Nothing()
		if s, err := labels.Parse(apply.PodSelector(run)); err == nil && !s.Empty() {
			selectors[i] = s
		}
	}
	return func(pod *corev1.Pod) bool {
		for i, s := range selectors {
			if pod.Namespace == c.Leaving[i].GetNamespace() && s.Matches(labels.Set(pod.Labels)) {
				return true
			}
		}
		return false
	}
}

// replaced says which running pods the promotion replaces: those that a
// workload of the bundle selects.
func replaced(sets []podSet) func(*corev1.Pod) bool {
	type selection struct {
		namespace string
		selector  labels.Selector
	}
	var all []selection
	for i := range sets {
		match, _, _ := unstructured.NestedStringMap(sets[i].object.Object, "spec", "selector", "matchLabels")
		if len(match) > 0 {
			all = append(all, selection{sets[i].namespace(), labels.SelectorFromSet(match)})
		}
	}
	return func(pod *corev1.Pod) bool {
		return slices.ContainsFunc(all, func(s selection) bool {
			return s.namespace == pod.Namespace && s.selector.Matches(labels.Set(pod.Labels))
		})
	}
}
