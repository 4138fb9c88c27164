// Package inject turns a rendered bundle into what `dev` applies: an init
// container copies the agent into the pod, a volume holds the generations of
// the code, and the container's command becomes the agent, which starts the
// command that was there. Nothing of it is written to the bundle, and
// nothing of it goes to production.
package inject

import (
	"context"
	"fmt"
	"path"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
)

// Names that an injected pod carries.
const (
	// AgentDir is where containers see the agent, its socket and its state.
	AgentDir = "/.kubectl-ai"
	// AgentPath is the agent inside a container.
	AgentPath = AgentDir + "/ai-agent"
	// ProjectLabel is on every object and pod that dev applies: the
	// project's name, for example digits.
	ProjectLabel = "kubectl-ai.dev/project"
	// ContainersAnnotation lists, on the pod, the containers that run the
	// agent, separated by commas.
	ContainersAnnotation = "kubectl-ai.dev/code-containers"

	agentVolume = "kubectl-ai-agent"
	codeVolume  = "kubectl-ai-code-"
)

// SocketPath returns where the agent of a container listens. Containers of a
// pod share the agent's volume, so each has a folder of its own.
func SocketPath(container string) string {
	return path.Join(AgentDir, container, "agent.sock")
}

// Options say how agents run.
type Options struct {
	Project     string // value of ProjectLabel
	AgentImage  string // holds the agent as /ai-agent
	StopSignal  string // name without SIG, such as TERM
	GracePeriod time.Duration
	Preload     []string // Python modules that the agent imports once
	Checkpoint  Checkpoint
	// Entrypoint returns an image's ENTRYPOINT and CMD, for containers whose
	// manifest gives no command.
	Entrypoint func(ctx context.Context, image string) (entrypoint, cmd []string, err error)
}

// NoArgvError says that nobody knows what a container runs: its manifest
// gives no command and the image's configuration could not be read.
type NoArgvError struct {
	Target string // Kind/name/container
	Image  string
	Err    error
}

func (e *NoArgvError) Error() string {
	return fmt.Sprintf("%s has no command and the entrypoint of image %s is unknown: %v", e.Target, e.Image, e.Err)
}
func (e *NoArgvError) Unwrap() error { return e.Err }

// UnsupportedError says that dev cannot run a kind.
type UnsupportedError struct {
	Target string
	Reason string
}

func (e *UnsupportedError) Error() string { return e.Target + ": " + e.Reason }

// unsupported names kinds whose operators write the command themselves, or
// whose pods dev could not keep.
var unsupported = map[string]string{
	"TrainingRuntime":        "the Trainer writes the command when a TrainJob starts, so dev cannot keep the process",
	"ClusterTrainingRuntime": "the Trainer writes the command when a TrainJob starts, so dev cannot keep the process",
	"RayJob":                 "Ray starts the code itself, so dev cannot keep the process",
	"RayCluster":             "Ray starts the code itself, so dev cannot keep the process",
	"CronJob":                "its pods come and go by the clock; run the same code as a Job while you work on it",
}

// Change is something that a pod loses or gets in dev, said to the user.
type Change struct {
	Object string // Kind/name or Kind/name/container
	What   string
}

// Inject edits the targets' objects in place and returns what their pods
// lose. Objects that hold no target are left as they are but for the label.
func Inject(ctx context.Context, objects []*unstructured.Unstructured, targets []workload.Target, o Options) ([]Change, error) {
	var changes []Change
	for _, obj := range objects {
		labels := obj.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels[ProjectLabel] = o.Project
		obj.SetLabels(labels)
	}
	prepared := map[string]bool{}
	for _, t := range targets {
		if reason, ok := unsupported[t.Object.GetKind()]; ok {
			return nil, &UnsupportedError{Target: t.String(), Reason: reason}
		}
		argv, err := argv(ctx, t, o)
		if err != nil {
			return nil, err
		}
		key := workload.Name(t.Object) + "#" + t.Path
		if !prepared[key] {
			prepared[key] = true
			changes = append(changes, relieveObject(t)...)
			addAgent(t, o)
		}
		changes = append(changes, wrap(t, argv, o)...)
	}
	return changes, nil
}

// argv returns what the container would have run. The table is Kubernetes'
// own (Define a Command and Arguments for a Container): a command replaces
// ENTRYPOINT and CMD, args alone replace CMD.
func argv(ctx context.Context, t workload.Target, o Options) ([]string, error) {
	command, args := t.Container.Command(), t.Container.Args()
	if len(command) > 0 {
		return append(command, args...), nil
	}
	entrypoint, cmd, err := o.Entrypoint(ctx, t.Container.Image())
	if err != nil {
		return nil, &NoArgvError{Target: t.String(), Image: t.Container.Image(), Err: err}
	}
	if args == nil {
		args = literal(cmd)
	}
	all := append(literal(entrypoint), args...)
	if len(all) == 0 {
		return nil, &NoArgvError{Target: t.String(), Image: t.Container.Image(), Err: fmt.Errorf("the image has neither ENTRYPOINT nor CMD")}
	}
	return all, nil
}

// literal escapes what the kubelet would expand: it replaces $(NAME) in a
// manifest's command and leaves the image's own alone.
func literal(items []string) []string {
	out := make([]string, len(items))
	for i, s := range items {
		out[i] = strings.ReplaceAll(s, "$(", "$$(")
	}
	return out
}

// addAgent gives a pod template the agent: its volume and the init container
// that fills it.
func addAgent(t workload.Target, o Options) {
	spec := t.Spec()
	spec["volumes"] = appendTo(spec["volumes"], map[string]any{"name": agentVolume, "emptyDir": map[string]any{}})
	init := map[string]any{
		"name":            agentVolume,
		"image":           o.AgentImage,
		"imagePullPolicy": "IfNotPresent",
		"command":         workload.Strings([]string{"/ai-agent", "install", AgentPath}),
		"volumeMounts":    []any{map[string]any{"name": agentVolume, "mountPath": AgentDir}},
		// A namespace with a quota refuses containers that do not say what they use.
		"resources": map[string]any{
			"requests": map[string]any{"cpu": "10m", "memory": "32Mi"},
			"limits":   map[string]any{"cpu": "500m", "memory": "64Mi"},
		},
	}
	// What the admission of the target's namespace asks of the target it asks
	// of the init container as well.
	if security, ok := t.Container.Map()["securityContext"].(map[string]any); ok {
		init["securityContext"] = runtime.DeepCopyJSON(security)
	}
	inits, _ := spec["initContainers"].([]any)
	spec["initContainers"] = append([]any{init}, inits...)
	t.Label(ProjectLabel, o.Project)
}

// Checkpoint is what a process is asked to write before it is stopped; without
// a path it is not asked.
type Checkpoint struct {
	Path    string // a file or folder, as the process sees it
	Signal  string // name without SIG
	Timeout time.Duration
}

// wrap makes the agent the container's command and takes away the probes,
// which would kill a process that waits for its next generation.
func wrap(t workload.Target, argv []string, o Options) []Change {
	c := t.Container.Map()
	name := t.Container.Name()
	spec := t.Spec()
	volume := codeVolume + name
	spec["volumes"] = appendTo(spec["volumes"], map[string]any{"name": volume, "emptyDir": map[string]any{}})
	c["volumeMounts"] = appendTo(c["volumeMounts"],
		map[string]any{"name": agentVolume, "mountPath": AgentDir},
		map[string]any{"name": volume, "mountPath": t.MountPath},
	)
	run := []string{
		AgentPath, "run", "--mount", t.MountPath, "--socket", SocketPath(name),
		"--stop-signal", o.StopSignal, "--grace", o.GracePeriod.String(),
	}
	if len(o.Preload) > 0 {
		run = append(run, "--preload", strings.Join(o.Preload, ","))
	}
	if k := o.Checkpoint; k.Path != "" {
		run = append(run, "--checkpoint", k.Path, "--checkpoint-signal", k.Signal, "--checkpoint-timeout", k.Timeout.String())
	}
	if t.OwnRendezvous {
		run = append(run, "--fresh-port")
	}
	c["command"] = workload.Strings(append(append(run, "--"), argv...))
	delete(c, "args")

	var lost []Change
	for _, probe := range []string{"livenessProbe", "startupProbe", "readinessProbe"} {
		if _, ok := c[probe]; ok {
			delete(c, probe)
			lost = append(lost, Change{t.String(), "loses its " + probe})
		}
	}
	c["readinessProbe"] = map[string]any{
		"exec":             map[string]any{"command": workload.Strings([]string{AgentPath, "ready", "--socket", SocketPath(name)})},
		"periodSeconds":    int64(1),
		"failureThreshold": int64(1),
	}
	env, _ := c["env"].([]any)
	for _, field := range []struct{ name, path string }{
		{"KUBECTL_AI_POD", "metadata.name"},
		{"KUBECTL_AI_POD_UID", "metadata.uid"},
	} {
		env = append(env, map[string]any{"name": field.name, "valueFrom": map[string]any{"fieldRef": map[string]any{"fieldPath": field.path}}})
	}
	env = append(env, map[string]any{"name": "KUBECTL_AI_CONTAINER", "value": name})
	c["env"] = env

	annotations, _ := t.Metadata()["annotations"].(map[string]any)
	names := name
	if before, ok := annotations[ContainersAnnotation].(string); ok && before != "" {
		names = before + "," + name
	}
	t.Annotate(ContainersAnnotation, names)
	return lost
}

// relieveObject takes away the deadlines that would end a pod while its
// process waits for a save.
func relieveObject(t workload.Target) []Change {
	var lost []Change
	name := workload.Name(t.Object)
	if _, ok := t.Spec()["activeDeadlineSeconds"]; ok {
		delete(t.Spec(), "activeDeadlineSeconds")
		lost = append(lost, Change{name, "its pods lose activeDeadlineSeconds"})
	}
	spec, _ := t.Object.Object["spec"].(map[string]any)
	for _, field := range []string{"activeDeadlineSeconds", "ttlSecondsAfterFinished"} {
		if t.Object.GetKind() == "Pod" {
			break // a Pod's spec is the pod spec that was relieved above
		}
		if _, ok := spec[field]; ok {
			delete(spec, field)
			lost = append(lost, Change{name, "loses " + field})
		}
	}
	return lost
}

func appendTo(list any, items ...any) []any {
	l, _ := list.([]any)
	return append(l, items...)
}
