package preflight

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// fit places the gangs on the nodes, the most demanding pods first, and says
// what does not find a place. It looks at devices, node selectors, taints and
// cordons; affinity and other resources are the scheduler's.
func fit(nodes []corev1.Node, pods []corev1.Pod, gangs []gang, releasing func(*corev1.Pod) bool) Report {
	free := make([]map[string]int64, len(nodes))
	place := map[string]int{}
	for i, n := range nodes {
		place[n.Name] = i
		free[i] = map[string]int64{}
		for name, q := range n.Status.Allocatable {
			if extended(string(name)) {
				free[i][string(name)] = q.Value()
			}
		}
	}
	for _, p := range pods {
		i, ok := place[p.Spec.NodeName]
		if !ok || releasing(&p) {
			continue
		}
		for name, n := range devicesOf(&p.Spec) {
			free[i][name] -= n
		}
	}
	total := map[string]int64{}
	for i := range free {
		for name, n := range free[i] {
			total[name] += max(n, 0)
		}
	}
	var report Report
	ordered := slices.Clone(gangs)
	slices.SortStableFunc(ordered, func(a, b gang) int { return int(sum(b.devices) - sum(a.devices)) })
	for _, g := range ordered {
		placed := 0
		for range g.pods {
			i := choose(nodes, free, g)
			if i < 0 {
				break
			}
			for name, n := range g.devices {
				free[i][name] -= n
			}
			placed++
		}
		if placed < g.pods {
			all := map[string]int64{}
			for name, n := range g.devices {
				all[name] = n * int64(g.pods)
			}
			report = append(report, Finding{CheckDevices, Error, fmt.Sprintf(
				"%s needs %s at the same time, for %d pods with %s each, and %d of them find a place (free: %s)",
				g.name, words(all), g.pods, words(g.devices), placed, freeWords(g.devices, total))})
		}
	}
	if len(report) == 0 && len(gangs) > 0 {
		want := map[string]int64{}
		for _, g := range gangs {
			for name, n := range g.devices {
				want[name] += n * int64(g.pods)
			}
		}
		report = append(report, Finding{CheckDevices, Info, fmt.Sprintf("%s needed, free: %s", words(want), freeWords(want, total))})
	}
	return report
}

// choose returns the node with the least room that takes the pod, -1 for none.
func choose(nodes []corev1.Node, free []map[string]int64, g gang) int {
	best, bestRoom := -1, int64(0)
	for i := range nodes {
		if !accepts(&nodes[i], g) {
			continue
		}
		room := int64(0)
		fits := true
		for name, n := range g.devices {
			if free[i][name] < n {
				fits = false
				break
			}
			room += free[i][name] - n
		}
		if fits && (best < 0 || room < bestRoom) {
			best, bestRoom = i, room
		}
	}
	return best
}

// accepts leaves out nodes that the pods of a gang would not go to. A taint
// named like a device that the pod wants is tolerated: clusters that taint so
// add the toleration at admission (ExtendedResourceToleration).
func accepts(node *corev1.Node, g gang) bool {
	spec := &g.spec
	if node.Spec.Unschedulable {
		return false
	}
	for k, v := range spec.NodeSelector {
		if node.Labels[k] != v {
			return false
		}
	}
	for i := range node.Spec.Taints {
		taint := &node.Spec.Taints[i]
		if _, wanted := g.devices[taint.Key]; wanted || taint.Effect == corev1.TaintEffectPreferNoSchedule || stale(node, taint) {
			continue
		}
		if !slices.ContainsFunc(spec.Tolerations, func(t corev1.Toleration) bool { return tolerates(t, taint) }) {
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

// tolerates follows the definition of tolerations in the core API.
func tolerates(t corev1.Toleration, taint *corev1.Taint) bool {
	if t.Effect != "" && t.Effect != taint.Effect {
		return false
	}
	if t.Key == "" {
		return t.Operator == corev1.TolerationOpExists
	}
	if t.Key != taint.Key {
		return false
	}
	return t.Operator == corev1.TolerationOpExists || t.Value == taint.Value
}

func sum(m map[string]int64) int64 {
	var n int64
	for _, v := range m {
		n += v
	}
	return n
}

func words(m map[string]int64) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, fmt.Sprintf("%d %s", m[name], name))
	}
	return strings.Join(parts, ", ")
}

func freeWords(want, total map[string]int64) string {
	out := map[string]int64{}
	for name := range want {
		out[name] = total[name]
	}
	return words(out)
}
