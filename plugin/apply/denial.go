package apply

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
)

var eventGVK = schema.GroupVersionKind{Version: "v1", Kind: "Event"}

// failedCreate is the reason of events and conditions by which controllers say
// that the server refused a pod.
const failedCreate = "FailedCreate"

// denial is that the server refused to create a workload's pods. Such pods
// never exist, so nothing else tells of it.
type denial struct {
	message string
	since   time.Time // when it was first seen, by our clock
}

// hopelessDenials are words of refusals that time does not cure. Others, such
// as a service account that is about to be made, have the grace.
var hopelessDenials = []string{quotaDenial, "violates PodSecurity", "denied the request", "maximum ", "minimum "}

const quotaDenial = "exceeded quota"

// quotaPatience is how long the usage of a quota may lag behind what was
// deleted. Its controller counts within a second or two. Chosen.
const quotaPatience = 10 * time.Second

// patience is how long the refusal may stand.
func (d *denial) patience(v view) time.Duration {
	hopeless := slices.ContainsFunc(hopelessDenials, func(words string) bool { return strings.Contains(d.message, words) })
	switch {
	case !hopeless, v.leaving: // what pods on their way out set free may cure it
		return v.grace
	case strings.Contains(d.message, quotaDenial):
		return min(quotaPatience, v.grace)
	}
	return 0
}

// trouble returns a *FailedError when the refusal stands in the way, else nil:
// also when the pods were made later.
func (d *denial) trouble(ref Ref, v view) error {
	if d == nil || v.now.Sub(d.since) < d.patience(v) || made(v) {
		return nil
	}
	return &FailedError{Ref: ref, Reason: "its pods cannot be created: " + d.message}
}

// made says whether all pods of a workload are there; not of a kind that does
// not say how many these are, such as a TrainJob.
func made(v view) bool {
	want, have := 0, 0
	templates, err := workload.Templates(v.object)
	for _, template := range templates {
		want += workload.Replicas(template)
	}
	if desired, ok, _ := unstructured.NestedInt64(v.object.Object, "status", "desiredNumberScheduled"); ok {
		want = int(desired) // a DaemonSet
	}
	for _, pod := range v.pods {
		if pod.DeletionTimestamp == nil && pod.Status.Phase != corev1.PodFailed {
			have++
		}
	}
	return err == nil && want > 0 && have >= want
}

// refused takes in an event or a condition of an object that makes pods.
func (w *waiting) refused(uid, message string) {
	if uid == "" {
		return
	}
	since := w.now()
	if before := w.denials[uid]; before != nil {
		since = before.since
	}
	w.denials[uid] = &denial{message: message, since: since}
}

// event takes in what a controller says. Events that were there before the
// wait began may be of an earlier time and are not asked; controllers repeat
// theirs within a second or two.
func (w *waiting) event(obj *unstructured.Unstructured) {
	if text(obj, "reason") != failedCreate {
		return
	}
	w.refused(text(obj, "involvedObject.uid"), text(obj, "message"))
	if text(obj, "involvedObject.kind") == "Job" {
		w.refused(childJob(text(obj, "involvedObject.namespace"), text(obj, "involvedObject.name")), text(obj, "message"))
	}
}

// childJob is what a Job that another workload makes is known by: what it is
// called. Its UID nobody tells, as such Jobs are not watched.
func childJob(namespace, name string) string { return "Job/" + namespace + "/" + name }

// jobsOf returns what the Jobs of a JobSet are called: by its name, that of the
// replicated job and the replica's number (jobset.sigs.k8s.io, GenJobName).
func jobsOf(jobset *unstructured.Unstructured) []string {
	var out []string
	for _, replicated := range items(jobset, "spec.replicatedJobs.*") {
		for i := range number(replicated, 1, "replicas") {
			out = append(out, childJob(jobset.GetNamespace(), fmt.Sprintf("%s-%v-%d", jobset.GetName(), replicated["name"], i)))
		}
	}
	return out
}

// deniedTo returns the refusal of an owner's pods: a Deployment's are made by
// its newest ReplicaSet, which has a condition for it, and a JobSet's by its Jobs.
func (w *waiting) deniedTo(live *unstructured.Unstructured) *denial {
	if live == nil {
		return nil
	}
	owner := live
	if live.GetKind() == "Deployment" {
		if owner = w.newestSet(live); owner == nil {
			return nil
		}
		if is, message := conditionOf(owner, "ReplicaFailure"); is == "True" {
			w.refused(string(owner.GetUID()), strings.TrimPrefix(message, failedCreate+": "))
		}
	}
	if (RefOf(live).GroupKind() == schema.GroupKind{Group: "jobset.x-k8s.io", Kind: "JobSet"}) {
		for _, job := range jobsOf(live) {
			if d := w.denials[job]; d != nil {
				return d
			}
		}
	}
	return w.denials[string(owner.GetUID())]
}
