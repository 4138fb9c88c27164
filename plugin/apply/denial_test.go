package apply

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

const quotaWords = `Error creating: pods "j-0-x" is forbidden: exceeded quota: q, requested: requests.nvidia.com/gpu=1, used: 1, limited: 1`

// failedCreateOf is the event of a controller that could not make a pod.
func failedCreateOf(t *testing.T, uid, message string) *unstructured.Unstructured {
	t.Helper()
	e := object(t, `{apiVersion: v1, kind: Event, metadata: {name: e, namespace: ns}, reason: FailedCreate, involvedObject: {uid: `+uid+`}}`)
	e.Object["message"] = message
	return e
}

func TestPodsThatAreRefusedEndTheWait(t *testing.T) {
	for _, c := range []struct {
		name, message string
		first         bool // the event was there before
		leaving       bool
		freed         bool // earlier work gave way
		after         time.Duration
		fails         bool
	}{
		{name: "a quota may be counted late", message: quotaWords},
		{name: "a quota that stays", message: quotaWords, after: quotaPatience, fails: true},
		{name: "Pod Security, at once", message: `pods "x" is forbidden: violates PodSecurity "restricted:latest": runAsNonRoot`, fails: true},
		{name: "a webhook, at once", message: `admission webhook "w" denied the request: no`, fails: true},
		{name: "a service account may come", message: `error looking up service account ns/default: not found`},
		{name: "a service account that does not come", message: `error looking up service account ns/default: not found`, after: 31 * time.Second, fails: true},
		{name: "an event of an earlier time", message: quotaWords, first: true},
		{name: "pods that go will set the quota free", message: quotaWords, leaving: true},
		{name: "earlier work gave way, and the quota is counted later", message: quotaWords, freed: true},
		{name: "it was counted", message: quotaWords, freed: true, after: 31 * time.Second, fails: true},
		{name: "pods that stay do not", message: quotaWords, leaving: true, after: 31 * time.Second, fails: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := &clock{t: time.Unix(1000, 0)}
			w := wait(t, now, jobText)
			w.options.Freed = c.freed
			e := event{object: failedCreateOf(t, "job", c.message)}
			if c.first {
				e = event{reset: true, full: []*unstructured.Unstructured{e.object}}
			}
			w.learn(eventGVK, "ns", e)
			if c.leaving {
				p := pod(t, "p", "job", "Job", "ready")
				gone := now.t
				p.SetDeletionTimestamp(timeOf(gone))
				w.put(p)
			}
			_, err := w.check(silent{})
			if c.after > 0 {
				if err != nil {
					t.Fatalf("at once: %v", err)
				}
				now.t = now.t.Add(c.after)
				_, err = w.check(silent{})
			}
			var failed *FailedError
			if errors.As(err, &failed) != c.fails || c.fails && !strings.Contains(failed.Reason, c.message) {
				t.Errorf("err = %v", err)
			}
		})
	}
}

// Refusals are not taken back: that the pods are there says that it is over.
func TestARefusalIsOverWhenThePodsAreThere(t *testing.T) {
	now := &clock{t: time.Unix(1000, 0)}
	w := wait(t, now, jobText)
	w.learn(eventGVK, "ns", event{object: failedCreateOf(t, "job", quotaWords)})
	w.put(pod(t, "p0", "job", "Job", "creating"))
	if _, err := w.check(silent{}); err != nil {
		t.Fatal(err)
	}
	now.t = now.t.Add(time.Second)
	w.put(pod(t, "p1", "job", "Job", "creating"))
	now.t = now.t.Add(time.Hour) // a large image
	if _, err := w.check(silent{}); err != nil {
		t.Errorf("both pods are there: %v", err)
	}
	w.learn(podGVK, "ns", event{object: pod(t, "p1", "job", "Job", "creating"), deleted: true})
	if _, err := w.check(silent{}); err == nil {
		t.Error("one pod of two is not all")
	}
}

func TestADeploymentsPodsAreRefusedThroughItsReplicaSet(t *testing.T) {
	now := &clock{t: time.Unix(1000, 0)}
	w := wait(t, now, `{apiVersion: apps/v1, kind: Deployment, metadata: {name: d, namespace: ns, uid: dep, generation: 1}, spec: {replicas: 1, template: {spec: {}}}, status: {observedGeneration: 1}}`)
	w.put(object(t, `{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: s, namespace: ns, uid: set, annotations: {deployment.kubernetes.io/revision: "1"}, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: d, uid: dep, controller: true}]}, status: {conditions: [{type: ReplicaFailure, status: "True", reason: FailedCreate, message: "exceeded quota: q"}]}}`))
	if _, err := w.check(silent{}); err != nil {
		t.Errorf("at once: %v", err)
	}
	now.t = now.t.Add(quotaPatience)
	var failed *FailedError
	if _, err := w.check(silent{}); !errors.As(err, &failed) || failed.Reason != "its pods cannot be created: exceeded quota: q" {
		t.Errorf("err = %v", err)
	}
}

func TestAJobSetsPodsAreRefusedThroughItsJobs(t *testing.T) {
	for job, denied := range map[string]bool{"train-workers-0": true, "train-workers-1": true, "train-driver-0": true, "train-workers-2": false, "train-other-0": false, "train": false} {
		now := &clock{t: time.Unix(1000, 0)}
		w := wait(t, now, `{apiVersion: jobset.x-k8s.io/v1alpha2, kind: JobSet, metadata: {name: train, namespace: ns, uid: set}, spec: {replicatedJobs: [{name: driver, template: {}}, {name: workers, replicas: 2, template: {}}]}}`)
		e := object(t, `{apiVersion: v1, kind: Event, metadata: {name: e, namespace: ns}, reason: FailedCreate, involvedObject: {kind: Job, namespace: ns, name: `+job+`, uid: of-a-job}}`)
		e.Object["message"] = quotaWords
		w.learn(eventGVK, "ns", event{object: e})
		now.t = now.t.Add(quotaPatience)
		_, err := w.check(silent{})
		var failed *FailedError
		if errors.As(err, &failed) != denied || denied && (failed.Ref.Name != "train" || !strings.Contains(failed.Reason, "exceeded quota")) {
			t.Errorf("%s: err = %v", job, err)
		}
	}
}

// Wait itself, with the clock of the test: from the moment at which the
// cluster says what is wrong, at most two seconds pass beyond what it may take to
// pass by itself.
func TestTroubleEndsTheWaitWithinTwoSeconds(t *testing.T) {
	pods := podGVK.GroupVersion().WithResource("pods")
	jobs := schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}
	failedJob := object(t, strings.Replace(jobText, "active: 2", `conditions: [{type: Failed, status: "True", reason: BackoffLimitExceeded}]`, 1))
	for _, c := range []struct {
		name, words string
		resource    schema.GroupVersionResource
		says        *unstructured.Unstructured
		fresh       bool // the object is not there before
		patience    time.Duration
	}{
		{name: "a failed Job", words: "BackoffLimitExceeded", resource: jobs, says: failedJob},
		{name: "an image that cannot be pulled", words: "ImagePullBackOff", resource: pods, says: pod(t, "p0", "job", "Job", "pull")},
		{name: "a crash loop", words: "CrashLoopBackOff: exit 7", resource: pods, says: pod(t, "p0", "job", "Job", "crash")},
		{name: "a missing ConfigMap", words: "CreateContainerConfigError", resource: pods, says: pod(t, "p0", "job", "Job", "config")},
		{name: "a quota", words: "exceeded quota", resource: eventGVK.GroupVersion().WithResource("events"), says: failedCreateOf(t, "job", quotaWords), fresh: true, patience: quotaPatience},
		{name: "a pod that fits nowhere", words: "Unschedulable: no GPUs", resource: pods, says: pod(t, "p0", "job", "Job", "unschedulable"), patience: DefaultGrace},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				job := object(t, jobText)
				client, d := newClient(t, job, pod(t, "p0", "job", "Job", "creating"))
				ended := make(chan error, 1)
				go func() { ended <- client.Wait(t.Context(), []*unstructured.Unstructured{job}, WaitOptions{}, nil) }()
				time.Sleep(90 * time.Second) // it waits, however long nothing is wrong
				select {
				case err := <-ended:
					t.Fatalf("it did not wait: %v", err)
				default:
				}
				said := time.Now()
				err := d.Tracker().Update(c.resource, c.says, "ns")
				if c.fresh {
					err = d.Tracker().Create(c.resource, c.says, "ns")
				}
				if err != nil {
					t.Fatal(err)
				}
				err = <-ended
				if err == nil || !strings.Contains(err.Error(), c.words) {
					t.Errorf("err = %v", err)
				}
				limit := 2*time.Second + c.patience
				if took := time.Since(said); took > limit {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}
