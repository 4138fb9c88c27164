//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// broken is a run that something stands in the way of. The error of who waits
// for it and `why` have to say the same of it.
type broken struct {
	name   string
	code   string                        // train.py; "": it sleeps
	patch  string                        // of the Job, in kustomize's strategic merge
	before string                        // what is in its namespace already; NS is its name
	args   []string                      // of `run`
	after  func(t *testing.T, ns string) // what happens to it then
	verb   string                        // validate; "": run

	id   string // of the error
	exit int
	kind string // of the cause
	says string // the cause
	next string
}

// container is a patch of the container that runs the code.
func container(fields string) string {
	return "{spec: {template: {spec: {containers: [{name: main, " + fields + "}]}}}}"
}

// podSpec is a patch of the pod.
func podSpec(fields string) string { return "{spec: {template: {spec: {" + fields + "}}}}" }

const (
	failed     = "RUN-003" // it ended, and not well
	unfinished = "RUN-008" // it goes on, or cannot begin
	refused    = "RUN-005" // it ended well, and is not good enough
)

// webhookOf is a webhook for one namespace alone that nobody serves, and
// policyOf a policy for one namespace alone that refuses every pod.
const (
	webhookOf = `{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingWebhookConfiguration, metadata: {name: NS, labels: {failures: "true"}}, webhooks: [
  {name: nobody.example.com, failurePolicy: Fail, sideEffects: None, timeoutSeconds: 1, admissionReviewVersions: [v1],
   namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NS}}, clientConfig: {service: {namespace: NS, name: nobody}},
   rules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [RESOURCE]}]}]}`
	policyOf = `{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicy, metadata: {name: NS, labels: {failures: "true"}}, spec: {
  matchConstraints: {resourceRules: [{apiGroups: [""], apiVersions: [v1], operations: [CREATE], resources: [RESOURCE]}]},
  validations: [{expression: "false", message: "team policy: not on Fridays"}]}}
---
{apiVersion: admissionregistration.k8s.io/v1, kind: ValidatingAdmissionPolicyBinding, metadata: {name: NS, labels: {failures: "true"}}, spec: {
  policyName: NS, validationActions: [Deny], matchResources: {namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: NS}}}}}`
)

func brokenRuns() []broken {
	sh := func(script string) string { return container(fmt.Sprintf("command: [sh, -c, %q]", script)) }
	image := func(name string) string { return container(fmt.Sprintf("image: %q", name)) }
	return []broken{
		// It ends, and the code says of what.
		{
			name: "memory limit", code: "import time\ntime.sleep(2) # until containerd listens for it\nx = bytearray(300 << 20)\nfor i in range(0, len(x), 4096): x[i] = 1\n", patch: container("resources: {limits: {memory: 48Mi}}"),
			id: failed, exit: 1, kind: "memory", says: "its memory limit of 48Mi", next: "raise resources.limits.memory",
		},
		{
			name: "shared memory", code: "import mmap, os\nf = os.open('/dev/shm/batch', os.O_CREAT | os.O_RDWR)\nos.ftruncate(f, 128 << 20)\nm = mmap.mmap(f, 128 << 20)\nfor i in range(0, 128 << 20, 4096): m[i] = 1\n",
			id: failed, exit: 1, kind: "shm", says: "exit 135: bus error (SIGBUS)", next: "medium: Memory at /dev/shm",
		},
		{
			name: "segmentation fault", code: "import ctypes; ctypes.string_at(0)\n",
			id: failed, exit: 1, kind: "segfault", says: "exit 139: it crashed (SIGSEGV)", next: "faulthandler",
		},
		{
			name: "killed", patch: sh("sleep 600 & kill -KILL $!; wait $!; exit $?"),
			id: failed, exit: 1, kind: "killed", says: "exit 137: it was killed (SIGKILL)", next: "kubectl logs",
		},
		{
			name: "told to end", patch: sh("sleep 600 & kill -TERM $!; wait $!; exit $?"),
			id: failed, exit: 1, kind: "killed", says: "exit 143: it was told to end (SIGTERM)", next: "kubectl logs",
		},
		{
			name: "no such program", patch: container("command: [no-such-program]"),
			id: failed, exit: 1, kind: "command", says: "its command cannot be started, StartError", next: "correct command:",
		},
		{
			name: "no such program in a script", patch: sh("no-such-program"),
			id: failed, exit: 1, kind: "command", says: "exit 127: its command was not found", next: "build the program into the image",
		},
		{
			name: "no program", patch: sh("exec /app/train.py"), code: "print('never')\n",
			id: failed, exit: 1, kind: "command", says: "exit 126: its command is no program", next: "make it executable",
		},
		{
			name: "a traceback", code: "raise ValueError('batch of 0 samples')\n",
			id: failed, exit: 1, kind: "exit", says: "exit 1", next: "kubectl logs",
		},
		{
			name: "an argument that it does not know", code: "import argparse\nargparse.ArgumentParser().parse_args()\n", patch: container("command: [python3, train.py, --lrr, '1']"),
			id: failed, exit: 1, kind: "argument", says: "does not know the argument --lrr 1", next: "correct args:",
		},
		{
			name: "a module is missing", code: "import torch_that_is_not_there\n",
			id: failed, exit: 1, kind: "import", says: "there is no Python module torch_that_is_not_there", next: "build torch_that_is_not_there into the runtime image",
		},
		{
			name: "a name is missing in a module", code: "from json import faster\n",
			id: failed, exit: 1, kind: "import", says: "cannot import name 'faster'", next: "of another version",
		},
		{
			name: "the data is missing", code: "open('/data/train.csv')\n",
			id: failed, exit: 1, kind: "files", says: "there is no file '/data/train.csv'", next: "mount the volume with the data",
		},
		{
			name: "a file that it may not open", code: "open('/etc/shadow')\n", patch: container("securityContext: {runAsUser: 65532}"),
			id: failed, exit: 1, kind: "files", says: "its user may not open '/etc/shadow'", next: "fsGroup",
		},
		{
			name: "a file system that is read-only", code: "open('/checkpoint.bin', 'wb')\n", patch: container("securityContext: {readOnlyRootFilesystem: true}"),
			id: failed, exit: 1, kind: "files", says: "it writes where nothing can be written: '/checkpoint.bin'", next: "mount an emptyDir",
		},
		{
			name: "a port that is taken", code: "import socket\na, b = socket.socket(), socket.socket()\na.bind(('', 29500))\nb.bind(('', 29500))\n",
			id: failed, exit: 1, kind: "port", says: "a port that it wants is taken", next: "MASTER_PORT",
		},
		{
			name: "a rank that nobody knows", code: "import socket\nsocket.create_connection(('train-9.nowhere.invalid', 29500))\n",
			id: failed, exit: 1, kind: "gang", says: "it could not reach another rank", next: "headless Service",
		},
		{
			name: "a loss that is NaN", code: "print('step 11 loss 2.1')\nraise FloatingPointError('loss is nan at step 12')\n",
			id: failed, exit: 1, kind: "nan", says: "the loss is no number: loss is nan at step 12", next: "a lower learning rate",
		},
		{
			name: "an init container", patch: podSpec("initContainers: [{name: prepare, image: 'python:3.11-slim', command: [sh, -c, 'echo no data; exit 3']}]"),
			id: failed, exit: 1, kind: "init", says: "init container prepare: exit 3", next: "-c prepare",
		},
		{
			name: "a deadline", patch: "{spec: {activeDeadlineSeconds: 2}}",
			id: failed, exit: 1, kind: "deadline", says: "DeadlineExceeded", next: "raise activeDeadlineSeconds",
		},
		{
			name: "a liveness probe", patch: container("livenessProbe: {exec: {command: ['false']}, periodSeconds: 1, failureThreshold: 1}"),
			id: failed, exit: 1, kind: "probe", says: "the kubelet killed it: Liveness probe failed", next: "failureThreshold",
		},
		{
			name: "a disk that is full", code: "import time\nopen('/tmp/big', 'wb').write(b'x' * (40 << 20))\ntime.sleep(600)\n", patch: container("resources: {limits: {ephemeral-storage: 1Mi}}"),
			id: failed, exit: 1, kind: "disk", says: "Evicted: ", next: "ephemeral-storage",
		},

		// It ends well, and is not good enough.
		{
			name: "a metric that is NaN", verb: "validate", code: `print('{"metrics": [{"name": "accuracy", "value": NaN}]}')` + "\n",
			id: refused, exit: 5, kind: "nan", says: "accuracy is NaN", next: "lower learning rate",
		},
		{
			name: "a metric that was never reported", verb: "validate", code: "print('accuracy: fine')\n",
			id: refused, exit: 5, kind: "refused", says: "accuracy was never reported", next: "validate again",
		},

		// It cannot begin.
		{
			name: "quota", before: "{apiVersion: v1, kind: ResourceQuota, metadata: {name: team, namespace: NS}, spec: {hard: {pods: '0'}}}",
			id: unfinished, exit: 124, kind: "quota", says: "ResourceQuota team: 0 of 0 pods used", next: "kubectl describe resourcequota",
		},
		{
			name: "more GPUs than there are", args: []string{"--gpus", "400"},
			id: unfinished, exit: 124, kind: "never", says: "it wants 400 nvidia.com/gpu", next: "ask for less",
		},
		{
			name: "more processors than there are", patch: container("resources: {requests: {cpu: '4000'}}"),
			id: unfinished, exit: 124, kind: "never", says: "4k cpu", next: "ask for less",
		},
		{
			name: "a device that no node has", patch: container("resources: {limits: {example.com/tpu: 1}}"),
			id: unfinished, exit: 124, kind: "resource", says: "no node has the resource example.com/tpu", next: "nvidia.com/gpu",
		},
		{
			name: "a node selector", patch: podSpec("nodeSelector: {gpu: b300}"),
			id: unfinished, exit: 124, kind: "node", says: "labels do not match the node selector", next: "correct nodeSelector",
		},
		{
			name: "a taint", patch: podSpec("nodeSelector: {node-role.kubernetes.io/control-plane: ''}"),
			id: unfinished, exit: 124, kind: "node", says: "taint node-role.kubernetes.io/control-plane:NoSchedule", next: "tolerations",
		},
		{
			name: "a limit range", patch: container("resources: {limits: {memory: 64Mi}}"),
			before: "{apiVersion: v1, kind: LimitRange, metadata: {name: small, namespace: NS}, spec: {limits: [{type: Container, max: {memory: 16Mi}}]}}",
			id:     unfinished, exit: 124, kind: "limits", says: "maximum memory usage per Container is 16Mi, but limit is 64Mi", next: "kubectl describe limitrange",
		},
		{
			name: "pod security", before: "{apiVersion: v1, kind: Namespace, metadata: {name: NS, labels: {failures: 'true', pod-security.kubernetes.io/enforce: restricted}}}",
			id: unfinished, exit: 124, kind: "security", says: "violates PodSecurity", next: "securityContext",
		},
		{
			name: "a user that may not be root", patch: container("securityContext: {runAsNonRoot: true}"),
			id: unfinished, exit: 124, kind: "security", says: "runAsNonRoot", next: "runAsUser",
		},
		{
			name: "a service account that is not there", patch: podSpec("serviceAccountName: nobody"),
			id: unfinished, exit: 124, kind: "reference", says: `service account`, next: "kubectl get serviceaccounts",
		},
		{
			name: "a priority class that is not there", patch: podSpec("priorityClassName: urgent"),
			id: unfinished, exit: 124, kind: "reference", says: "no PriorityClass with name urgent", next: "kubectl get priorityclasses",
		},
		{
			name: "a runtime class that is not there", patch: podSpec("runtimeClassName: nvidia-none"),
			id: unfinished, exit: 124, kind: "reference", says: `RuntimeClass "nvidia-none" not found`, next: "kubectl get runtimeclasses",
		},
		{
			name: "a policy", before: strings.ReplaceAll(policyOf, "RESOURCE", "pods"),
			id: unfinished, exit: 124, kind: "policy", says: "team policy: not on Fridays", next: "whoever wrote the policy",
		},
		{
			name: "a webhook that does not answer", before: strings.ReplaceAll(webhookOf, "RESOURCE", "pods"),
			id: unfinished, exit: 124, kind: "webhook", says: `failed calling webhook "nobody.example.com"`, next: "kubectl get validatingwebhookconfigurations",
		},
		{
			name: "an image that is not there", patch: image("localhost:" + registryPort + "/failures/missing:1"),
			id: unfinished, exit: 124, kind: "image", says: "failures/missing:1", next: "kubectl ai sandbox load localhost:" + registryPort + "/failures/missing:1",
		},
		{
			name: "a registry that is not there", patch: image("registry.invalid:5000/trainer:1"),
			id: unfinished, exit: 124, kind: "registry", says: "registry.invalid", next: "look at the registry in the image's name",
		},
		{
			name: "an image's name that is none", patch: image("registry.invalid/Trainer:1"),
			id: unfinished, exit: 124, kind: "image", says: "InvalidImageName", next: "correct the image's name",
		},
		{
			name: "an image that may not be pulled", patch: container("image: 'registry.invalid/held:1', imagePullPolicy: Never"),
			id: unfinished, exit: 124, kind: "image", says: "ErrImageNeverPull", next: "imagePullPolicy",
		},
		{
			name: "a ConfigMap for variables", patch: container("envFrom: [{configMapRef: {name: settings}}]"),
			id: unfinished, exit: 124, kind: "reference", says: `configmap "settings" not found`, next: "kubectl get configmaps",
		},
		{
			name: "a Secret for variables", patch: container("env: [{name: TOKEN, valueFrom: {secretKeyRef: {name: hub, key: token}}}]"),
			id: unfinished, exit: 124, kind: "reference", says: `secret "hub" not found`, next: "kubectl create secret",
		},
		{
			name: "a ConfigMap to mount", patch: podSpec("containers: [{name: main, volumeMounts: [{name: v, mountPath: /v}]}], volumes: [{name: v, configMap: {name: files}}]"),
			id: unfinished, exit: 124, kind: "reference", says: `configmap "files" not found`, next: "kubectl get configmaps",
		},
		{
			name: "a claim that is not there", patch: podSpec("containers: [{name: main, volumeMounts: [{name: v, mountPath: /v}]}], volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]"),
			id: unfinished, exit: 124, kind: "volume", says: `persistentvolumeclaim "data" not found`, next: "kubectl get persistentvolumeclaims",
		},
		{
			name: "a claim that is not bound", patch: podSpec("containers: [{name: main, volumeMounts: [{name: v, mountPath: /v}]}], volumes: [{name: v, persistentVolumeClaim: {claimName: data}}]"),
			before: "{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: data, namespace: NS}, spec: {storageClassName: none-such, accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Mi}}}}",
			id:     unfinished, exit: 124, kind: "volume", says: "unbound immediate PersistentVolumeClaims", next: "storageclasses",
		},
		{
			name: "a port of the node that is taken", args: []string{"--ranks", "2"}, patch: podSpec("nodeSelector: {kubernetes.io/hostname: " + sandboxName + "-worker}, containers: [{name: main, ports: [{containerPort: 18999, hostPort: 18999}]}]"),
			id: unfinished, exit: 124, kind: "port", says: "didn't have free ports", next: "hostPort",
		},

		// It runs, and does not come to anything.
		{
			name: "it crashes again and again", code: "import sys; sys.exit(4)\n", patch: "{spec: {backoffLimit: 6, template: {spec: {restartPolicy: OnFailure}}}}",
			id: unfinished, exit: 124, kind: "crash", says: "exit 4; it was started", next: "kubectl logs",
		},
		{
			name: "it is never ready", patch: container("readinessProbe: {exec: {command: ['false']}, periodSeconds: 1}"),
			id: unfinished, exit: 124, kind: "probe", says: "runs and is not ready: Readiness probe failed", next: "correct its probe",
		},
		{
			name: "a rank that has left the gang", args: []string{"--ranks", "2"}, code: "import os, time\nif os.environ['JOB_COMPLETION_INDEX'] == '0': time.sleep(600)\n",
			id: unfinished, exit: 124, kind: "gang", says: "1 of 2 ranks run, and wait for ever if they wait for the others: rank 1 has ended well", next: "kubectl logs job/",
		},
		{
			name: "a rank that does not come back", args: []string{"--ranks", "2"}, patch: "{spec: {backoffLimit: 6}}",
			after: loseARank,
			// The server refuses its pods, and after 20 s the gang is taken back and
			// waits: both name the quota.
			id: unfinished, exit: 124, kind: "quota", says: "team", next: "kubectl describe resourcequota",
		},
	}
}

// bundle writes the bundle of a run that cannot end well.
func (b broken) bundle(t *testing.T, ns string) string {
	dir := filepath.Join(t.TempDir(), ns)
	code, stage := b.code, "train"
	if code == "" {
		code = "import time\ntime.sleep(600)\n"
	}
	if b.verb != "" {
		stage = b.verb
	}
	files := map[string]string{
		"kubectl-ai.yaml": "apiVersion: kubectl-ai.dev/v1alpha1\nkind: Project\nmetadata: {name: " + ns + "}\ncode: [{path: src, mountPath: /app}]\n" +
			"metrics: [{name: accuracy, goal: maximize, threshold: 0.9}]\nenvironments: {sandbox: {context: kind-" + sandboxName + "}}\n",
		"src/train.py": code,
		"base/train.yaml": `apiVersion: batch/v1
kind: Job
metadata: {name: train, labels: {kubectl-ai.dev/stage: ` + stage + `}}
spec:
  completionMode: Indexed
  completions: 1
  parallelism: 1
  backoffLimit: 0
  template:
    spec:
      restartPolicy: Never
      terminationGracePeriodSeconds: 1
      containers:
      - {name: main, image: "python:3.11-slim", workingDir: /app, command: [python3, train.py]}
`,
		"base/kustomization.yaml": "resources: [train.yaml]\n",
	}
	files["overlays/sandbox/kustomization.yaml"] = "namespace: " + ns + "\nresources: [../../base]\n"
	if b.patch != "" {
		files["overlays/sandbox/kustomization.yaml"] += "patches:\n- target: {kind: Job}\n  patch: |-\n    apiVersion: batch/v1\n    kind: Job\n    metadata: {name: train}\n    spec: " +
			strings.TrimSuffix(strings.TrimPrefix(b.patch, "{spec: "), "}") + "\n"
	}
	write(t, dir, files)
	return dir
}

// loseARank deletes the pod of rank 1 and lets nobody make another one.
func loseARank(t *testing.T, ns string) {
	eventually(t, time.Minute, func() error {
		// Both run: a gang that got half of its ranks would be taken back, and wait.
		if phases := kubectl(t, sandboxName, "get", "pods", "-n", ns, "-l", "kubectl-ai.dev/run", "-o", "jsonpath={.items[*].status.phase}"); phases != "Running Running" {
			return fmt.Errorf("pods are %q", phases)
		}
		return nil
	})
	apply(t, sandboxName, "{apiVersion: v1, kind: ResourceQuota, metadata: {name: team, namespace: "+ns+"}, spec: {hard: {pods: '1'}}}")
	waitForQuota(t, ns)
	kubectl(t, sandboxName, "delete", "pod", "-n", ns, "-l", "batch.kubernetes.io/job-completion-index=1", "--wait=false")
}

var runID = regexp.MustCompile(`(?:run/|validation )([a-z0-9]{6})`)

// TestFailuresOfRuns breaks runs in all ways at once and then asks of each
// what is the matter: who waits for it is told by the error, and everybody
// else by why, which also names nothing else before.
func TestFailuresOfRuns(t *testing.T) {
	all := brokenRuns()
	type made struct {
		ns, dir string
		result
	}
	runs := make([]made, len(all))
	var before strings.Builder
	for i, b := range all {
		ns := fmt.Sprintf("fails-%02d", i)
		runs[i] = made{ns: ns, dir: b.bundle(t, ns)}
		fmt.Fprintf(&before, "{apiVersion: v1, kind: Namespace, metadata: {name: %s, labels: {failures: 'true'}}}\n---\n%s\n---\n", ns, strings.ReplaceAll(b.before, "NS", ns))
	}
	t.Cleanup(func() {
		_, _ = tryKubectl(context.Background(), sandboxName, "", "delete", "validatingwebhookconfigurations,validatingadmissionpolicybindings,validatingadmissionpolicies,namespaces", "-l", "failures=true", "--wait=false")
	})
	apply(t, sandboxName, before.String())
	for i, b := range all {
		if strings.Contains(b.before, "admissionregistration") {
			waitForAdmission(t, runs[i].ns, "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: main, image: x}]}}")
		}
		if strings.Contains(b.before, "ResourceQuota") {
			waitForQuota(t, runs[i].ns)
		}
	}
	var group sync.WaitGroup
	atOnce := make(chan struct{}, 4)
	for i, b := range all {
		group.Go(func() {
			atOnce <- struct{}{}
			defer func() { <-atOnce }()
			verb := "run"
			if b.verb != "" {
				verb = b.verb
			}
			runs[i].result = ai(t, append([]string{verb, runs[i].dir, "-o", "name"}, b.args...)...)
		})
	}
	group.Wait()
	for i, b := range all {
		t.Run(b.name, func(t *testing.T) {
			run := runs[i]
			id := runID.FindStringSubmatch(run.stdout + run.stderr)
			if id == nil {
				t.Fatalf("no run was made: exit %d: %s%s", run.code, run.stdout, run.stderr)
			}
			t.Parallel()
			if b.after != nil {
				b.after(t, run.ns)
			}
			b.check(t, run.dir, id[1], run.result)
		})
	}
}

// check asks why until that says the cause, and then the error of who waits.
func (b broken) check(t *testing.T, dir, id string, made result) {
	type explanation struct {
		Causes []struct{ Kind, Message, Next string }
	}
	patience := "1m" // of wait, which returns when the run has ended
	if b.id == unfinished {
		patience = "3s"
	}
	eventually(t, 2*time.Minute, func() error {
		e := decodeRun[explanation](t, must(t, "why", id, "--dir", dir, "-o", "json"))
		first := e.Causes[0]
		if first.Kind != b.kind || !strings.Contains(first.Message, b.says) || !strings.Contains(first.Next, b.next) {
			if first.Kind == "nothing" { // let go by whoever looks next
				must(t, "runs", "list", dir)
			}
			time.Sleep(300 * time.Millisecond)
			return fmt.Errorf("why says %+v", e.Causes)
		}
		r := made // of validate, which waits
		if b.verb == "" {
			r = ai(t, "runs", "wait", id, "--dir", dir, "--follow=false", "--timeout", patience)
		}
		told := r.stderr
		if r.code != b.exit || !strings.Contains(told, "error["+b.id+"]: ") || !strings.Contains(told, b.says) || !strings.Contains(told, "next: ") {
			return fmt.Errorf("exit %d, want %d with %s, %q and a next step:\n%s", r.code, b.exit, b.id, b.says, told)
		}
		if b.verb == "" && !strings.Contains(told, b.next) {
			return fmt.Errorf("no %q is next:\n%s", b.next, told)
		}
		return nil
	})
}
