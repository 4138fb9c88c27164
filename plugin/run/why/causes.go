package why

import (
	"regexp"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-ai/kubectl-ai/plugin/run"
)

// What is seen in a cluster and what it means is said here and nowhere else: a
// row for each sight, the first one that fits counts. In next, POD, NS,
// CONTAINER and IMAGE stand for what they are called.

// sight is what Kubernetes says of something that does not go.
type sight struct {
	reasons []string // as Kubernetes calls it, one of these; none: any
	words   []string // one of these is in its message; none: any
	kind    string
	next    string
}

func (s sight) fits(reason, message string) bool {
	return (len(s.reasons) == 0 || slices.Contains(s.reasons, reason)) &&
		(len(s.words) == 0 || slices.ContainsFunc(s.words, func(w string) bool { return strings.Contains(message, w) }))
}

func find(table []sight, reason, message string) (sight, bool) {
	i := slices.IndexFunc(table, func(s sight) bool { return s.fits(reason, message) })
	if i < 0 {
		return sight{}, false
	}
	return table[i], true
}

var describe = "kubectl describe pod POD -n NS"

// denials are the server's words where it refuses to make a pod. Nothing else
// tells of such a pod, as it never is.
var denials = []sight{
	{words: []string{"exceeded quota", "failed quota"}, kind: KindQuota, next: "kubectl describe resourcequota -n NS; ask for more, or end what uses it"},
	{words: []string{"maximum ", "minimum ", "max limit to request ratio"}, kind: KindLimits, next: "kubectl describe limitrange -n NS; keep resources: of the container within it"},
	{words: []string{"violates PodSecurity"}, kind: KindSecurity, next: "set in the overlay what the message names, in the container's securityContext; kubectl get namespace NS --show-labels"},
	{words: []string{"error looking up service account"}, kind: KindReference, next: "kubectl get serviceaccounts -n NS; name one of them, or put it into the bundle"},
	{words: []string{"no PriorityClass"}, kind: KindReference, next: "kubectl get priorityclasses, and name one of them"},
	{words: []string{"RuntimeClass"}, kind: KindReference, next: "kubectl get runtimeclasses, and name one of them"},
	{words: []string{"failed calling webhook"}, kind: KindWebhook, next: "kubectl get validatingwebhookconfigurations,mutatingwebhookconfigurations; whoever runs the one that is named has to mend it"},
	{words: []string{"denied the request", "denied request"}, kind: KindPolicy, next: "change what the message names, or ask whoever wrote the policy"},
	{kind: KindDenied, next: "kubectl get events -n NS --field-selector reason=FailedCreate"},
}

// pulls are the reasons of a container whose image does not come.
var pulls = []string{"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "ImageInspectError"}

// waitings are containers that wait, and what else a kubelet says by an event
// while a pod does not come up.
var waitings = []sight{
	{reasons: pulls, words: []string{"unauthorized", "authorization failed", "access denied", "403 Forbidden"}, kind: KindAccess, next: "kubectl create secret docker-registry NAME -n NS …, and name it under imagePullSecrets; or kubectl ai sandbox load IMAGE"},
	{reasons: pulls, words: []string{"connection refused", "no such host", "i/o timeout", "dial tcp", "deadline exceeded", "server misbehaving"}, kind: KindRegistry, next: "look at the registry in the image's name, as the nodes reach it; or bring the image from this machine: kubectl ai sandbox load IMAGE"},
	{reasons: []string{"InvalidImageName"}, kind: KindImage, next: "correct the image's name in the overlay"},
	{reasons: []string{"ErrImageNeverPull"}, kind: KindImage, next: "kubectl ai sandbox load IMAGE; or leave imagePullPolicy: Never out"},
	{reasons: pulls, kind: KindImage, next: "kubectl ai sandbox load IMAGE; or push it where the nodes pull from"},
	{reasons: []string{"CreateContainerConfigError"}, words: []string{"configmap"}, kind: KindReference, next: "kubectl get configmaps -n NS; name one of them, or put it into the bundle"},
	{reasons: []string{"CreateContainerConfigError"}, words: []string{"secret"}, kind: KindReference, next: "kubectl get secrets -n NS; name one of them, or make it: kubectl create secret generic"},
	{reasons: []string{"CreateContainerConfigError"}, words: []string{"runAsNonRoot", "non-root"}, kind: KindSecurity, next: "set securityContext.runAsUser to a number that is not 0, or use an image whose USER is one"},
	{reasons: []string{"CreateContainerConfigError", "CreateContainerError"}, kind: KindContainer, next: describe},
	{reasons: []string{"RunContainerError"}, kind: KindCommand, next: "correct command: of the container; kubectl ai render shows what is applied"},
	{reasons: []string{"CrashLoopBackOff"}, kind: KindCrash, next: "kubectl logs POD -n NS -c CONTAINER --previous"},
	{reasons: []string{"FailedMount", "FailedAttachVolume", "FailedMapVolume"}, words: []string{"configmap"}, kind: KindReference, next: "kubectl get configmaps -n NS; name one of them, or put it into the bundle"},
	{reasons: []string{"FailedMount", "FailedAttachVolume", "FailedMapVolume"}, words: []string{"secret"}, kind: KindReference, next: "kubectl get secrets -n NS; name one of them, or make it: kubectl create secret generic"},
	{reasons: []string{"FailedMount", "FailedAttachVolume", "FailedMapVolume"}, kind: KindVolume, next: describe},
	{reasons: []string{"FailedCreatePodSandBox"}, kind: KindContainer, next: describe},
}

// catchingUp are a kubelet's words of what it does not have yet: it begins to
// watch ConfigMaps and Secrets with the first pod that wants them, and the
// server puts its certificate into a namespace a moment after that was made.
var catchingUp = []string{"failed to sync configmap cache", "failed to sync secret cache", `configmap "kube-root-ca.crt" not found`}

// settling is from when on they no longer pass of themselves. Chosen.
const settling = time.Minute

// passing says whether an event of a pod that does not come up tells of
// nothing that stands in its way.
func passing(e corev1.Event, pod *corev1.Pod) bool {
	return run.LastSeen(e).Sub(pod.CreationTimestamp.Time) < settling &&
		slices.ContainsFunc(catchingUp, func(w string) bool { return strings.Contains(e.Message, w) })
}

// unplaced are the scheduler's words that node arithmetic does not have.
var unplaced = []sight{
	{words: []string{"persistentvolumeclaim"}, kind: KindVolume, next: "kubectl get persistentvolumeclaims -n NS"},
	{words: []string{"PersistentVolumeClaims", "volume node affinity"}, kind: KindVolume, next: "kubectl get persistentvolumeclaims,storageclasses -n NS; kubectl describe persistentvolumeclaims -n NS"},
	{words: []string{"free ports"}, kind: KindPort, next: "leave hostPort out, or ask for one that no other pod on the node has"},
	{kind: KindRoom, next: describe},
}

// disruptions are why a pod was ended from outside: reasons of the pod, and of
// its condition DisruptionTarget (KEP-3329).
var disruptions = []sight{
	{reasons: []string{"Evicted"}, words: []string{"ephemeral", "emptyDir", "EmptyDir", "disk"}, kind: KindDisk, next: "raise limits.ephemeral-storage or the volume's sizeLimit in the overlay, or write to a persistent volume"},
	{reasons: []string{"Evicted"}, kind: KindEvicted, next: "kubectl describe nodes; set requests: that are what the program needs"},
	{reasons: []string{"PreemptionByScheduler", "Preempting"}, kind: KindEvicted, next: "kubectl get priorityclasses; a pod of higher priority took its place"},
	{reasons: []string{"DeletionByTaintManager", "EvictionByEvictionAPI", "TerminationByKubelet", "DeletionByPodGC", "NodeLost", "Shutdown", "Terminated"}, kind: KindEvicted, next: "kubectl describe nodes; the node was drained, tainted or lost; run it again"},
}

// ends are how containers end, by reason or by code (128 + the signal).
var ends = []struct {
	reasons []string
	codes   []int
	kind    string
	says    string
	next    string
}{
	{[]string{"StartError", "ContainerCannotRun"}, nil, KindCommand, "its command cannot be started", "correct command: of the container; kubectl ai render shows what is applied"},
	{nil, []int{126}, KindCommand, "its command is no program that can be executed", "make it executable in the image, or call it by its interpreter"},
	{nil, []int{127}, KindCommand, "its command was not found in the image", "correct command: of the container, or build the program into the image"},
	{nil, []int{134}, KindExit, "it aborted (SIGABRT)", ""},
	{nil, []int{135}, KindShm, "bus error (SIGBUS): mostly too little shared memory; /dev/shm has 64 MiB unless a volume is there", "mount an emptyDir with medium: Memory at /dev/shm, and raise limits.memory by its size; or fewer loader workers"},
	{nil, []int{137}, KindKilled, "it was killed (SIGKILL): it did not end in time when it was told to, or something on its node killed it", ""},
	{nil, []int{139}, KindSegfault, "it crashed (SIGSEGV)", "look for a library of the image that does not fit the processor or another library: the log's end, python -X faulthandler"},
	{nil, []int{143}, KindKilled, "it was told to end (SIGTERM)", ""},
}

// words are what programs say before they end with a code of their own. $1 is
// what the expression caught.
var words = []struct {
	said *regexp.Regexp
	kind string
	says string
	next string
}{
	{regexp.MustCompile(`ModuleNotFoundError: No module named '([^']+)'`), KindImport, "there is no Python module $1 in the image, nor in the code", "build $1 into the runtime image; if it is your own, it has to be below code[].path"},
	{regexp.MustCompile(`ImportError: (.+)`), KindImport, "a Python import does not work: $1", "the module in the image is of another version, or a library below it is missing: build the image with the one that the code was written for"},
	{regexp.MustCompile(`(?i)(?:torch|cuda)\S*\.?OutOfMemoryError|CUDA out of memory`), KindMemory, "the GPU's memory is full", "a smaller batch, gradient accumulation, or a GPU with more memory"},
	{regexp.MustCompile(`unable to (?:mmap|write to file|open shared memory object) .*(?:/torch_|/dev/shm)|killed by signal: Bus error`), KindShm, "too little shared memory for the loader's workers", "mount an emptyDir with medium: Memory at /dev/shm; or fewer loader workers"},
	{regexp.MustCompile(`error: unrecognized arguments: (.+)`), KindArgument, "its program does not know the argument $1", "correct args: or command: in the overlay; kubectl ai render shows what is applied"},
	{regexp.MustCompile(`error: (argument .+|the following arguments are required: .+)`), KindArgument, "its program refuses an argument: $1", "correct args: or command: in the overlay; kubectl ai render shows what is applied"},
	{regexp.MustCompile(`(?i)(\S*loss\S*[ :=]+(?:is )?(?:nan|-?inf)\b.*)`), KindNaN, "the loss is no number: $1", "a lower learning rate, clipped gradients; look at the batch before it: kubectl ai runs show has the values"},
	{regexp.MustCompile(`No space left on device(.*)`), KindDisk, "a disk is full$1", "write to a persistent volume, or raise the size of the one that is there"},
	{regexp.MustCompile(`Read-only file system:? ?(.*)`), KindFiles, "it writes where nothing can be written: $1", "mount an emptyDir or a persistent volume there, or write elsewhere"},
	{regexp.MustCompile(`PermissionError: .*: (.+)`), KindFiles, "its user may not open $1", "set securityContext.fsGroup or runAsUser in the overlay, or write to a volume"},
	{regexp.MustCompile(`FileNotFoundError: .*: (.+)`), KindFiles, "there is no file $1", "mount the volume with the data, or correct the path; what is ignored is not brought: kubectl ai why-ignored"},
	{regexp.MustCompile(`Address already in use`), KindPort, "a port that it wants is taken in its pod", "choose another MASTER_PORT, or end the process that has it"},
	{regexp.MustCompile(`DistNetworkError|DistStoreError|NCCL error|ncclSystemError|Temporary failure in name resolution|gaierror|ConnectionRefusedError`), KindGang, "it could not reach another rank or a service", "kubectl get pods,services -n NS: are all ranks there, and is there a headless Service for MASTER_ADDR?"},
}

// eventsOf are what was said of an object, the newest last.
func eventsOf(all []corev1.Event, uid string) []corev1.Event {
	var out []corev1.Event
	for _, e := range all {
		if string(e.InvolvedObject.UID) == uid {
			out = append(out, e)
		}
	}
	slices.SortStableFunc(out, func(a, b corev1.Event) int { return run.LastSeen(a).Compare(run.LastSeen(b)) })
	return out
}

// Denial explains a server's refusal to make any object, not only a pod. It
// says false where the words are none of admission.
func Denial(message, namespace string) (Cause, bool) {
	row, ok := find(denials[:len(denials)-1], "", message)
	return Cause{row.kind, message, strings.ReplaceAll(row.next, "NS", namespace)}, ok
}
