package admit

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-ai/kubectl-ai/plugin/run"
)

var now = time.Unix(1000, 0)

// job is a gang of so many ranks with one GPU each, made at a second.
func job(id string, ranks int32, made int64, suspended bool, edit ...func(*batchv1.Job)) batchv1.Job {
	j := batchv1.Job{ObjectMeta: metav1.ObjectMeta{
		Name: "train-" + id, Namespace: "ns", Labels: map[string]string{run.IDLabel: id}, CreationTimestamp: metav1.Unix(made, 0),
	}}
	j.Spec.Parallelism, j.Spec.Completions, j.Spec.Suspend = &ranks, &ranks, &suspended
	j.Spec.Template.Spec.Containers = []corev1.Container{{Name: "main", Resources: corev1.ResourceRequirements{
		Limits: corev1.ResourceList{"nvidia.com/gpu": resource.MustParse("1")},
	}}}
	if !suspended {
		t := metav1.NewTime(now.Add(-time.Second))
		j.Status.StartTime = &t
	}
	for _, e := range edit {
		e(&j)
	}
	return j
}

// podsOf are the first so many of a Job's pods, on a node.
func podsOf(j batchv1.Job, n int, node string) []corev1.Pod {
	var out []corev1.Pod
	for i := range n {
		out = append(out, corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: j.Namespace, Name: fmt.Sprintf("%s-%d", j.Name, i), Labels: j.Labels},
			Spec:       *podOf(&j).Spec.DeepCopy(),
		})
		out[i].Spec.NodeName = node
	}
	return out
}

func TestDecide(t *testing.T) {
	nodes := func(gpus ...string) []corev1.Node {
		var out []corev1.Node
		for i, n := range gpus {
			node := corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("n%d", i)}}
			node.Status.Allocatable = corev1.ResourceList{"nvidia.com/gpu": resource.MustParse(n), "pods": resource.MustParse("10")}
			out = append(out, node)
		}
		return out
	}
	since := func(d time.Duration) func(*batchv1.Job) {
		return func(j *batchv1.Job) { t := metav1.NewTime(now.Add(-d)); j.Status.StartTime = &t }
	}
	failed := func(j *batchv1.Job) { j.Status.Failed = 1 }
	leaving := func(j *batchv1.Job) { n := int32(1); j.Status.Active, j.Status.Terminating = 2, &n }
	uncounted := func(j *batchv1.Job) {
		j.Status.Active, j.Status.UncountedTerminatedPods = 2, &batchv1.UncountedTerminatedPods{Failed: []types.UID{"x"}}
	}
	counted := func(j *batchv1.Job) {
		n := int32(0)
		j.Status.Active, j.Status.Terminating, j.Status.UncountedTerminatedPods = 2, &n, &batchv1.UncountedTerminatedPods{}
	}
	active := func(j *batchv1.Job) { j.Status.Active = 3 }
	queued := func(j *batchv1.Job) { j.Labels[run.QueueLabel] = "gpus" }
	done := func(j *batchv1.Job) {
		j.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}}
	}
	quota := func(pods string) []corev1.ResourceQuota {
		q := corev1.ResourceQuota{ObjectMeta: metav1.ObjectMeta{Name: "q", Namespace: "ns"}}
		q.Spec.Hard = corev1.ResourceList{"pods": resource.MustParse(pods)}
		return []corev1.ResourceQuota{q}
	}
	a := job("a", 3, 1, false)
	for _, c := range []struct {
		name   string
		jobs   []batchv1.Job
		pods   []corev1.Pod
		quotas []corev1.ResourceQuota
		want   []string // in their order: run, what becomes of it
	}{
		{"of two gangs that need more than half each the older goes", []batchv1.Job{job("b", 3, 2, true), job("a", 3, 1, true)}, nil, nil, []string{"a go", "b waits for room: 1 of 3 ranks"}},
		{"what was let go and has no pods yet is reserved", []batchv1.Job{a, job("b", 2, 2, true)}, nil, nil, []string{"b waits for room: 1 of 2"}},
		{"a gang waits until the one before has its nodes", []batchv1.Job{job("c", 2, 1, false), job("b", 2, 2, true)}, podsOf(job("c", 2, 1, false), 1, "n0"), nil, []string{"b waits until run c is placed"}},
		{"and goes then", []batchv1.Job{job("c", 2, 1, false), job("b", 2, 2, true)}, podsOf(job("c", 2, 1, false), 2, "n0"), nil, []string{"b go"}},
		{"a lone rank cannot be half placed", []batchv1.Job{job("c", 2, 1, false), job("b", 1, 2, true)}, nil, nil, []string{"b go"}},
		{"the first that finds no room holds up nobody", []batchv1.Job{job("big", 9, 1, true), job("small", 1, 2, true)}, nil, nil, []string{"big waits for room: 4 of 9", "small go"}},
		{"lone ranks go together", []batchv1.Job{job("a", 1, 1, true), job("b", 1, 2, true)}, nil, nil, []string{"a go", "b go"}},
		{"gangs one after the other", []batchv1.Job{job("a", 2, 1, true), job("b", 2, 2, true)}, nil, nil, []string{"a go", "b waits until run a"}},
		{"who holds it is named", []batchv1.Job{job("b", 4, 2, true)}, podsOf(a, 3, "n0")[:1], nil, []string{"b waits for room: 3 of 4 ranks with 1 nvidia.com/gpu each find a place (free: 3 nvidia.com/gpu on 2 nodes, 1 short; held by ns/train-a-0 (1))"}},
		{"a gang that somebody else half displaced gives its nodes back", []batchv1.Job{job("a", 3, 1, false, since(time.Minute))}, podsOf(a, 2, "n0"), nil, []string{"a back 1 of its ranks found no node"}},
		{"one that ran before and lost a rank does not", []batchv1.Job{job("a", 3, 1, false, since(time.Minute), failed)}, podsOf(a, 2, "n0"), nil, nil},
		{"nor one whose ranks ended a moment ago, which its status does not count yet", []batchv1.Job{job("a", 3, 1, false, since(time.Minute), active)}, podsOf(a, 1, "n0"), nil, nil},
		{"nor one whose status is about to count a rank that failed", []batchv1.Job{job("a", 3, 1, false, since(time.Minute), uncounted)}, podsOf(a, 2, "n0"), nil, nil},
		{"nor one with a rank that is ending", []batchv1.Job{job("a", 3, 1, false, since(time.Minute), leaving)}, podsOf(a, 2, "n0"), nil, nil},
		{"one with nothing left to count does", []batchv1.Job{job("a", 3, 1, false, since(time.Minute), counted)}, podsOf(a, 2, "n0"), nil, []string{"a back 1 of its ranks found no node"}},
		{"a lone rank that fits nowhere is left to the scheduler, and holds up nobody", []batchv1.Job{job("a", 1, 1, false, since(time.Minute)), job("b", 2, 2, true)}, nil, nil, []string{"b go"}},
		{"quota", []batchv1.Job{job("a", 2, 1, true)}, nil, quota("1"), []string{"a waits for quota: ResourceQuota q"}},
		{"Kueue lets its own go", []batchv1.Job{job("a", 1, 1, true, queued)}, nil, nil, nil},
		{"what has ended holds nothing", []batchv1.Job{job("a", 4, 1, false, done), job("b", 4, 2, true)}, nil, nil, []string{"b go"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := Decide(Seen{Jobs: c.jobs, Nodes: nodes("2", "2"), Pods: c.pods, Quotas: c.quotas, Now: now})
			var said []string
			for _, d := range got {
				what := d.Why
				switch {
				case d.Go:
					what = "go"
				case d.Back:
					what = "back " + d.Why
				}
				said = append(said, d.Job.Labels[run.IDLabel]+" "+what)
			}
			ok := len(said) == len(c.want)
			for i := 0; ok && i < len(said); i++ {
				ok = strings.HasPrefix(said[i], c.want[i])
			}
			if !ok {
				t.Error(cmp.Diff(c.want, said))
			}
		})
	}
}
