package apply

import (
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"
)

// The statuses are those that the kinds' own controllers write.
func TestWorkOfOperatorsIsJudgedByTheirOwnWords(t *testing.T) {
	const (
		jobSet   = `{apiVersion: jobset.x-k8s.io/v1alpha2, kind: JobSet, metadata: {name: w, namespace: ns}, spec: {SPEC replicatedJobs: [{name: a, replicas: 2}, {name: b}]}, status: {STATUS}}`
		pyTorch  = `{apiVersion: kubeflow.org/v1, kind: PyTorchJob, metadata: {name: w, namespace: ns}, spec: {SPEC pytorchReplicaSpecs: {Master: {replicas: 1}, Worker: {replicas: 3}}}, status: {STATUS}}`
		trainJob = `{apiVersion: trainer.kubeflow.org/v1alpha1, kind: TrainJob, metadata: {name: w, namespace: ns, labels: {kueue.x-k8s.io/queue-name: gpus}}, spec: {SPEC runtimeRef: {name: r}}, status: {STATUS}}`
		rayJob   = `{apiVersion: ray.io/v1, kind: RayJob, metadata: {name: w, namespace: ns}, spec: {SPEC entrypoint: x}, status: {STATUS}}`
		cluster  = `{apiVersion: ray.io/v1, kind: RayCluster, metadata: {name: w, namespace: ns, generation: 2}, spec: {SPEC rayVersion: x}, status: {STATUS}}`
		volcano  = `{apiVersion: batch.volcano.sh/v1alpha1, kind: Job, metadata: {name: w, namespace: ns}, spec: {SPEC queue: gpus, tasks: [{replicas: 1}, {replicas: 2}]}, status: {STATUS}}`
		lws      = `{apiVersion: leaderworkerset.x-k8s.io/v1, kind: LeaderWorkerSet, metadata: {name: w, namespace: ns, generation: 2}, spec: {SPEC replicas: 2}, status: {STATUS}}`
	)
	yes := func(kind string) string {
		return `conditions: [{type: ` + kind + `, status: "True", reason: Why, message: words}]`
	}
	for _, c := range []struct {
		name, object, spec, status string
		want                       Phase
		says                       string
	}{
		{"a fresh JobSet has not started", jobSet, "", "", Admitted, "0 of 3 jobs ready"},
		{"a suspended JobSet is queued", jobSet, "suspend: true,", yes("Suspended"), Queued, "suspended"},
		{"a JobSet with a job that is not ready", jobSet, "", "replicatedJobsStatus: [{name: a, ready: 2}, {name: b, active: 1}]", Admitted, "2 of 3 jobs ready"},
		{"a JobSet whose jobs are ready runs", jobSet, "", "replicatedJobsStatus: [{name: a, ready: 1, succeeded: 1}, {name: b, ready: 1}]", Running, "3 of 3"},
		{"a complete JobSet", jobSet, "", "terminalState: Completed, " + yes("Completed"), Complete, ""},
		{"a failed JobSet tells why", jobSet, "", yes("Failed"), Failed, "Why: words"},

		{"a fresh PyTorchJob has not started", pyTorch, "", yes("Created"), Admitted, "0 of 4 ranks ready"},
		{"a suspended PyTorchJob is queued", pyTorch, "runPolicy: {suspend: true},", "", Queued, ""},
		{"a PyTorchJob with Running and without a rank", pyTorch, "", "replicaStatuses: {Master: {active: 1}, Worker: {active: 2}}, " + yes("Running"), Admitted, "3 of 4"},
		{"a PyTorchJob with all ranks", pyTorch, "", "replicaStatuses: {Master: {active: 1}, Worker: {active: 3}}, " + yes("Running"), Running, ""},
		{"a PyTorchJob that succeeded", pyTorch, "", yes("Succeeded"), Complete, ""},
		{"a PyTorchJob that failed", pyTorch, "", yes("Failed"), Failed, "Why: words"},

		{"a TrainJob that Kueue holds names the queue", trainJob, "suspend: true,", yes("Suspended"), Queued, "queue gpus"},
		{"a TrainJob whose job has begun", trainJob, "", "jobsStatus: [{name: node, active: 1, ready: 0}]", Admitted, "0 of 1"},
		{"a TrainJob whose job is ready", trainJob, "", "jobsStatus: [{name: node, active: 1, ready: 1}]", Running, ""},
		{"a complete TrainJob", trainJob, "", yes("Complete"), Complete, ""},
		{"a failed TrainJob", trainJob, "", yes("Failed"), Failed, "words"},

		{"a RayJob whose cluster comes", rayJob, "", "jobDeploymentStatus: Initializing", Admitted, "0 of 1"},
		{"a running RayJob", rayJob, "", "jobDeploymentStatus: Running, jobStatus: RUNNING", Running, ""},
		{"a RayJob that failed and is tried again", rayJob, "", "jobDeploymentStatus: Retrying, jobStatus: FAILED", Admitted, ""},
		{"a RayJob that failed", rayJob, "", "jobDeploymentStatus: Failed, jobStatus: FAILED, reason: AppFailed, message: exit 1", Failed, "AppFailed: exit 1"},
		{"a RayJob that succeeded", rayJob, "", "jobDeploymentStatus: Complete, jobStatus: SUCCEEDED", Complete, ""},
		{"a suspended RayJob", rayJob, "suspend: true,", "jobDeploymentStatus: Suspended", Queued, ""},

		{"a RayCluster that its operator has not seen since", cluster, "", "state: ready, observedGeneration: 1", Admitted, "not looked"},
		{"a RayCluster that is ready", cluster, "", "state: ready, observedGeneration: 2", Running, ""},

		{"a Volcano Job in its queue", volcano, "", "state: {phase: Pending}", Queued, "queue gpus"},
		{"a Volcano Job without a rank", volcano, "", "state: {phase: Running}, running: 2", Admitted, "2 of 3"},
		{"a Volcano Job with its gang", volcano, "minAvailable: 2,", "state: {phase: Running}, running: 2", Running, "2 of 2"},
		{"a Volcano Job that was aborted", volcano, "", "state: {phase: Aborted, message: by hand}", Failed, "Aborted: by hand"},
		{"a complete Volcano Job", volcano, "", "state: {phase: Completed}", Complete, ""},

		{"a LeaderWorkerSet that rolls out", lws, "", "observedGeneration: 2, readyReplicas: 2, updatedReplicas: 1, " + yes("Available"), Admitted, "1 of 2 groups"},
		{"a LeaderWorkerSet with an old status", lws, "", "observedGeneration: 1, readyReplicas: 2, updatedReplicas: 2, " + yes("Available"), Admitted, "not looked"},
		{"a LeaderWorkerSet that serves", lws, "", "observedGeneration: 2, readyReplicas: 2, updatedReplicas: 2, " + yes("Available"), Running, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			text := strings.Replace(strings.Replace(c.object, "SPEC", c.spec, 1), "STATUS", c.status, 1)
			w := wait(t, &clock{}, text)
			w.options.Settle = -1
			_, err := w.check(silent{})
			got := w.verdicts[w.refs[0]]
			if got.phase != c.want || !strings.Contains(got.say, c.says) && (err == nil || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("%s: %s, err %v; want %s: %s", got.phase, got.say, err, c.want, c.says)
			}
			if failed := new(FailedError); (c.want == Failed) != errors.As(err, &failed) {
				t.Errorf("err = %v", err)
			}
		})
	}
}

func TestAPodOfAnOperatorsWorkThatCannotPullEndsTheWait(t *testing.T) {
	w := wait(t, &clock{}, `{apiVersion: jobset.x-k8s.io/v1alpha2, kind: JobSet, metadata: {name: w, namespace: ns, uid: set}, spec: {replicatedJobs: [{name: a}]}}`)
	p := pod(t, "p", "child-job", "Job", "pull")
	p.SetLabels(map[string]string{"jobset.sigs.k8s.io/jobset-name": "w"})
	w.put(p)
	var trouble *PodError
	if _, err := w.check(silent{}); !errors.As(err, &trouble) || trouble.Reason != "ImagePullBackOff" {
		t.Errorf("err = %v", err)
	}
}

// kstatus calls a custom object current as soon as it is written.
func TestAFreshCustomObjectIsNotThere(t *testing.T) {
	const custom = `{apiVersion: db.example.com/v1, kind: Database, metadata: {name: w, namespace: ns, generation: 3}, spec: {}STATUS}`
	for _, c := range []struct {
		name, status string
		mute         bool
		after        time.Duration
		want         Phase
	}{
		{"no status yet", "", false, 0, Admitted},
		{"no status for a long time: its controller writes none", "", false, hearing, Running},
		{"a kind that has no status", "", true, 0, Running},
		{"seen before the last change", ", status: {observedGeneration: 2}", false, time.Hour, Admitted},
		{"seen", ", status: {observedGeneration: 3}", false, 0, Running},
		{"seen and not ready", `, status: {observedGeneration: 3, conditions: [{type: Ready, status: "False"}]}`, false, time.Hour, Admitted},
		{"an older condition", `, status: {conditions: [{type: Ready, status: "True", observedGeneration: 2}]}`, false, 0, Admitted},
		{"ready", `, status: {conditions: [{type: Ready, status: "True"}]}`, false, 0, Running},
		{"not available", `, status: {conditions: [{type: Available, status: "False"}]}`, false, time.Hour, Starting},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := &clock{t: time.Unix(1000, 0)}
			w := wait(t, now, strings.Replace(custom, "STATUS", c.status, 1))
			w.options.Settle, w.mute[w.refs[0].GroupKind()] = -1, c.mute
			now.t = now.t.Add(c.after)
			if _, err := w.check(silent{}); err != nil {
				t.Fatal(err)
			}
			if got := w.verdicts[w.refs[0]]; got.phase != c.want {
				t.Errorf("%s: %s, want %s", got.phase, got.say, c.want)
			}
		})
	}
}

// Only a server's word that there is no status makes a kind mute.
func TestAServerThatGivesNoAnswerMakesNoKindMute(t *testing.T) {
	widget := object(t, `{apiVersion: example.org/v1, kind: Widget, metadata: {name: w, namespace: ns}, spec: {}}`)
	for _, c := range []struct {
		name string
		err  error
		want bool
	}{
		{"it has a status", nil, false},
		{"it has none", apierrors.NewNotFound(schema.GroupResource{}, "w"), true},
		{"it may not be asked", apierrors.NewForbidden(schema.GroupResource{}, "w", errors.New("no")), true},
		{"the server is overloaded", apierrors.NewTooManyRequests("later", 1), false},
		{"the server restarts", syscall.ECONNREFUSED, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			client, d := newClient(t, widget)
			if c.err != nil {
				d.PrependReactor("get", "widgets", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, c.err })
			}
			w := newWaiting([]*unstructured.Unstructured{widget}, WaitOptions{}, time.Now)
			client.learnMute(t.Context(), w)
			if got := w.mute[widget.GroupVersionKind().GroupKind()]; got != c.want {
				t.Errorf("mute = %v", got)
			}
		})
	}
}
