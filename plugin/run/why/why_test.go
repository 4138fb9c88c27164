package why

import (
	"fmt"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/run"
	"github.com/kubectl-ai/kubectl-ai/plugin/run/admit"
)

func amounts(pairs ...string) corev1.ResourceList {
	out := corev1.ResourceList{}
	for i := 0; i < len(pairs); i += 2 {
		out[corev1.ResourceName(pairs[i])] = resource.MustParse(pairs[i+1])
	}
	return out
}

// job wants so much for each of its ranks.
func job(ranks int32, limits corev1.ResourceList) *batchv1.Job {
	suspended := true
	j := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "train-me", Namespace: "ns", UID: "1", Labels: map[string]string{run.IDLabel: "me"}}}
	j.Spec.Parallelism, j.Spec.Suspend = &ranks, &suspended
	j.Spec.Template.Spec.Containers = []corev1.Container{{Name: "main", Resources: corev1.ResourceRequirements{Limits: limits}}}
	return j
}

// pod holds GPUs for a run ("": for nobody's) since a second.
func pod(name, id string, since int64, gpus string) corev1.Pod {
	p := corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ns", CreationTimestamp: metav1.Unix(since, 0), Labels: map[string]string{}}}
	if id != "" {
		p.Labels[run.IDLabel] = id
	}
	p.Spec.NodeName = "n"
	p.Spec.Containers = []corev1.Container{{Name: "main", Resources: corev1.ResourceRequirements{Requests: amounts("nvidia.com/gpu", gpus)}}}
	return p
}

func node(edit func(*corev1.Node)) []corev1.Node {
	n := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}}
	n.Status.Allocatable = amounts("nvidia.com/gpu", "8", "cpu", "4", "pods", "20")
	if edit != nil {
		edit(&n)
	}
	return []corev1.Node{n}
}

func TestWhyARunWaits(t *testing.T) {
	gpus := func(n string) corev1.ResourceList { return amounts("nvidia.com/gpu", n) }
	quota := corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "q", Namespace: "ns"}}
	quota.Spec.Hard = amounts("pods", "1")
	kueue := job(1, gpus("1"))
	kueue.Labels[run.QueueLabel] = "gpus"
	for _, c := range []struct {
		name    string
		job     *batchv1.Job
		seen    admit.Seen
		kind    string
		says    string
		next    string
		holders []string
	}{
		{
			"others hold it", job(4, gpus("1")),
			admit.Seen{Nodes: node(nil), Pods: []corev1.Pod{pod("a-0", "a", 1, "2"), pod("a-1", "a", 1, "1"), pod("x", "", 2, "4")}},
			KindRoom, "4 ranks want 1 nvidia.com/gpu each, and room is now for 1: 8 nvidia.com/gpu in all, 1 free, at most 1 on one node", "it fits when Pod/ns/x has ended",
			[]string{"Pod/ns/x 4 nvidia.com/gpu", "run/a 3 nvidia.com/gpu"},
		},
		{
			"several have to end", job(8, gpus("1")),
			admit.Seen{Nodes: node(nil), Pods: []corev1.Pod{pod("a", "a", 1, "2"), pod("b", "b", 2, "2")}},
			KindRoom, "room is now for 4", "it fits when the first 2 of those below have ended",
			[]string{"run/a 2", "run/b 2"},
		},
		{"it never fits", job(2, gpus("6")), admit.Seen{Nodes: node(nil)}, KindNever, "2 ranks want 6 nvidia.com/gpu each, and empty nodes would hold 1", "ask for less", nil},
		{"a name that no node has", job(1, amounts("nvidia.com/gpus", "1")), admit.Seen{Nodes: node(nil)}, KindResource, "no node has the resource nvidia.com/gpus", "name one of these in the overlay, or add nodes that have it: nvidia.com/gpu", nil},
		{"no node takes it", job(1, gpus("1")), admit.Seen{Nodes: node(func(n *corev1.Node) { n.Spec.Unschedulable = true })}, KindNode, "none of the 1 nodes takes them: cordoned", "", nil},
		{"quota", job(2, gpus("1")), admit.Seen{Nodes: node(nil), Quotas: []corev1.ResourceQuota{quota}}, KindQuota, "ResourceQuota q: 0 of 1 pods used, 2 more wanted", "kubectl describe resourcequota -n ns", nil},
		{"Kueue's queue", kueue, admit.Seen{Nodes: node(nil)}, KindQueue, "Kueue holds it in queue gpus", "workloads.kueue.x-k8s.io", nil},
		{"nothing", job(1, gpus("1")), admit.Seen{Nodes: node(nil)}, KindNothing, "it finds room now", "kubectl ai runs wait me", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := Run(run.Record{ID: "me", Namespace: "ns", Phase: apply.Queued}, run.Live{Job: c.job}, c.seen, nil)
			if first := e.Causes[0]; first.Kind != c.kind || !strings.Contains(first.Message, c.says) || !strings.Contains(first.Next, c.next) {
				t.Errorf("%+v", first)
			}
			if len(e.Holders) != len(c.holders) {
				t.Fatalf("%+v", e.Holders)
			}
			for i, want := range c.holders {
				if got := e.Holders[i].Name + " " + e.Holders[i].Holds; !strings.HasPrefix(got, want) {
					t.Errorf("%s, want %s", got, want)
				}
			}
		})
	}
}

func TestOnlyAFewHoldersAreShown(t *testing.T) {
	var pods []corev1.Pod
	for i := range 8 {
		pods = append(pods, pod(fmt.Sprint("p", i), fmt.Sprint("r", i), int64(i), "1"))
	}
	e := Run(run.Record{ID: "me", Phase: apply.Queued}, run.Live{Job: job(8, amounts("nvidia.com/gpu", "1"))}, admit.Seen{Nodes: node(nil), Pods: pods}, nil)
	if len(e.Holders) != shown || e.Causes[0].Next != "it fits when the first 8 of those below have ended" {
		t.Errorf("%d, %s", len(e.Holders), e.Causes[0].Next)
	}
}

func TestWhyARunFailed(t *testing.T) {
	for _, c := range []struct {
		name string
		exit run.Exit
		kind string
		says string
	}{
		{"out of memory", run.Exit{Code: 137, Reason: "OOMKilled", Pod: "p", Container: "main"}, KindMemory, "out of memory: it reached its memory limit of 64Mi"},
		{"killed", run.Exit{Code: 137, Reason: "Error"}, KindKilled, "exit 137: it was killed (SIGKILL)"},
		{"shared memory", run.Exit{Code: 135}, KindShm, "/dev/shm"},
		{"its own", run.Exit{Code: 3, Message: "no data"}, KindExit, "exit 3, no data"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := pod("p", "me", 1, "1")
			p.Spec.Containers[0].Resources.Limits = amounts("memory", "64Mi")
			e := Run(run.Record{ID: "me", Phase: apply.Failed, Exits: []run.Exit{c.exit}}, run.Live{Pods: []*corev1.Pod{&p}}, admit.Seen{}, nil)
			if e.Causes[0].Kind != c.kind || !strings.Contains(e.Causes[0].Message, c.says) {
				t.Errorf("%+v", e.Causes)
			}
		})
	}
}

func TestWhyAPodDoesNotRun(t *testing.T) {
	waiting := func(reason string) corev1.Pod {
		p := pod("p", "me", 1, "1")
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", Image: "i:1", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: "no such image"}}}}
		return p
	}
	pending := pod("p", "", 1, "9")
	pending.Spec.NodeName = ""
	pending.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: "0/1 nodes"}}
	for name, c := range map[string]struct {
		pod        corev1.Pod
		kind, says string
	}{
		"an image":          {waiting("ImagePullBackOff"), KindImage, "container main: ImagePullBackOff: no such image"},
		"it fits nowhere":   {pending, KindNever, "it wants 9 nvidia.com/gpu, and empty nodes would hold 0"},
		"nothing is in way": {pod("p", "", 1, "1"), KindNothing, "nothing stands"},
	} {
		e := Pod(&c.pod, admit.Seen{Nodes: node(nil), Now: time.Now()}, nil)
		if e.Causes[0].Kind != c.kind || !strings.Contains(e.Causes[0].Message, c.says) {
			t.Errorf("%s: %+v", name, e.Causes)
		}
	}
}
