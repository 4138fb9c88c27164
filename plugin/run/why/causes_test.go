package why

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/run"
	"github.com/kubectl-ai/kubectl-ai/plugin/run/admit"
)

// What is said here was recorded from Kubernetes 1.36 with containerd 2.3, but
// for the registries that want credentials, the node that was drained, the
// preemption and the GPU's memory, which are as their sources print them.

func TestWhatAServerRefusesIsToldApart(t *testing.T) {
	for _, c := range []struct{ said, kind string }{
		{`Error creating: pods "train-0" is forbidden: exceeded quota: team, requested: pods=1, used: pods=1, limited: pods=1`, KindQuota},
		{`Error creating: pods "train-0" is forbidden: maximum memory usage per Container is 16Mi, but limit is 64Mi`, KindLimits},
		{`Error creating: pods "train-0" is forbidden: violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false`, KindSecurity},
		{`Error creating: pods "train-0" is forbidden: error looking up service account ns/nobody: serviceaccount "nobody" not found`, KindReference},
		{`Error creating: pods "train-0" is forbidden: no PriorityClass with name urgent was found`, KindReference},
		{`Error creating: pods "train-0" is forbidden: pod rejected: RuntimeClass "nvidia" not found`, KindReference},
		{`Error creating: Internal error occurred: failed calling webhook "w.example.com": failed to call webhook: Post "https://nobody.ns.svc:443/?timeout=1s": service "nobody" not found`, KindWebhook},
		{`Error creating: pods "train-0" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'p' denied request: not on Fridays`, KindPolicy},
		{`Error creating: admission webhook "w.example.com" denied the request: no`, KindPolicy},
		{`Error creating: something new`, KindDenied},
	} {
		e := Run(run.Record{ID: "me", Namespace: "ns", Phase: apply.Admitted, Ranks: 1}, run.Live{Job: job(1, nil), Denied: c.said}, admit.Seen{}, nil)
		if first := e.Causes[0]; first.Kind != c.kind || !strings.Contains(first.Message, c.said) || first.Next == "" || strings.Contains(first.Next, "NS") {
			t.Errorf("%s: %+v", c.said, e.Causes)
		}
	}
}

func TestWhatAKubeletSaysIsToldApart(t *testing.T) {
	for _, c := range []struct{ reason, said, kind, next string }{
		{"ImagePullBackOff", `Back-off pulling image "localhost:5071/x:1": ErrImagePull: localhost:5071/x:1: not found`, KindImage, "sandbox load i:1"},
		{"ErrImagePull", `failed to do request: Head "https://registry.invalid/v2/x/manifests/1": dial tcp: lookup registry.invalid on 172.18.0.1:53: no such host`, KindRegistry, "look at the registry"},
		{"ErrImagePull", `failed to authorize: failed to fetch anonymous token: unexpected status: 401 Unauthorized: pull access denied`, KindAccess, "create secret docker-registry NAME -n ns"},
		{"InvalidImageName", `couldn't parse image name "X/Y": invalid reference format`, KindImage, "correct the image's name"},
		{"ErrImageNeverPull", `Container image "x:1" is not present with pull policy of Never`, KindImage, "imagePullPolicy"},
		{"CreateContainerConfigError", `configmap "settings" not found`, KindReference, "kubectl get configmaps -n ns"},
		{"CreateContainerConfigError", `couldn't find key token in secret ns/hub`, KindReference, "kubectl get secrets -n ns"},
		{"CreateContainerConfigError", `container has runAsNonRoot and image will run as root`, KindSecurity, "runAsUser"},
		{"CreateContainerError", `failed to generate container spec`, KindContainer, "describe pod p -n ns"},
	} {
		p := pod("p", "me", 1, "1")
		p.Status.Phase = corev1.PodPending
		p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "main", Image: "i:1", State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: c.reason, Message: c.said}}}}
		e := Pod(&p, admit.Seen{}, nil)
		if first := e.Causes[0]; first.Kind != c.kind || !strings.Contains(first.Next, c.next) {
			t.Errorf("%s: %s: %+v", c.reason, c.said, e.Causes)
		}
	}
}

// said is an event of the pod with UID u, so many seconds after the first.
func said(reason, message string, at int64) corev1.Event {
	return corev1.Event{Reason: reason, Message: message, InvolvedObject: corev1.ObjectReference{UID: "u"}, LastTimestamp: metav1.Unix(at, 0)}
}

func TestEventsExplainWhatNoStatusSays(t *testing.T) {
	running := corev1.ContainerStatus{Name: "main", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{}}}
	ended := func(code int32) corev1.ContainerStatus {
		return corev1.ContainerStatus{Name: "main", State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: code, Reason: "Error"}}}
	}
	again := corev1.ContainerStatus{
		Name: "main", RestartCount: 2, State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff"}},
		LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{ExitCode: 4, Reason: "Error"}},
	}
	for _, c := range []struct {
		name   string
		phase  corev1.PodPhase
		status corev1.ContainerStatus
		edit   func(*corev1.Pod)
		events []corev1.Event
		kind   string
		says   string
	}{
		{"a volume", corev1.PodPending, corev1.ContainerStatus{}, nil, []corev1.Event{said("FailedMount", `MountVolume.SetUp failed for volume "v" : configmap "files" not found`, 1)}, KindReference, "files"},
		{"a volume whose ConfigMap is not known yet", corev1.PodPending, corev1.ContainerStatus{}, nil, []corev1.Event{
			said("FailedMount", `MountVolume.SetUp failed for volume "v" : failed to sync configmap cache: timed out waiting for the condition`, 2),
			said("FailedMount", `MountVolume.SetUp failed for volume "kube-api-access" : configmap "kube-root-ca.crt" not found`, 3),
		}, KindNothing, ""},
		{"one that is not known for long", corev1.PodPending, corev1.ContainerStatus{}, nil, []corev1.Event{said("FailedMount", `configmap "kube-root-ca.crt" not found`, 70)}, KindReference, "kube-root-ca.crt"},
		{"a volume that did not mount at first", corev1.PodPending, corev1.ContainerStatus{}, func(p *corev1.Pod) {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReadyToStartContainers, Status: corev1.ConditionTrue}}
		}, []corev1.Event{said("FailedCreatePodSandBox", "network is not ready", 1), said("FailedMount", `secret "s" not found`, 2)}, KindNothing, ""},
		{"never ready", corev1.PodRunning, running, nil, []corev1.Event{said("Unhealthy", "Readiness probe failed: no", 1)}, KindProbe, "is not ready: Readiness"},
		{"killed by a probe", corev1.PodFailed, ended(137), nil, []corev1.Event{said("Unhealthy", "Liveness probe failed: late", 1), said("Killing", "Stopping container main", 2)}, KindProbe, "the kubelet killed it: Liveness probe failed: late"},
		{"killed, and a probe that did not do it", corev1.PodFailed, ended(137), nil, []corev1.Event{said("Unhealthy", "Readiness probe failed", 1), said("Killing", "Stopping container main", 2)}, KindKilled, "exit 137"},
		{"an end of its own after a probe", corev1.PodFailed, ended(1), nil, []corev1.Event{said("Unhealthy", "Liveness probe failed", 1), said("Killing", "Stopping container main", 2)}, KindExit, "exit 1"},
		{"again and again", corev1.PodRunning, again, nil, nil, KindCrash, "exit 4; it was started 3 times"},
		{"evicted", corev1.PodFailed, corev1.ContainerStatus{}, func(p *corev1.Pod) {
			p.Status.Reason, p.Status.Message = "Evicted", "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi. "
		}, nil, KindDisk, "1Mi"},
		{"preempted", corev1.PodFailed, ended(143), func(p *corev1.Pod) {
			p.Status.Conditions = []corev1.PodCondition{{Type: corev1.DisruptionTarget, Status: corev1.ConditionTrue, Reason: "PreemptionByScheduler", Message: "preempting to accommodate a higher priority pod"}}
		}, nil, KindEvicted, "PreemptionByScheduler"},
		{"of another pod", corev1.PodPending, corev1.ContainerStatus{}, func(p *corev1.Pod) { p.UID = "another" }, []corev1.Event{said("FailedMount", "secret", 1)}, KindNothing, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := pod("p", "me", 1, "1")
			p.UID, p.Status.Phase, p.Status.ContainerStatuses = "u", c.phase, []corev1.ContainerStatus{c.status}
			if c.edit != nil {
				c.edit(&p)
			}
			e := Pod(&p, admit.Seen{Now: time.Now()}, c.events)
			if first := e.Causes[0]; first.Kind != c.kind || !strings.Contains(first.Message, c.says) {
				t.Errorf("%+v", e.Causes)
			}
		})
	}
}

func TestTheLogExplainsACodeThatSaysNothing(t *testing.T) {
	for _, c := range []struct{ said, kind, says string }{
		{"ModuleNotFoundError: No module named 'torch'", KindImport, "no Python module torch"},
		{"ImportError: cannot import name 'x' from 'json' (/usr/lib/json.py)", KindImport, "cannot import name 'x'"},
		{"torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB.", KindMemory, "the GPU's memory is full"},
		{"RuntimeError: DataLoader worker (pid 41) is killed by signal: Bus error. It is possible that dataloader's workers are out of shared memory.", KindShm, "shared memory"},
		{"train.py: error: unrecognized arguments: --lrr 1", KindArgument, "--lrr 1"},
		{"train.py: error: the following arguments are required: --data", KindArgument, "--data"},
		{"FloatingPointError: loss is nan at step 12", KindNaN, "loss is nan at step 12"},
		{"OSError: [Errno 28] No space left on device: '/tmp/x'", KindDisk, "/tmp/x"},
		{"OSError: [Errno 30] Read-only file system: '/out'", KindFiles, "'/out'"},
		{"PermissionError: [Errno 13] Permission denied: '/etc/shadow'", KindFiles, "'/etc/shadow'"},
		{"FileNotFoundError: [Errno 2] No such file or directory: '/data'", KindFiles, "'/data'"},
		{"OSError: [Errno 98] Address already in use", KindPort, "taken"},
		{"socket.gaierror: [Errno -2] Name or service not known", KindGang, "another rank"},
		{"ValueError: the balance of the closing is enormous", KindExit, "exit 1"},
	} {
		e := Run(run.Record{ID: "me", Phase: apply.Failed, Exits: []run.Exit{{Code: 1, Pod: "p", Container: "main"}}}, run.Live{}, admit.Seen{}, nil)
		e.Hear(e.Failed()[0], []string{"Traceback (most recent call last):", c.said, ""})
		if first := e.Causes[0]; first.Kind != c.kind || !strings.Contains(first.Message, c.says) || first.Next == "" {
			t.Errorf("%s: %+v", c.said, first)
		}
	}
	// The first that failed says nothing, and its pod is gone: the second matters.
	e := Run(run.Record{ID: "me", Phase: apply.Failed, Exits: []run.Exit{{Code: 1, Pod: "p0", Container: "main"}, {Code: 1, Rank: 1, Pod: "p1", Container: "main"}}}, run.Live{}, admit.Seen{}, nil)
	if e.Causes[0].Next != "kubectl ai logs me" {
		t.Errorf("next of a pod that is gone: %s", e.Causes[0].Next)
	}
	e.Hear(e.Failed()[1], []string{"ModuleNotFoundError: No module named 'torch'"})
	if len(e.Causes) != 2 || !strings.Contains(e.Causes[0].Message, "rank 1, pod p1") || e.Causes[0].Next != "build torch into the runtime image; if it is your own, it has to be below code[].path" {
		t.Errorf("%+v", e.Causes)
	}
	// A code that says what it is of stays what it is, and a long log is cut.
	e = Run(run.Record{ID: "me", Phase: apply.Failed, Exits: []run.Exit{{Code: 139}}}, run.Live{}, admit.Seen{}, nil)
	e.Hear(e.Failed()[0], append(make([]string, 50), "ImportError: x"))
	if e.Causes[0].Kind != KindSegfault || len(e.Log) != lastLines {
		t.Errorf("%+v", e)
	}
}

func TestAGangThatIsNotWhole(t *testing.T) {
	rank := func(name, index string, phase corev1.PodPhase) *corev1.Pod {
		p := pod(name, "me", 1, "1")
		p.Annotations = map[string]string{"batch.kubernetes.io/job-completion-index": index}
		p.Status.Phase = phase
		return &p
	}
	record := run.Record{ID: "me", Namespace: "ns", Job: "train-me", Phase: apply.Running, Ranks: 3}
	live := run.Live{Job: job(3, nil), Pods: []*corev1.Pod{rank("a", "0", corev1.PodRunning), rank("b", "1", corev1.PodSucceeded)}}
	started := metav1.Unix(1, 0)
	live.Job.Status.StartTime = &started
	seen := admit.Seen{Now: started.Add(gathering)}
	e := Run(record, live, seen, nil)
	if first := e.Causes[0]; first.Kind != KindGang || !strings.HasPrefix(first.Message, "1 of 3 ranks run") || !strings.HasSuffix(first.Message, "rank 1 has ended well, rank 2 has no pod") {
		t.Errorf("%+v", e.Causes)
	}
	live.Pods = append(live.Pods[:1], rank("c", "1", corev1.PodRunning), rank("d", "2", corev1.PodRunning))
	if e := Run(record, live, seen, nil); e.Causes[0].Kind != KindNothing {
		t.Errorf("a whole gang: %+v", e.Causes)
	}
	// Ranks on their way are not missing until they are late; one that ended is.
	live.Pods = []*corev1.Pod{rank("a", "0", corev1.PodRunning), rank("b", "1", corev1.PodPending)}
	if e := Run(record, live, admit.Seen{Now: started.Add(gathering - time.Second)}, nil); e.Causes[0].Kind != KindNothing {
		t.Errorf("a gang that gathers: %+v", e.Causes)
	}
	if e := Run(record, live, seen, nil); !strings.HasSuffix(e.Causes[0].Message, ": rank 1 is Pending, rank 2 has no pod") {
		t.Errorf("a gang that does not gather: %+v", e.Causes)
	}
	live.Pods[1].Status.Phase = corev1.PodSucceeded
	if e := Run(record, live, admit.Seen{Now: started.Add(time.Second)}, nil); !strings.HasSuffix(e.Causes[0].Message, ": rank 1 has ended well") {
		t.Errorf("a gang that one has left: %+v", e.Causes)
	}
}
