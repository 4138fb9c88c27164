package admit

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-ai/kubectl-ai/plugin/capacity"
	"github.com/kubectl-ai/kubectl-ai/plugin/run"
)

// Seen is what there is of a cluster.
type Seen struct {
	Jobs   []batchv1.Job // of runs
	Nodes  []corev1.Node
	Pods   []corev1.Pod // that have not ended, of everybody
	Quotas []corev1.ResourceQuota
	Now    time.Time
}

// Decision is what becomes of one run's Job.
type Decision struct {
	Job *batchv1.Job
	// Go lets its ranks go, Back takes them back to wait again. With neither
	// it waits on.
	Go, Back bool
	Why      string // it waits, or is taken back; "" with Go
}

// patience is how long the ranks of a gang that was let go may take to have
// nodes, all of them, before it is taken back: what it was to have somebody
// else took. The scheduler takes a second or so. Chosen.
const patience = 20 * time.Second

// Decide says what becomes of the runs that wait, the oldest first; one that
// finds no room does not hold up those behind it (Kueue calls this
// BestEffortFIFO).
//
// Gangs never half-place each other: a gang of several ranks is let go only
// when every run that was let go before has all its nodes, since until then
// nobody knows what the scheduler leaves of them.
func Decide(s Seen) []Decision {
	var out []Decision
	var waiting []*batchv1.Job
	before := capacity.Left(s.Nodes, s.Pods)
	room := before.Clone()
	placing := ""
	for i := range s.Jobs {
		job := &s.Jobs[i]
		switch {
		case ended(job) || job.DeletionTimestamp != nil:
		case job.Spec.Suspend != nil && *job.Spec.Suspend:
			if job.Labels[run.QueueLabel] == "" {
				waiting = append(waiting, job)
			}
		default:
			g := gangOf(job)
			g.Pods -= bound(job, s.Pods)
			if g.Pods <= 0 {
				continue
			}
			late := hopeless(job, s.Now) && lacking(job, s.Pods)
			if late && ranks(job) > 1 {
				out = append(out, Decision{Job: job, Back: true, Why: fmt.Sprintf("%d of its ranks found no node, and the others gave theirs back%s", g.Pods, room.Short(before, s.Pods, g, g.Pods))})
				continue
			}
			// A lone rank that fits nowhere holds nothing, and nobody up.
			if !late && job.Status.Failed == 0 && job.Labels[run.QueueLabel] == "" {
				placing = job.Labels[run.IDLabel]
			}
			room.Place(g) // what there is of it is theirs
		}
	}
	slices.SortFunc(waiting, func(a, b *batchv1.Job) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	for _, job := range waiting {
		d := decide(job, s, before, room, placing)
		if d.Go {
			placing = job.Labels[run.IDLabel]
		}
		out = append(out, d)
	}
	return out
}

func decide(job *batchv1.Job, s Seen, before, room *capacity.Room, placing string) Decision {
	g := gangOf(job)
	pod := podOf(job)
	var quotas []corev1.ResourceQuota
	for _, q := range s.Quotas {
		if q.Namespace == job.Namespace {
			quotas = append(quotas, q)
		}
	}
	if over := capacity.Over(quotas, pod, g.Pods); len(over) > 0 {
		return Decision{Job: job, Why: "waits for quota: " + over[0]}
	}
	trial := room.Clone()
	if placed := trial.Place(g); placed < g.Pods {
		return Decision{Job: job, Why: fmt.Sprintf("waits for room: %d of %d ranks with %s each find a place%s",
			placed, g.Pods, capacity.Quantities(g.Requests), trial.Short(before, s.Pods, g, g.Pods-placed))}
	}
	if placing != "" && g.Pods > 1 {
		return Decision{Job: job, Why: "waits until run " + placing + " is placed"}
	}
	room.Place(g)
	return Decision{Job: job, Go: true}
}

// gangOf is the pods of a Job that run at the same time.
func gangOf(job *batchv1.Job) capacity.Gang {
	return capacity.GangOf(podOf(job), int(ranks(job)))
}

func podOf(job *batchv1.Job) *corev1.Pod {
	return capacity.Admitted(&corev1.Pod{ObjectMeta: job.Spec.Template.ObjectMeta, Spec: job.Spec.Template.Spec})
}

func ranks(job *batchv1.Job) int32 {
	n := int32(1)
	if job.Spec.Parallelism != nil {
		n = *job.Spec.Parallelism
	}
	if job.Spec.Completions != nil {
		n = min(n, *job.Spec.Completions-job.Status.Succeeded)
	}
	return n
}

// bound counts the pods of a Job that have a node.
func bound(job *batchv1.Job, pods []corev1.Pod) (n int) {
	for i := range pods {
		if p := &pods[i]; p.Namespace == job.Namespace && p.Labels[run.IDLabel] == job.Labels[run.IDLabel] && p.Spec.NodeName != "" && p.DeletionTimestamp == nil {
			n++
		}
	}
	return n
}

// lacking says whether a rank is without a node, or without a pod. Where none
// is, ranks that are not among the pods have ended a moment ago, and the Job's
// status does not count them yet.
func lacking(job *batchv1.Job, pods []corev1.Pod) bool {
	return job.Status.Active < ranks(job) || slices.ContainsFunc(pods, func(p corev1.Pod) bool {
		return p.Namespace == job.Namespace && p.Labels[run.IDLabel] == job.Labels[run.IDLabel] && p.Spec.NodeName == ""
	})
}

// hopeless says whether a gang that never had all its nodes has waited too
// long for them. One whose ranks ended or failed had them, and so had one with
// ranks that are about to be counted as either.
func hopeless(job *batchv1.Job, now time.Time) bool {
	return job.Labels[run.QueueLabel] == "" && job.Status.Failed == 0 && job.Status.Succeeded == 0 && !uncounted(job) &&
		job.Status.StartTime != nil && now.Sub(job.Status.StartTime.Time) > patience
}

// uncounted says whether ranks have ended or are ending that the Job's status
// does not count yet. Its controller writes first that they are no longer
// active, and by its next write how they ended (KEP-2307); while a pod is
// terminating (KEP-3939) its node is not free, and its end not known.
func uncounted(job *batchv1.Job) bool {
	if t := job.Status.Terminating; t != nil && *t > 0 {
		return true
	}
	u := job.Status.UncountedTerminatedPods
	return u != nil && len(u.Failed)+len(u.Succeeded) > 0
}

func ended(job *batchv1.Job) bool {
	return slices.ContainsFunc(job.Status.Conditions, func(c batchv1.JobCondition) bool {
		return c.Status == corev1.ConditionTrue && (c.Type == batchv1.JobComplete || c.Type == batchv1.JobFailed)
	})
}
