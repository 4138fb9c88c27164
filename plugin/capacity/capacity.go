// Package capacity knows what is left of a cluster's nodes and quotas, and
// whether a gang finds its places there all at once. It is the arithmetic of
// the scheduler's NodeResourcesFit with node selectors, required node affinity,
// taints and cordons; what pods say of each other is the scheduler's alone.
//
// It works on values that were read before and asks no cluster.
package capacity

import (
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

// Gang is pods of one shape that have to run at the same time.
type Gang struct {
	Pods     int
	Requests corev1.ResourceList // of one pod; its place on a node ("pods") is among them
	Spec     corev1.PodSpec
}

// GangOf is so many pods like the one given, which says what it requests.
func GangOf(pod *corev1.Pod, pods int) Gang {
	g := Gang{Pods: pods, Spec: pod.Spec, Requests: corev1.ResourceList{}}
	for name, q := range resources.PodRequests(pod, resources.PodResourcesOptions{}) {
		if !q.IsZero() {
			g.Requests[name] = q
		}
	}
	g.Requests[corev1.ResourcePods] = resource.MustParse("1")
	return g
}

// All is what the whole gang requests.
func (g Gang) All() corev1.ResourceList {
	all := corev1.ResourceList{}
	Add(all, g.Requests, g.Pods)
	return all
}

// Room is what is left of each node.
type Room struct {
	Nodes []corev1.Node
	Free  []corev1.ResourceList // by node
}

// Left returns what pods leave of the nodes. Pods that have no node yet take
// nothing, nor do those that have ended; leave the latter out.
func Left(nodes []corev1.Node, pods []corev1.Pod) *Room {
	r := &Room{Nodes: nodes, Free: make([]corev1.ResourceList, len(nodes))}
	place := map[string]int{}
	for i := range nodes {
		place[nodes[i].Name] = i
		r.Free[i] = maps.Clone(nodes[i].Status.Allocatable)
		if r.Free[i] == nil {
			r.Free[i] = corev1.ResourceList{}
		}
	}
	for i := range pods {
		at, ok := place[pods[i].Spec.NodeName]
		if !ok {
			continue
		}
		subtract(r.Free[at], resources.PodRequests(&pods[i], resources.PodResourcesOptions{}))
		subtract(r.Free[at], corev1.ResourceList{corev1.ResourcePods: resource.MustParse("1")})
	}
	return r
}

// Clone returns a copy whose pods may be placed without touching the original.
func (r *Room) Clone() *Room {
	out := &Room{Nodes: r.Nodes, Free: make([]corev1.ResourceList, len(r.Free))}
	for i := range r.Free {
		out.Free[i] = maps.Clone(r.Free[i])
	}
	return out
}

// Place puts as many pods of a gang on nodes as find room, and returns how
// many that were. Pods of a gang are alike, so that the number does not depend
// on which nodes are filled first: what finds room here finds it with the
// scheduler.
func (r *Room) Place(g Gang) (placed int) {
	for ; placed < g.Pods; placed++ {
		i := r.choose(g)
		if i < 0 {
			break
		}
		subtract(r.Free[i], g.Requests)
	}
	return placed
}

// choose returns the node with the least room that takes the pod, -1 for none.
func (r *Room) choose(g Gang) int {
	best, bestDevices, bestCPU := -1, int64(0), resource.Quantity{}
	for i := range r.Nodes {
		if !Accepts(&r.Nodes[i], g) || !holds(r.Free[i], g.Requests) {
			continue
		}
		left, cpu := Devices(r.Free[i]), r.Free[i][corev1.ResourceCPU]
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

func subtract(from, what corev1.ResourceList) {
	for name, q := range what {
		if left, ok := from[name]; ok {
			left = left.DeepCopy()
			left.Sub(q)
			from[name] = left
		}
	}
}

// Accepts leaves out nodes that the pods of a gang would not go to.
func Accepts(node *corev1.Node, g Gang) bool {
	because, _ := Refuses(node, g)
	return because == ""
}

// Refuses says why the pods of a gang would not go to a node, "" where they
// would, and which taint it is where it is one. A taint named like a device
// that the pod wants is tolerated: clusters that taint so add the toleration at
// admission (ExtendedResourceToleration).
func Refuses(node *corev1.Node, g Gang) (because string, taint *corev1.Taint) {
	if node.Spec.Unschedulable {
		return "cordoned", nil
	}
	if g.Spec.NodeName != "" && g.Spec.NodeName != node.Name {
		return "not the node that nodeName names", nil
	}
	if ok, err := nodeaffinity.NewRequiredNodeAffinity(g.Spec.NodeSelector, g.Spec.Affinity).Match(node); err != nil || !ok {
		return "labels do not match the node selector or affinity", nil
	}
	for i := range node.Spec.Taints {
		taint := &node.Spec.Taints[i]
		if _, wanted := g.Requests[corev1.ResourceName(taint.Key)]; wanted || taint.Effect == corev1.TaintEffectPreferNoSchedule || stale(node, taint) {
			continue
		}
		if !slices.ContainsFunc(g.Spec.Tolerations, func(t corev1.Toleration) bool { return t.ToleratesTaint(klog.Logger{}, taint, true) }) {
			return "taint", taint
		}
	}
	return "", nil
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

// Short says what stands in the way of so many pods that find no place. before
// is the room before any gang was placed.
func (r *Room) Short(before *Room, running []corev1.Pod, g Gang, pods int) string {
	var open []int
	for i := range r.Nodes {
		if Accepts(&r.Nodes[i], g) {
			open = append(open, i)
		}
	}
	if len(open) == 0 {
		return fmt.Sprintf(": none of the %d nodes takes them (node selector, affinity, taints, cordons)", len(r.Nodes))
	}
	var parts []string
	for _, name := range Names(g.Requests) {
		each := g.Requests[name]
		left, most, fits := resource.Quantity{}, resource.Quantity{}, 0
		total := resource.Quantity{}
		for _, i := range open {
			q := r.Free[i][name]
			if q.Sign() > 0 {
				left.Add(q)
			}
			if q.Cmp(most) > 0 {
				most = q
			}
			if q.Cmp(each) >= 0 {
				fits++
			}
			if b := before.Free[i][name]; b.Sign() > 0 {
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
		if by := Holders(running, name); by != "" {
			words += "; held by " + by
		}
		parts = append(parts, words)
	}
	if len(parts) == 0 {
		return ": no node has all of it at once"
	}
	return " (" + strings.Join(parts, "; ") + ")"
}

// Total adds up what the nodes have left of the resources that are wanted.
func (r *Room) Total(wanted corev1.ResourceList) corev1.ResourceList {
	out := corev1.ResourceList{}
	for name := range wanted {
		sum := resource.Quantity{}
		for i := range r.Free {
			if q := r.Free[i][name]; q.Sign() > 0 {
				sum.Add(q)
			}
		}
		out[name] = sum
	}
	return out
}
