package preflight

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	resources "k8s.io/component-helpers/resource"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/capacity"
)

// isNew says whether an object is made by this promotion.
func (c *Check) isNew(v *view, obj *unstructured.Unstructured) bool {
	ref := apply.RefOf(obj)
	return v.live[ref] == nil && !c.Known[ref]
}

// quota adds what is new, pods × parallelism and objects, to what each
// ResourceQuota says is used. A dry run does not see the pods of a workload.
// Workloads that are there already count for nothing: their pods are used. Pods
// of earlier runs that give way are not, when the new ones come.
func (c *Check) quota(v *view) Report {
	report := v.blinded(CheckQuota)
	for _, ns := range c.namespacesWanted() {
		for i := range v.quotas[ns] {
			report = append(report, c.within(v, &v.quotas[ns][i])...)
		}
	}
	return report
}

func (c *Check) within(v *view, q *corev1.ResourceQuota) Report {
	var report Report
	next := fmt.Sprintf("kubectl describe resourcequota %s -n %s; ask for more, or free some", q.Name, q.Namespace)
	need := corev1.ResourceList{}
	for i := range v.pods {
		p := &v.pods[i]
		if p.namespace() != q.Namespace || p.there || !p.starts() {
			continue
		}
		pod := v.admitted(p)
		if !capacity.InScope(q, pod) {
			continue
		}
		if words := unstated(q, pod); words != "" {
			report.add(CheckQuota, Error, p.object, "set the resources in the overlay", "ResourceQuota %s wants every container to say its %s", q.Name, words)
		}
		capacity.Add(need, capacity.Usage(pod), p.pods)
	}
	leaves := c.leaves()
	freed := corev1.ResourceList{}
	for i := range v.running {
		if pod := &v.running[i]; pod.Namespace == q.Namespace && leaves(pod) && capacity.InScope(q, pod) {
			capacity.Add(freed, capacity.Usage(pod), 1)
		}
	}
	if !capacity.Scoped(q) {
		for _, obj := range c.Objects {
			s, ok := v.resources[obj.GroupVersionKind()]
			if !ok || obj.GetNamespace() != q.Namespace || !c.isNew(v, obj) {
				continue
			}
			group := s.resource.Resource
			if s.resource.Group != "" {
				group += "." + s.resource.Group
			}
			capacity.Add(need, objectUsage(obj, group), 1)
		}
		if q.Namespace == c.Namespace { // the record of the release
			for _, r := range []corev1.ResourceName{"count/secrets", "secrets"} {
				capacity.Add(need, corev1.ResourceList{r: resource.MustParse("1")}, 1)
			}
		}
	}
	for _, name := range capacity.Names(q.Spec.Hard) {
		hard, wanted := q.Spec.Hard[name], need[name]
		if wanted.IsZero() {
			continue
		}
		used := q.Status.Used[name].DeepCopy()
		used.Sub(freed[name])
		sum := used.DeepCopy()
		sum.Add(wanted)
		if sum.Cmp(hard) <= 0 {
			continue
		}
		short := sum.DeepCopy()
		short.Sub(hard)
		report.add(CheckQuota, Error, nil, next, "ResourceQuota %s in namespace %s: %s more of %s is needed, %s of %s is used: %s short",
			q.Name, q.Namespace, wanted.String(), name, used.String(), hard.String(), short.String())
	}
	return report
}

// objectUsage is what an object that is no pod counts for.
func objectUsage(obj *unstructured.Unstructured, groupResource string) corev1.ResourceList {
	one := resource.MustParse("1")
	out := corev1.ResourceList{corev1.ResourceName("count/" + groupResource): one}
	switch groupResource {
	case "pods":
		return nil // a pod of a template of its own
	case "configmaps", "secrets", "services", "persistentvolumeclaims", "replicationcontrollers", "resourcequotas":
		out[corev1.ResourceName(groupResource)] = one
	}
	switch groupResource {
	case "services":
		kind, _, _ := unstructured.NestedString(obj.Object, "spec", "type")
		ports, _, _ := unstructured.NestedSlice(obj.Object, "spec", "ports")
		if kind == "LoadBalancer" {
			out["services.loadbalancers"] = one
		}
		if kind == "NodePort" || kind == "LoadBalancer" {
			out["services.nodeports"] = *resource.NewQuantity(int64(len(ports)), resource.DecimalSI)
		}
	case "persistentvolumeclaims":
		class, _, _ := unstructured.NestedString(obj.Object, "spec", "storageClassName")
		size, ok := claimSize(obj)
		if ok {
			out["requests.storage"] = size
		}
		if class != "" {
			out[corev1.ResourceName(class+".storageclass.storage.k8s.io/persistentvolumeclaims")] = one
			if ok {
				out[corev1.ResourceName(class+".storageclass.storage.k8s.io/requests.storage")] = size
			}
		}
	}
	return out
}

// unstated names what a quota wants every container to say and one does not:
// cpu and memory, where the quota counts them (Constraints of the pod
// evaluator in Kubernetes).
func unstated(q *corev1.ResourceQuota, pod *corev1.Pod) string {
	if resources.IsPodLevelResourcesSet(pod) {
		return ""
	}
	var out []string
	for _, name := range capacity.Names(q.Spec.Hard) {
		base, ofLimits := strings.CutPrefix(string(name), "limits.")
		base = strings.TrimPrefix(base, "requests.")
		if base != "cpu" && base != "memory" {
			continue
		}
		for _, c := range slices.Concat(pod.Spec.InitContainers, pod.Spec.Containers) {
			list := c.Resources.Requests
			if ofLimits {
				list = c.Resources.Limits
			}
			if _, ok := list[corev1.ResourceName(base)]; !ok {
				out = append(out, fmt.Sprintf("%s (%s does not)", name, c.Name))
			}
		}
	}
	return strings.Join(out, ", ")
}
