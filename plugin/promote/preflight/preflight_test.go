package preflight

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const gpu = "nvidia.com/gpu"

func node(name string, gpus int64, edit func(*corev1.Node)) corev1.Node {
	n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}
	n.Status.Allocatable = corev1.ResourceList{gpu: *resource.NewQuantity(gpus, resource.DecimalSI), "cpu": resource.MustParse("4")}
	if edit != nil {
		edit(&n)
	}
	return n
}

func spec(gpus int64) corev1.PodSpec {
	return corev1.PodSpec{Containers: []corev1.Container{{Resources: corev1.ResourceRequirements{
		Limits: corev1.ResourceList{gpu: *resource.NewQuantity(gpus, resource.DecimalSI), "memory": resource.MustParse("1Gi")},
	}}}}
}

func gangOf(pods int, gpus int64, edit func(*corev1.PodSpec)) gang {
	s := spec(gpus)
	if edit != nil {
		edit(&s)
	}
	return gang{name: "Job/j", pods: pods, devices: devicesOf(&s), spec: s}
}

func holding(nodeName string, gpus int64, labels map[string]string) corev1.Pod {
	p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Labels: labels}, Spec: spec(gpus)}
	p.Spec.NodeName = nodeName
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
	for _, c := range []struct {
		name  string
		nodes []corev1.Node
		pods  []corev1.Pod
		gangs []gang
		says  string // "" = it fits
	}{
		{name: "enough", nodes: []corev1.Node{node("a", 2, nil), node("b", 2, nil)}, gangs: []gang{gangOf(4, 1, nil)}},
		{name: "one short for the gang", nodes: []corev1.Node{node("a", 2, nil), node("b", 1, nil)}, gangs: []gang{gangOf(4, 1, nil)}, says: "needs 4 nvidia.com/gpu"},
		{name: "enough in all, on no node enough for a pod", nodes: []corev1.Node{node("a", 2, nil), node("b", 2, nil)}, gangs: []gang{gangOf(1, 4, nil)}, says: "0 of them find a place"},
		{name: "running pods hold theirs", nodes: []corev1.Node{node("a", 4, nil)}, pods: []corev1.Pod{holding("a", 2, nil)}, gangs: []gang{gangOf(3, 1, nil)}, says: "free: 2 nvidia.com/gpu"},
		{name: "pods that are replaced give theirs back", nodes: []corev1.Node{node("a", 4, nil)}, pods: []corev1.Pod{holding("a", 2, map[string]string{"app": "old"})}, gangs: []gang{gangOf(4, 1, nil)}},
		{name: "two gangs at once", nodes: []corev1.Node{node("a", 4, nil)}, gangs: []gang{gangOf(3, 1, nil), gangOf(2, 1, nil)}, says: "needs 2 nvidia.com/gpu"},
		{name: "a cordoned node", nodes: []corev1.Node{node("a", 4, func(n *corev1.Node) { n.Spec.Unschedulable = true })}, gangs: []gang{gangOf(1, 1, nil)}, says: "0 of them"},
		{name: "a taint", nodes: []corev1.Node{node("a", 4, tainted)}, gangs: []gang{gangOf(1, 1, nil)}, says: "0 of them"},
		{name: "a taint that is tolerated", nodes: []corev1.Node{node("a", 4, tainted)}, gangs: []gang{gangOf(1, 1, func(s *corev1.PodSpec) {
			s.Tolerations = []corev1.Toleration{{Key: "team", Operator: corev1.TolerationOpEqual, Value: "a"}}
		})}},
		{name: "a taint named like the device", nodes: []corev1.Node{node("a", 4, func(n *corev1.Node) {
			n.Spec.Taints = []corev1.Taint{{Key: gpu, Value: "present", Effect: corev1.TaintEffectNoSchedule}}
		})}, gangs: []gang{gangOf(1, 1, nil)}},
		{name: "a node that is ready and whose taint is not gone yet", nodes: []corev1.Node{node("a", 4, notReady(corev1.ConditionTrue))}, gangs: []gang{gangOf(1, 1, nil)}},
		{name: "a node that is not ready", nodes: []corev1.Node{node("a", 4, notReady(corev1.ConditionFalse))}, gangs: []gang{gangOf(1, 1, nil)}, says: "0 of them"},
		{name: "a node selector", nodes: []corev1.Node{node("a", 4, nil)}, gangs: []gang{gangOf(1, 1, func(s *corev1.PodSpec) { s.NodeSelector = map[string]string{"gpu": "h100"} })}, says: "0 of them"},
	} {
		t.Run(c.name, func(t *testing.T) {
			report := fit(c.nodes, c.pods, c.gangs, func(p *corev1.Pod) bool { return p.Labels["app"] == "old" })
			err := report.Err()
			if (err != nil) != (c.says != "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("err = %v, want %q", err, c.says)
			}
		})
	}
}

func TestOnlyExtendedResourcesAreDevices(t *testing.T) {
	s := spec(2)
	s.InitContainers = []corev1.Container{{Resources: corev1.ResourceRequirements{Limits: corev1.ResourceList{gpu: resource.MustParse("3"), "amd.com/gpu": resource.MustParse("1")}}}}
	if diff := cmp.Diff(map[string]int64{gpu: 3, "amd.com/gpu": 1}, devicesOf(&s)); diff != "" {
		t.Error(diff)
	}
	for name, want := range map[string]bool{gpu: true, "nvidia.com/mig-1g.10gb": true, "cpu": false, "hugepages-2Mi": false, "kubernetes.io/x": false, "attach.kubernetes.io/x": false} {
		if extended(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}

func TestRulesGrant(t *testing.T) {
	for _, c := range []struct {
		rule rule
		want bool
	}{
		{rule{[]string{"*"}, []string{"*"}, []string{"*"}}, true},
		{rule{[]string{"get", "create"}, []string{"batch"}, []string{"jobs"}}, true},
		{rule{[]string{"get"}, []string{"batch"}, []string{"jobs"}}, false},
		{rule{[]string{"create"}, []string{""}, []string{"jobs"}}, false},
		{rule{[]string{"create"}, []string{"batch"}, []string{"cronjobs"}}, false},
	} {
		if got := c.rule.grants(need{"batch", "jobs", "ns", "create"}); got != c.want {
			t.Errorf("%+v: %v", c.rule, got)
		}
	}
}

func TestMissingVerbsOfOneResourceAreOneLine(t *testing.T) {
	got := merge([]need{{"", "secrets", "ns", "get"}, {"batch", "jobs", "ns", "create"}, {"", "secrets", "ns", "list"}, {"", "nodes", "", "get"}})
	want := []string{"get nodes cluster-wide", "get, list secrets in namespace ns", "create jobs.batch in namespace ns"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAReportIsAnErrorWhenItHoldsOne(t *testing.T) {
	report := Report{{CheckServer, Info, "v1"}, {CheckAccess, Error, "a"}, {CheckDevices, Warning, "w"}, {CheckAccess, Error, "b"}}
	var failed *FailedError
	if !errors.As(report.Err(), &failed) || len(failed.Findings) != 2 || !failed.OnlyAccess() {
		t.Errorf("err = %v", report.Err())
	}
	if err := report[:1].Err(); err != nil {
		t.Error(err)
	}
}
