package preflight

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ai/kubectl-ai/plugin/capacity"
)

func node(name string, gpus int64, edit func(*corev1.Node)) corev1.Node {
	n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	n.Status.Allocatable = corev1.ResourceList{gpu: *resource.NewQuantity(gpus, resource.DecimalSI), "cpu": resource.MustParse("4"), "memory": resource.MustParse("8Gi"), "pods": resource.MustParse("10")}
	if edit != nil {
		edit(&n)
	}
	return n
}

// training is a gang of pods with so many GPUs each.
func training(t *testing.T, pods int, gpus int64, edit func(*corev1.PodSpec)) gang {
	t.Helper()
	_, v := seen(t, fmt.Sprintf(`{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {parallelism: %d, completions: %[1]d, template: {spec: {containers: [{name: c, image: i, resources: {limits: {nvidia.com/gpu: %d, memory: 1Gi}}}]}}}}`, pods, gpus))
	p := &v.pods[0]
	if edit != nil {
		edit(&p.spec)
	}
	return gangOf(p, v.admitted(p))
}

func holder(nodeName string, gpus int64, labels map[string]string) corev1.Pod {
	p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "holder", Labels: labels}}
	p.Spec.NodeName = nodeName
	q := corev1.ResourceList{gpu: *resource.NewQuantity(gpus, resource.DecimalSI)}
	p.Spec.Containers = []corev1.Container{{Resources: corev1.ResourceRequirements{Limits: q, Requests: q}}}
	return p
}

func TestFit(t *testing.T) {
	tainted := func(n *corev1.Node) {
		n.Spec.Taints = []corev1.Taint{{Key: "team", Value: "a", Effect: corev1.TaintEffectNoSchedule}}
	}
	// notReady is the taint by which the node controller reports the condition.
	notReady := func(ready corev1.ConditionStatus) func(*corev1.Node) {
		return func(n *corev1.Node) {
			n.Spec.Taints = []corev1.Taint{{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoExecute}}
			n.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: ready}}
		}
	}
	zone := func(n *corev1.Node) { n.Labels = map[string]string{"zone": "a"} }
	inZone := func(z string) func(*corev1.PodSpec) {
		return func(s *corev1.PodSpec) {
			s.Affinity = &corev1.Affinity{NodeAffinity: &corev1.NodeAffinity{RequiredDuringSchedulingIgnoredDuringExecution: &corev1.NodeSelector{
				NodeSelectorTerms: []corev1.NodeSelectorTerm{{MatchExpressions: []corev1.NodeSelectorRequirement{{Key: "zone", Operator: corev1.NodeSelectorOpIn, Values: []string{z}}}}},
			}}}
		}
	}
	asking := func(cpu, memory string) func(*corev1.PodSpec) {
		return func(s *corev1.PodSpec) {
			s.Containers[0].Resources = corev1.ResourceRequirements{Requests: amounts("cpu", cpu, "memory", memory)}
		}
	}
	mig := func(n *corev1.Node) {
		n.Status.Allocatable["nvidia.com/mig-1g.10gb"] = resource.MustParse("2")
		delete(n.Status.Allocatable, gpu)
	}
	slice := func(s *corev1.PodSpec) {
		s.Containers[0].Resources.Limits = amounts("nvidia.com/mig-1g.10gb", "1")
	}
	for _, c := range []struct {
		name  string
		nodes []corev1.Node
		pods  []corev1.Pod
		gangs []gang
		says  string // "" = it fits
	}{
		{name: "enough", nodes: []corev1.Node{node("a", 2, nil), node("b", 2, nil)}, gangs: []gang{training(t, 4, 1, nil)}},
		{name: "one short for the gang", nodes: []corev1.Node{node("a", 2, nil), node("b", 1, nil)}, gangs: []gang{training(t, 4, 1, nil)}, says: "free: 3 nvidia.com/gpu on 2 nodes, 1 short"},
		{name: "enough in all, on no node enough for a pod", nodes: []corev1.Node{node("a", 2, nil), node("b", 2, nil)}, gangs: []gang{training(t, 1, 4, nil)}, says: "at most 2 of it on one"},
		{name: "running pods hold theirs, and are named", nodes: []corev1.Node{node("a", 4, nil)}, pods: []corev1.Pod{holder("a", 2, nil)}, gangs: []gang{training(t, 3, 1, nil)}, says: "free: 2 nvidia.com/gpu on 1 nodes, 1 short; held by ns/holder (2)"},
		{name: "pods that are replaced give theirs back", nodes: []corev1.Node{node("a", 4, nil)}, pods: []corev1.Pod{holder("a", 2, map[string]string{"app": "old"})}, gangs: []gang{training(t, 4, 1, nil)}},
		{name: "two gangs at once", nodes: []corev1.Node{node("a", 4, nil)}, gangs: []gang{training(t, 3, 1, nil), training(t, 2, 1, nil)}, says: "needs 2Gi memory, 2 nvidia.com/gpu"},
		{name: "a cordoned node", nodes: []corev1.Node{node("a", 4, func(n *corev1.Node) { n.Spec.Unschedulable = true })}, gangs: []gang{training(t, 1, 1, nil)}, says: "none of the 1 nodes takes them"},
		{name: "a taint", nodes: []corev1.Node{node("a", 4, tainted)}, gangs: []gang{training(t, 1, 1, nil)}, says: "none of the 1 nodes"},
		{name: "a taint that is tolerated", nodes: []corev1.Node{node("a", 4, tainted)}, gangs: []gang{training(t, 1, 1, func(s *corev1.PodSpec) {
			s.Tolerations = []corev1.Toleration{{Key: "team", Operator: corev1.TolerationOpEqual, Value: "a"}}
		})}},
		{name: "a taint named like the device", nodes: []corev1.Node{node("a", 4, func(n *corev1.Node) {
			n.Spec.Taints = []corev1.Taint{{Key: gpu, Value: "present", Effect: corev1.TaintEffectNoSchedule}}
		})}, gangs: []gang{training(t, 1, 1, nil)}},
		{name: "a node that is ready and whose taint is not gone yet", nodes: []corev1.Node{node("a", 4, notReady(corev1.ConditionTrue))}, gangs: []gang{training(t, 1, 1, nil)}},
		{name: "a node that is not ready", nodes: []corev1.Node{node("a", 4, notReady(corev1.ConditionFalse))}, gangs: []gang{training(t, 1, 1, nil)}, says: "none of the 1 nodes"},
		{name: "a node selector", nodes: []corev1.Node{node("a", 4, nil)}, gangs: []gang{training(t, 1, 1, func(s *corev1.PodSpec) { s.NodeSelector = map[string]string{"gpu": "h100"} })}, says: "none of the 1 nodes"},
		{name: "an architecture", nodes: []corev1.Node{node("a", 4, func(n *corev1.Node) { n.Labels = map[string]string{"kubernetes.io/arch": "arm64"} })}, gangs: []gang{training(t, 1, 1, func(s *corev1.PodSpec) { s.NodeSelector = map[string]string{"kubernetes.io/arch": "amd64"} })}, says: "none of the 1 nodes"},
		{name: "node affinity that fits", nodes: []corev1.Node{node("a", 4, zone)}, gangs: []gang{training(t, 1, 1, inZone("a"))}},
		{name: "node affinity that fits nowhere", nodes: []corev1.Node{node("a", 4, zone)}, gangs: []gang{training(t, 1, 1, inZone("b"))}, says: "none of the 1 nodes"},
		{name: "node affinity leaves one node", nodes: []corev1.Node{node("a", 1, zone), node("b", 4, nil)}, gangs: []gang{training(t, 2, 1, inZone("a"))}, says: "free: 1 nvidia.com/gpu on 1 nodes, 1 short"},
		{name: "cpu is short too", nodes: []corev1.Node{node("a", 0, nil)}, gangs: []gang{training(t, 3, 1, asking("1500m", "1Gi"))}, says: "free: 4 cpu on 1 nodes, 500m short"},
		{name: "memory is short too", nodes: []corev1.Node{node("a", 0, nil)}, gangs: []gang{training(t, 3, 1, asking("100m", "3Gi"))}, says: "free: 8Gi memory on 1 nodes, 1Gi short"},
		{name: "more pods than a node takes", nodes: []corev1.Node{node("a", 0, nil)}, gangs: []gang{training(t, 11, 1, asking("1m", "1Mi"))}, says: "10 of them find a place"},
		{name: "MIG slices", nodes: []corev1.Node{node("a", 0, mig)}, gangs: []gang{training(t, 2, 1, slice)}},
		{name: "too few MIG slices", nodes: []corev1.Node{node("a", 0, mig)}, gangs: []gang{training(t, 3, 1, slice)}, says: "free: 2 nvidia.com/mig-1g.10gb on 1 nodes, 1 short"},
	} {
		t.Run(c.name, func(t *testing.T) {
			report := fit(c.nodes, c.pods, c.gangs, func(p *corev1.Pod) bool { return p.Labels["app"] == "old" }, false)
			err := report.Err()
			if (err != nil) != (c.says != "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("err = %v, want %q", err, c.says)
			}
		})
	}
	t.Run("nodes on demand, and Kueue, make it a warning", func(t *testing.T) {
		nodes := []corev1.Node{node("a", 0, nil)}
		never := func(*corev1.Pod) bool { return false }
		expect(t, fit(nodes, nil, []gang{training(t, 1, 1, nil)}, never, true), "warning needs 1Gi memory, 1 nvidia.com/gpu")
		queued := training(t, 1, 1, nil)
		queued.waits = true
		expect(t, fit(nodes, nil, []gang{queued}, never, false), "warning needs 1Gi memory")
	})
	t.Run("pods of a lower priority make room", func(t *testing.T) {
		low, never := holder("a", 2, nil), func(*corev1.Pod) bool { return false }
		low.Spec.Priority = new(int32)
		urgent := training(t, 2, 1, nil)
		expect(t, fit([]corev1.Node{node("a", 2, nil)}, []corev1.Pod{low}, []gang{urgent}, never, false), "error held by ns/holder (2)")
		urgent.priority = 1000
		expect(t, fit([]corev1.Node{node("a", 2, nil)}, []corev1.Pod{low}, []gang{urgent}, never, false), "warning held by ns/holder (2)")
	})
	t.Run("what is needed and free is said", func(t *testing.T) {
		expect(t, fit([]corev1.Node{node("a", 4, nil)}, nil, []gang{training(t, 2, 1, nil)}, func(*corev1.Pod) bool { return false }, false), "info 2 nvidia.com/gpu needed, free: 4 nvidia.com/gpu")
	})
}

func TestWhatThePromotionStarts(t *testing.T) {
	const spec = `template: {spec: {containers: [{name: c, image: i}]}}`
	for _, c := range []struct {
		name, object string
		there        bool
		want         bool
	}{
		{"a new Job", `{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {` + spec + `}}`, false, true},
		{"a Job that is there", `{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {` + spec + `}}`, true, false},
		{"a suspended Job", `{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {suspend: true, ` + spec + `}}`, false, false},
		{"a CronJob", `{apiVersion: batch/v1, kind: CronJob, metadata: {name: j}, spec: {jobTemplate: {spec: {` + spec + `}}}}`, false, false},
		{"a Deployment that is there", `{apiVersion: apps/v1, kind: Deployment, metadata: {name: j}, spec: {` + spec + `}}`, true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, v := seen(t, c.object)
			v.pods[0].there = c.there
			if got := v.pods[0].starts(); got != c.want {
				t.Errorf("starts = %v", got)
			}
		})
	}
}

func TestDevicesAreCheckedOnlyWhenNodesAndPodsAreSeen(t *testing.T) {
	check, v := seen(t, `{apiVersion: batch/v1, kind: Job, metadata: {name: j}, spec: {template: {spec: {containers: [{name: c, image: i, resources: {limits: {nvidia.com/gpu: 9}}}]}}}}`)
	expect(t, check.devices(v), "error 9 nvidia.com/gpu")
	v.blind[CheckDevices] = []string{"list nodes"}
	expect(t, check.devices(v), "warning could not be checked in full: list nodes is not permitted")
}

func TestOnlyExtendedResourcesAreDevices(t *testing.T) {
	for name, want := range map[string]bool{gpu: true, "nvidia.com/mig-1g.10gb": true, "cpu": false, "hugepages-2Mi": false, "kubernetes.io/x": false, "attach.kubernetes.io/x": false} {
		if capacity.Extended(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
	if diff := cmp.Diff("2 amd.com/gpu, 500m cpu", capacity.Quantities(amounts("cpu", "500m", "amd.com/gpu", "2", "pods", "1"))); diff != "" {
		t.Error(diff)
	}
}
