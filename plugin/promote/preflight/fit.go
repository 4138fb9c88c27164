package preflight

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	resources "k8s.io/component-helpers/resource"
	"k8s.io/component-helpers/scheduling/corev1/nodeaffinity"
	"k8s.io/klog/v2"
)

// fit places the gangs on the nodes, the most demanding pods first, and says
// what does not find a place, by how much, and who holds it. It looks at all
// resources, node selectors, required node affinity, taints and cordons; what
// pods say of each other is the scheduler's.
func fit(nodes []corev1.Node, running []corev1.Pod, gangs []gang, releasing func(*corev1.Pod) bool, onDemand bool) Report {
	var report Report
	held := slices.DeleteFunc(slices.Clone(running), func(p corev1.Pod) bool { return releasing(&p) })
	free := room(nodes, held)
	before := make([]corev1.ResourceList, len(free))
	for i := range free {
		before[i] = maps.Clone(free[i])
	}
	ordered := slices.Clone(gangs)
	slices.SortStableFunc(ordered, func(a, b gang) int {
		return cmp.Or(cmp.Compare(deviceCount(b.requests), deviceCount(a.requests)), b.requests.Cpu().Cmp(*a.requests.Cpu()))
	})
	want := corev1.ResourceList{}
	for _, g := range ordered {
		add(want, g.requests, g.pods)
		placed := 0
		for range g.pods {
			i := choose(nodes, free, g)
			if i < 0 {
				break
			}
			subtract(free[i], g.requests)
			placed++
		}
		if placed == g.pods {
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
		needs := fmt.Sprintf("%s has %d pods", g.name, g.pods)
		if each := quantities(g.requests); each != "" {
			all := corev1.ResourceList{}
			add(all, g.requests, g.pods)
			needs = fmt.Sprintf("%s needs %s at the same time, for %d pods with %s each", g.name, quantities(all), g.pods, each)
		}
		report.add(CheckDevices, level, g.object, next, "%s, and %d of them find a place%s", needs, placed, short(nodes, free, before, held, g, g.pods-placed))
	}
	if len(report) == 0 && deviceCount(want) > 0 {
		gpus := corev1.ResourceList{}
		for name, q := range want {
			if extended(string(name)) {
				gpus[name] = q
			}
		}
		report.add(CheckDevices, Info, nil, "", "%s needed, free: %s", quantities(gpus), quantities(totals(before, gpus)))
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
	free := room(nodes, stay)
	for range g.pods {
		i := choose(nodes, free, g)
		if i < 0 {
			return false
		}
		subtract(free[i], g.requests)
	}
	return true
}

// room is what is left of each node.
func room(nodes []corev1.Node, pods []corev1.Pod) []corev1.ResourceList {
	free := make([]corev1.ResourceList, len(nodes))
	place := map[string]int{}
	for i := range nodes {
		place[nodes[i].Name] = i
		free[i] = maps.Clone(nodes[i].Status.Allocatable)
		if free[i] == nil {
			free[i] = corev1.ResourceList{}
		}
	}
	for i := range pods {
		at, ok := place[pods[i].Spec.NodeName]
		if !ok {
			continue
		}
		subtract(free[at], resources.PodRequests(&pods[i], resources.PodResourcesOptions{}))
		subtract(free[at], corev1.ResourceList{corev1.ResourcePods: resource.MustParse("1")})
	}
	return free
}

func subtract(from, what corev1.ResourceList) {
	for name, q := range what {
		if left, ok := from[name]; ok {
			left = left.DeepCopy()
			left.Sub(q)
			from[name] = left
		}
	}
}

// deviceCount counts the extended resources in a list.
func deviceCount(list corev1.ResourceList) int64 {
	var n int64
	for name, q := range list {
		if extended(string(name)) {
			n += q.Value()
		}
	}
	return n
}

// totals adds up what the nodes have left of the resources that are wanted.
func totals(free []corev1.ResourceList, wanted corev1.ResourceList) corev1.ResourceList {
	out := corev1.ResourceList{}
	for name := range wanted {
		sum := resource.Quantity{}
		for i := range free {
			if q := free[i][name]; q.Sign() > 0 {
				sum.Add(q)
			}
		}
		out[name] = sum
	}
	return out
}

// short says what stands in the way of the pods that find no place.
func short(nodes []corev1.Node, free, before []corev1.ResourceList, running []corev1.Pod, g gang, pods int) string {
	var open []int
	for i := range nodes {
		if accepts(&nodes[i], g) {
			open = append(open, i)
		}
	}
	if len(open) == 0 {
		return fmt.Sprintf(": none of the %d nodes takes them (node selector, affinity, taints, cordons)", len(nodes))
	}
	var parts []string
	for _, name := range names(g.requests) {
		each := g.requests[name]
		left, most, fits := resource.Quantity{}, resource.Quantity{}, 0
		total := resource.Quantity{}
		for _, i := range open {
			q := free[i][name]
			if q.Sign() > 0 {
				left.Add(q)
			}
			if q.Cmp(most) > 0 {
				most = q
			}
			if q.Cmp(each) >= 0 {
				fits++
			}
			if b := before[i][name]; b.Sign() > 0 {
				total.Add(b)
			}
		}
		if fits > 0 {
			continue // not what is short
		}
		lack := resource.Quantity{}
		for range pods {
			lack.Add(each)
		}
		lack.Sub(left)
		words := fmt.Sprintf("free: %s %s on %d nodes", total.String(), name, len(open))
		if lack.Sign() > 0 {
			words += fmt.Sprintf(", %s short", lack.String())
		} else {
			words += fmt.Sprintf(", at most %s of it on one", most.String())
		}
		if by := holders(running, name); by != "" {
			words += "; held by " + by
		}
		parts = append(parts, words)
	}
	if len(parts) == 0 {
		return ": no node has all of it at once"
	}
	return " (" + strings.Join(parts, "; ") + ")"
}

// choose returns the node with the least room that takes the pod, -1 for none.
func choose(nodes []corev1.Node, free []corev1.ResourceList, g gang) int {
	best, bestDevices, bestCPU := -1, int64(0), resource.Quantity{}
	for i := range nodes {
		if !accepts(&nodes[i], g) || !holds(free[i], g.requests) {
			continue
		}
		left, cpu := deviceCount(free[i]), free[i][corev1.ResourceCPU]
		if best < 0 || left < bestDevices || left == bestDevices && cpu.Cmp(bestCPU) < 0 {
			best, bestDevices, bestCPU = i, left, cpu
		}
	}
	return best
}

func holds(free, wanted corev1.ResourceList) bool {
	for name, q := range wanted {
		left, ok := free[name]
		if !ok && name == corev1.ResourcePods {
			continue // said by every kubelet
		}
		if left.Cmp(q) < 0 {
			return false
		}
	}
	return true
}

// accepts leaves out nodes that the pods of a gang would not go to. A taint
// named like a device that the pod wants is tolerated: clusters that taint so
// add the toleration at admission (ExtendedResourceToleration).
func accepts(node *corev1.Node, g gang) bool {
	if node.Spec.Unschedulable {
		return false
	}
	if g.spec.NodeName != "" && g.spec.NodeName != node.Name {
		return false
	}
	if ok, err := nodeaffinity.NewRequiredNodeAffinity(g.spec.NodeSelector, g.spec.Affinity).Match(node); err != nil || !ok {
		return false
	}
	for i := range node.Spec.Taints {
		taint := &node.Spec.Taints[i]
		if _, wanted := g.requests[corev1.ResourceName(taint.Key)]; wanted || taint.Effect == corev1.TaintEffectPreferNoSchedule || stale(node, taint) {
			continue
		}
		if !slices.ContainsFunc(g.spec.Tolerations, func(t corev1.Toleration) bool { return t.ToleratesTaint(klog.Logger{}, taint, true) }) {
			return false
		}
	}
	return true
}

// stale says whether a taint reports a condition that is over. The node
// controller takes not-ready and unreachable away in a pass every few seconds,
// so they outlive a node's getting ready; the condition itself is current.
func stale(node *corev1.Node, taint *corev1.Taint) bool {
	if taint.Key != corev1.TaintNodeNotReady && taint.Key != corev1.TaintNodeUnreachable {
		return false
	}
	return slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionTrue
	})
}
