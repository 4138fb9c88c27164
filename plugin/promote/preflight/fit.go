package preflight

import (
	"cmp"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-ai/kubectl-ai/plugin/capacity"
)

// fit places the gangs on the nodes, the most demanding pods first, and says
// what does not find a place, by how much, and who holds it. It looks at all
// resources, node selectors, required node affinity, taints and cordons; what
// pods say of each other is the scheduler's.
func fit(nodes []corev1.Node, running []corev1.Pod, gangs []gang, releasing func(*corev1.Pod) bool, onDemand bool) Report {
	var report Report
	held := slices.DeleteFunc(slices.Clone(running), func(p corev1.Pod) bool { return releasing(&p) })
	before := capacity.Left(nodes, held)
	room := before.Clone()
	ordered := slices.Clone(gangs)
	slices.SortStableFunc(ordered, func(a, b gang) int {
		return cmp.Or(cmp.Compare(capacity.Devices(b.Requests), capacity.Devices(a.Requests)), b.Requests.Cpu().Cmp(*a.Requests.Cpu()))
	})
	want := corev1.ResourceList{}
	for _, g := range ordered {
		capacity.Add(want, g.Requests, g.Pods)
		placed := room.Place(g.Gang)
		if placed == g.Pods {
			continue
		}
		level, next := Error, "free some, ask for less in the overlay, or add nodes; where they are made on demand, give them time by --unschedulable-grace"
		switch {
		case g.waits:
			level, next = Warning, "Kueue starts it when there is room"
		case onDemand:
			level, next = Warning, "nodes are made on demand here; --unschedulable-grace says how long a pod may wait for one"
		case preempts(nodes, held, g):
			level, next = Warning, "the scheduler ends pods of a lower priority for it"
		}
		needs := fmt.Sprintf("%s has %d pods", g.name, g.Pods)
		if each := capacity.Quantities(g.Requests); each != "" {
			needs = fmt.Sprintf("%s needs %s at the same time, for %d pods with %s each", g.name, capacity.Quantities(g.All()), g.Pods, each)
		}
		report.add(CheckDevices, level, g.object, next, "%s, and %d of them find a place%s", needs, placed, room.Short(before, held, g.Gang, g.Pods-placed))
	}
	if len(report) == 0 && capacity.Devices(want) > 0 {
		gpus := corev1.ResourceList{}
		for name, q := range want {
			if capacity.Extended(string(name)) {
				gpus[name] = q
			}
		}
		report.add(CheckDevices, Info, nil, "", "%s needed, free: %s", capacity.Quantities(gpus), capacity.Quantities(before.Total(gpus)))
	}
	return report
}

// preempts says whether a gang finds its places where pods of a lower priority
// are now.
func preempts(nodes []corev1.Node, running []corev1.Pod, g gang) bool {
	stay := slices.DeleteFunc(slices.Clone(running), func(p corev1.Pod) bool {
		return p.Spec.Priority != nil && *p.Spec.Priority < g.priority
	})
	if len(stay) == len(running) {
		return false
	}
	return capacity.Left(nodes, stay).Place(g.Gang) == g.Pods
}
