package apply

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

const jobText = `{apiVersion: batch/v1, kind: Job, metadata: {name: j, namespace: ns, uid: job}, spec: {parallelism: 2, completions: 2, template: {spec: {}}}, status: {startTime: x, active: 2}}`

// pod returns a pod of the owner in a state that tests name.
func pod(t *testing.T, name, owner, kind, state string) *unstructured.Unstructured {
	t.Helper()
	status := map[string]string{
		"ready":         `{phase: Running, conditions: [{type: Ready, status: "True"}]}`,
		"running":       `{phase: Running, conditions: [{type: Ready, status: "False"}]}`,
		"succeeded":     `{phase: Succeeded}`,
		"pull":          `{phase: Pending, containerStatuses: [{name: c, state: {waiting: {reason: ImagePullBackOff, message: no such image}}}]}`,
		"crash":         `{phase: Running, containerStatuses: [{name: c, state: {waiting: {reason: CrashLoopBackOff}}, lastState: {terminated: {exitCode: 7}}}]}`,
		"config":        `{phase: Pending, containerStatuses: [{name: c, state: {waiting: {reason: CreateContainerConfigError, message: no ConfigMap}}}]}`,
		"initpull":      `{phase: Pending, initContainerStatuses: [{name: i, state: {waiting: {reason: ErrImagePull}}}]}`,
		"creating":      `{phase: Pending, containerStatuses: [{name: c, state: {waiting: {reason: ContainerCreating}}}]}`,
		"unschedulable": `{phase: Pending, conditions: [{type: PodScheduled, status: "False", reason: Unschedulable, message: no GPUs}]}`,
	}[state]
	return object(t, `{apiVersion: v1, kind: Pod, metadata: {name: `+name+`, namespace: ns, uid: `+name+`, ownerReferences: [{apiVersion: v1, kind: `+kind+`, name: o, uid: `+owner+`, controller: true}]}, status: `+status+`}`)
}

type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

func wait(t *testing.T, c *clock, objects ...string) *waiting {
	t.Helper()
	var list []*unstructured.Unstructured
	for _, text := range objects {
		list = append(list, object(t, text))
	}
	w := newWaiting(list, WaitOptions{Grace: 30 * time.Second, Settle: 3 * time.Second}, c.now)
	for _, obj := range list {
		w.put(obj)
	}
	return w
}

func TestAJobIsThereWhenAllItsRanksAre(t *testing.T) {
	for _, c := range []struct {
		name   string
		job    string
		pods   []string
		done   bool
		reason string // of an error
	}{
		{name: "a started Job is not there", pods: []string{"creating", "creating"}},
		{name: "one rank is not all", pods: []string{"ready", "running"}},
		{name: "all ranks", pods: []string{"ready", "ready"}, done: true},
		{name: "a rank that is done counts", pods: []string{"ready", "succeeded"}, done: true},
		{name: "complete", job: strings.Replace(jobText, "active: 2", `conditions: [{type: Complete, status: "True"}]`, 1), done: true},
		{name: "failed", job: strings.Replace(jobText, "active: 2", `conditions: [{type: Failed, status: "True", reason: BackoffLimitExceeded}]`, 1), pods: []string{"crash"}, reason: "BackoffLimitExceeded"},
		{name: "suspended is queued", job: strings.Replace(jobText, "spec: {", "spec: {suspend: true, ", 1)},
		{name: "an image that cannot be pulled", pods: []string{"ready", "pull"}, reason: "pod p1, container c: ImagePullBackOff: no such image"},
		{name: "an init container's image", pods: []string{"initpull"}, reason: "container i: ErrImagePull"},
		{name: "a crash loop tells the exit code", pods: []string{"crash"}, reason: "CrashLoopBackOff: exit 7"},
		{name: "a missing ConfigMap", pods: []string{"config"}, reason: "CreateContainerConfigError: no ConfigMap"},
		{name: "a pod that fits nowhere may wait", pods: []string{"unschedulable"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.job == "" {
				c.job = jobText
			}
			w := wait(t, &clock{}, c.job)
			for i, state := range c.pods {
				w.put(pod(t, "p"+string(rune('0'+i)), "job", "Job", state))
			}
			w.options.Settle = -1
			done, err := w.check(silent{})
			if (err != nil) != (c.reason != "") || err != nil && !strings.Contains(err.Error(), c.reason) {
				t.Fatalf("err = %v, want %q", err, c.reason)
			}
			if done != c.done {
				t.Errorf("done = %v: %v", done, w.pending())
			}
		})
	}
}

func TestAnUnschedulablePodEndsTheWaitAfterTheGrace(t *testing.T) {
	c := &clock{t: time.Unix(1000, 0)}
	w := wait(t, c, jobText)
	w.put(pod(t, "p", "job", "Job", "unschedulable"))
	if _, err := w.check(silent{}); err != nil {
		t.Fatal(err)
	}
	c.t = c.t.Add(31 * time.Second)
	_, err := w.check(silent{})
	var trouble *PodError
	if !errors.As(err, &trouble) || trouble.Reason != "Unschedulable" || trouble.Message != "no GPUs" {
		t.Errorf("err = %v", err)
	}
}

// waits returns a pod whose container waits for that reason.
func waits(t *testing.T, reason, message string) *unstructured.Unstructured {
	t.Helper()
	p := pod(t, "p", "job", "Job", "creating")
	status := map[string]any{"name": "c", "state": map[string]any{"waiting": map[string]any{"reason": reason, "message": message}}}
	if reason == "" {
		status["state"] = map[string]any{"running": map[string]any{}}
	}
	if err := unstructured.SetNestedSlice(p.Object, []any{status}, "status", "containerStatuses"); err != nil {
		t.Fatal(err)
	}
	return p
}

// The messages are those of kubelets and containerd.
func TestTroubleThatMayPassHasTheGrace(t *testing.T) {
	for _, c := range []struct {
		reason, message string
		passes          bool
	}{
		{"CreateContainerConfigError", "services have not yet been read at least once, cannot construct envvars", true},
		{"CreateContainerConfigError", "failed to sync configmap cache: timed out waiting for the condition", true},
		{"CreateContainerConfigError", `configmap "settings" not found`, false},
		{"CreateContainerError", "context deadline exceeded", true},
		{"CreateContainerError", `failed to reserve container name "c_p_ns_0": name "c_p_ns_0" is reserved for "4f2a"`, true},
		{"CreateContainerError", "no command specified", false},
		{"RunContainerError", "context deadline exceeded", true},
		{"RunContainerError", `exec: "serve": executable file not found in $PATH`, false},
		{"ErrImagePull", `failed to do request: Head "https://r/v2/i/manifests/1": net/http: TLS handshake timeout`, true},
		{"ErrImagePull", "dial tcp 10.0.0.1:443: connect: connection refused", true},
		{"ErrImagePull", "read: connection reset by peer", true},
		{"ErrImagePull", "dial tcp 10.0.0.1:443: i/o timeout", true},
		{"ErrImagePull", "failed to copy: httpReadSeeker: failed open: unexpected EOF", true},
		{"ErrImagePull", "pull QPS exceeded", true},
		{"ErrImagePull", "unexpected status from HEAD request to https://r/v2/i/manifests/1: 429 Too Many Requests", true},
		{"ErrImagePull", "unexpected status from HEAD request to https://r/v2/i/manifests/1: 503 Service Unavailable", true},
		{"ErrImagePull", `failed to resolve reference "r/i:1": r/i:1: not found`, false},
		{"ErrImagePull", "", false},
		{"ImagePullBackOff", `Back-off pulling image "r/i:1": ErrImagePull: dial tcp 10.0.0.1:443: i/o timeout`, true},
		{"ImagePullBackOff", `Back-off pulling image "r/i:1": ErrImagePull: r/i:1: not found`, false},
		{"ImagePullBackOff", `Back-off pulling image "r/i:1"`, false},
		{"CrashLoopBackOff", "context deadline exceeded", false},
	} {
		t.Run(c.reason+" "+c.message, func(t *testing.T) {
			now := &clock{t: time.Unix(1000, 0)}
			w := wait(t, now, jobText)
			// What it waited for a node does not count.
			w.put(pod(t, "p", "job", "Job", "unschedulable"))
			if _, err := w.check(silent{}); err != nil {
				t.Fatal(err)
			}
			now.t = now.t.Add(29 * time.Second)
			w.put(waits(t, c.reason, c.message))
			if _, err := w.check(silent{}); (err == nil) != c.passes {
				t.Fatalf("at once: %v", err)
			}
			now.t = now.t.Add(29 * time.Second)
			if _, err := w.check(silent{}); (err == nil) != c.passes {
				t.Fatalf("within the grace: %v", err)
			}
			now.t = now.t.Add(time.Second)
			_, err := w.check(silent{})
			var trouble *PodError
			if !errors.As(err, &trouble) || trouble.Reason != c.reason {
				t.Errorf("after the grace: %v", err)
			}
		})
	}
}

func TestAPullThatFailsForAMomentIsTriedAgain(t *testing.T) {
	const passing, silently = "dial tcp 10.0.0.1:443: i/o timeout", `Back-off pulling image "r/i:1"`
	now := &clock{t: time.Unix(1000, 0)}
	w := wait(t, now, jobText)
	say := func(after time.Duration, reason, message string) error {
		now.t = now.t.Add(after)
		w.put(waits(t, reason, message))
		_, err := w.check(silent{})
		return err
	}
	for range 2 { // once it runs, all begins anew
		for _, err := range []error{
			say(0, "ErrImagePull", passing), say(10*time.Second, "ImagePullBackOff", silently),
			say(10*time.Second, "ErrImagePull", passing), say(time.Hour, "", ""),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := say(0, "ErrImagePull", passing); err != nil {
		t.Fatal(err)
	}
	if err := say(time.Second, "ErrImagePull", "r/i:1: not found"); err == nil {
		t.Error("the second try's answer does not count")
	}
	if err := say(29*time.Second, "ImagePullBackOff", silently); err == nil {
		t.Error("pulls and the rests between them have a grace each")
	}
}

func TestRanksThatDieAtOnceWereNeverThere(t *testing.T) {
	c := &clock{t: time.Unix(1000, 0)}
	w := wait(t, c, jobText)
	both := func(state string) bool {
		t.Helper()
		w.put(pod(t, "p0", "job", "Job", state))
		w.put(pod(t, "p1", "job", "Job", state))
		done, err := w.check(silent{})
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	if both("ready") {
		t.Error("there without settling")
	}
	c.t = c.t.Add(2 * time.Second)
	if both("running") {
		t.Error("there without being ready")
	}
	if c.t = c.t.Add(2 * time.Second); both("ready") {
		t.Error("the settle time goes on over a break")
	}
	if c.t = c.t.Add(3 * time.Second); !both("ready") {
		t.Error("not there after the settle time")
	}
}

func TestPodsOfAFormerTemplateDoNotCount(t *testing.T) {
	deployment := `{apiVersion: apps/v1, kind: Deployment, metadata: {name: d, namespace: ns, uid: dep, generation: 2}, spec: {replicas: 1, template: {spec: {}}}, status: {observedGeneration: 2, replicas: 1, updatedReplicas: 1, readyReplicas: 1, availableReplicas: 1, conditions: [{type: Available, status: "True"}]}}`
	w := wait(t, &clock{}, deployment)
	for revision, uid := range map[string]string{"1": "old", "2": "new"} {
		w.put(object(t, `{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: `+uid+`, namespace: ns, uid: `+uid+`, annotations: {deployment.kubernetes.io/revision: "`+revision+`"}, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: d, uid: dep, controller: true}]}}`))
	}
	w.options.Settle = -1
	w.put(pod(t, "broken", "old", "ReplicaSet", "crash"))
	if done, err := w.check(silent{}); err != nil || !done {
		t.Fatalf("done = %v, err = %v: the pod of the former template was counted", done, err)
	}
	w.put(pod(t, "fresh", "new", "ReplicaSet", "crash"))
	if _, err := w.check(silent{}); err == nil {
		t.Error("the crash of the new template's pod went unnoticed")
	}
}

// The Deployment's event may come before that of the ReplicaSet that it tells of.
func TestAReplicaSetThatIsNotSeenYetIsNotTheFormerOne(t *testing.T) {
	w := wait(t, &clock{}, `{apiVersion: apps/v1, kind: Deployment, metadata: {name: d, namespace: ns, uid: dep, generation: 2, annotations: {deployment.kubernetes.io/revision: "2"}}, spec: {replicas: 1, template: {spec: {}}}, status: {observedGeneration: 2, replicas: 1, unavailableReplicas: 1}}`)
	set := func(uid, revision string) *unstructured.Unstructured {
		return object(t, `{apiVersion: apps/v1, kind: ReplicaSet, metadata: {name: `+uid+`, namespace: ns, uid: `+uid+`, annotations: {deployment.kubernetes.io/revision: "`+revision+`"}, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: d, uid: dep, controller: true}]}}`)
	}
	w.put(set("old", "1"))
	w.put(pod(t, "broken", "old", "ReplicaSet", "crash"))
	if _, err := w.check(silent{}); err != nil {
		t.Errorf("the former template's pods count: %v", err)
	}
	w.put(set("new", "2"))
	w.put(pod(t, "fresh", "new", "ReplicaSet", "pull"))
	if _, err := w.check(silent{}); err == nil || !strings.Contains(err.Error(), "pod fresh") {
		t.Errorf("the new template's pods do not count: %v", err)
	}
}

func TestWhatIsConfigurationIsNotWaitedFor(t *testing.T) {
	for text, want := range map[string]bool{
		`{apiVersion: v1, kind: ConfigMap, metadata: {name: x}}`:              false,
		`{apiVersion: v1, kind: Service, metadata: {name: x}}`:                false,
		`{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: x}}`:  false,
		`{apiVersion: batch/v1, kind: CronJob, metadata: {name: x}}`:          false,
		`{apiVersion: batch/v1, kind: Job, metadata: {name: x}}`:              true,
		`{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: x}}`:       true,
		`{apiVersion: ray.io/v1, kind: RayCluster, metadata: {name: x}}`:      true,
		`{apiVersion: jobset.x-k8s.io/v1, kind: JobSet, metadata: {name: x}}`: true,
	} {
		if got := Waited(object(t, text)); got != want {
			t.Errorf("%s: %v", text, got)
		}
	}
}

// Wait itself, over a watch: the pods become ready while it waits.
func TestWaitEndsWhenTheLastRankIsReady(t *testing.T) {
	job := object(t, jobText)
	client, d := newClient(t, job, pod(t, "p0", "job", "Job", "ready"), pod(t, "p1", "job", "Job", "running"))
	ended := make(chan error, 1)
	waited := &notes{said: make(chan string, 8)}
	go func() {
		ended <- client.Wait(t.Context(), []*unstructured.Unstructured{job}, WaitOptions{Settle: -1}, waited)
	}()
	for said := range waited.said {
		if strings.Contains(said, "1 of 2") {
			break
		}
	}
	if err := d.Tracker().Update(podGVK.GroupVersion().WithResource("pods"), pod(t, "p1", "job", "Job", "ready"), "ns"); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("still waiting")
	}
}

type notes struct {
	silent
	said chan string
}

func (n *notes) Note(format string, args ...any) {
	text := format
	for _, a := range args {
		if s, ok := a.(string); ok {
			text += " " + s
		}
	}
	n.said <- text
}

func TestAJobGoesThroughThePhases(t *testing.T) {
	c := &clock{t: time.Unix(1000, 0)}
	w := wait(t, c, strings.Replace(jobText, "spec: {", "spec: {suspend: true, ", 1))
	var seen []Phase
	w.options.Seen = func(s Standing) { seen = append(seen, s.Phase) }
	look := func() bool {
		t.Helper()
		done, err := w.check(silent{})
		if err != nil {
			t.Fatal(err)
		}
		return done
	}
	both := func(state string) {
		for _, name := range []string{"p0", "p1"} {
			p := pod(t, name, "job", "Job", state)
			if state != "unschedulable" {
				_ = unstructured.SetNestedField(p.Object, "node", "spec", "nodeName")
			}
			w.put(p)
		}
	}
	look()
	w.put(object(t, jobText))
	look()
	both("unschedulable")
	look()
	both("creating")
	look()
	both("running")
	look()
	both("ready")
	look()
	c.t = c.t.Add(3 * time.Second)
	if !look() {
		t.Error("started is not what it waits for")
	}
	w.options.Until = UntilComplete
	if look() {
		t.Error("a running Job counts as complete")
	}
	both("succeeded")
	if look() {
		t.Error("pods that ended make no complete Job")
	}
	w.put(object(t, strings.Replace(jobText, "active: 2", `conditions: [{type: Complete, status: "True"}]`, 1)))
	if !look() {
		t.Error("a complete Job does not count")
	}
	want := []Phase{Queued, Admitted, Pulling, Starting, Started, Running, Complete}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Error(diff)
	}
}

func TestATimeoutNamesTheState(t *testing.T) {
	w := wait(t, &clock{}, strings.Replace(strings.Replace(jobText, "spec: {", "spec: {suspend: true, ", 1), "uid: job", "uid: job, labels: {kueue.x-k8s.io/queue-name: gpus}", 1))
	if _, err := w.check(silent{}); err != nil {
		t.Fatal(err)
	}
	err := &TimeoutError{Pending: w.pending(), Err: context.DeadlineExceeded}
	if want := "still waiting for Job/j: Queued: suspended, waits in Kueue's queue gpus: context deadline exceeded"; err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func TestUntilCompleteAServiceIsEnoughWhenItRuns(t *testing.T) {
	w := wait(t, &clock{}, `{apiVersion: apps/v1, kind: Deployment, metadata: {name: d, namespace: ns, uid: dep, generation: 1}, spec: {replicas: 1, template: {spec: {}}}, status: {observedGeneration: 1, replicas: 1, updatedReplicas: 1, readyReplicas: 1, availableReplicas: 1, conditions: [{type: Available, status: "True"}]}}`)
	w.options.Until, w.options.Settle = UntilComplete, -1
	if done, err := w.check(silent{}); err != nil || !done {
		t.Errorf("done = %v, err = %v: %v", done, err, w.pending())
	}
}

// A rollout is watched from its first moment on, when the controller has not
// seen it yet: what fails then are the pods that it is to mend.
func TestPodsOfAFormerSpecDoNotFailItsFix(t *testing.T) {
	const set = `{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: o, namespace: ns, uid: o, generation: 2}, spec: {replicas: 1, template: {spec: {}}}, status: {observedGeneration: OBSERVED, replicas: 1, updateRevision: REVISION}}`
	const daemons = `{apiVersion: apps/v1, kind: DaemonSet, metadata: {name: o, namespace: ns, uid: o, generation: 2, annotations: {deprecated.daemonset.template.generation: "2"}}, spec: {template: {spec: {}}}, status: {observedGeneration: OBSERVED, desiredNumberScheduled: 1}}`
	const groups = `{apiVersion: leaderworkerset.x-k8s.io/v1, kind: LeaderWorkerSet, metadata: {name: o, namespace: ns, uid: o, generation: 2}, spec: {replicas: 1}, status: {observedGeneration: OBSERVED}}`
	for _, c := range []struct {
		name, object, observed, revision string
		labels                           map[string]string
		fails                            bool
	}{
		{name: "a StatefulSet that was not looked at", object: set, observed: "1", revision: "old", labels: map[string]string{"controller-revision-hash": "old"}},
		{name: "a StatefulSet that replaces its pods", object: set, observed: "2", revision: "new", labels: map[string]string{"controller-revision-hash": "old"}},
		{name: "a StatefulSet whose fix fails", object: set, observed: "2", revision: "new", labels: map[string]string{"controller-revision-hash": "new"}, fails: true},
		{name: "a DaemonSet that was not looked at", object: daemons, observed: "1", labels: map[string]string{"pod-template-generation": "1"}},
		{name: "a DaemonSet that replaces its pods", object: daemons, observed: "2", labels: map[string]string{"pod-template-generation": "1"}},
		{name: "a DaemonSet whose fix fails", object: daemons, observed: "2", labels: map[string]string{"pod-template-generation": "2"}, fails: true},
		{name: "a LeaderWorkerSet that was not looked at", object: groups, observed: "1", labels: map[string]string{"leaderworkerset.sigs.k8s.io/name": "o"}},
		{name: "a LeaderWorkerSet whose pods fail", object: groups, observed: "2", labels: map[string]string{"leaderworkerset.sigs.k8s.io/name": "o"}, fails: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := wait(t, &clock{}, strings.NewReplacer("OBSERVED", c.observed, "REVISION", c.revision).Replace(c.object))
			p := pod(t, "p", "o", w.refs[0].Kind, "crash")
			p.SetLabels(c.labels)
			w.put(p)
			done, err := w.check(silent{})
			var crash *PodError
			if errors.As(err, &crash) != c.fails || done {
				t.Errorf("done = %v, err = %v", done, err)
			}
			if phase := w.verdicts[w.refs[0]].phase; !c.fails && phase != Admitted {
				t.Errorf("phase = %s", phase)
			}
		})
	}
}
