package inject

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
)

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	var content map[string]any
	if err := yaml.Unmarshal([]byte(text), &content); err != nil {
		t.Fatal(err)
	}
	return &unstructured.Unstructured{Object: content}
}

func job(t *testing.T, container string) *unstructured.Unstructured {
	t.Helper()
	return object(t, `
apiVersion: batch/v1
kind: Job
metadata: {name: train}
spec:
  activeDeadlineSeconds: 60
  ttlSecondsAfterFinished: 5
  template:
    spec:
      activeDeadlineSeconds: 30
      containers:
      - {name: sidecar, image: busy}
      - `+container)
}

func options(entrypoint, cmd []string, err error) Options {
	return Options{
		Project: "p", AgentImage: "agent:1", StopSignal: "TERM", GracePeriod: 10 * time.Second,
		Entrypoint: func(context.Context, string) ([]string, []string, error) { return entrypoint, cmd, err },
	}
}

func TestArgvTable(t *testing.T) {
	unknown := errors.New("no such image")
	for _, c := range []struct {
		name            string
		container       string
		entrypoint, cmd []string
		imageErr        error
		want            []string
		wantErr         bool
	}{
		{name: "command alone", container: `{name: c, image: i, workingDir: /app, command: [python, a.py]}`, imageErr: unknown, want: []string{"python", "a.py"}},
		{name: "command and args", container: `{name: c, image: i, workingDir: /app, command: [python], args: [a.py, "$(LR)"]}`, imageErr: unknown, want: []string{"python", "a.py", "$(LR)"}},
		{name: "args alone follow the image's entrypoint", container: `{name: c, image: i, workingDir: /app, args: [a.py]}`, entrypoint: []string{"/entry"}, cmd: []string{"gone"}, want: []string{"/entry", "a.py"}},
		{name: "neither takes both from the image", container: `{name: c, image: i, workingDir: /app}`, entrypoint: []string{"/entry"}, cmd: []string{"serve"}, want: []string{"/entry", "serve"}},
		{name: "an image's own $(X) is not expanded", container: `{name: c, image: i, workingDir: /app}`, cmd: []string{"sh", "-c", "echo $(date)"}, want: []string{"sh", "-c", "echo $$(date)"}},
		{name: "unknown image without command is refused", container: `{name: c, image: i, workingDir: /app, args: [a]}`, imageErr: unknown, wantErr: true},
		{name: "an image that runs nothing is refused", container: `{name: c, image: i, workingDir: /app}`, wantErr: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			obj := job(t, c.container)
			objects := []*unstructured.Unstructured{obj}
			targets, err := workload.Select(objects, "", nil)
			if err != nil {
				t.Fatal(err)
			}
			_, err = Inject(t.Context(), objects, targets, options(c.entrypoint, c.cmd, c.imageErr))
			if c.wantErr {
				var noArgv *NoArgvError
				if !errors.As(err, &noArgv) {
					t.Fatalf("err = %v, want *NoArgvError", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			command := targets[0].Container.Command()
			if diff := cmp.Diff(c.want, command[len(command)-len(c.want):]); diff != "" {
				t.Error(diff)
			}
			if targets[0].Container.Args() != nil {
				t.Error("args are left beside the agent's command")
			}
		})
	}
}

func TestPodsLoseWhatWouldKillAWaitingProcess(t *testing.T) {
	obj := job(t, `{name: c, image: i, workingDir: /app, command: [x], livenessProbe: {exec: {command: ["true"]}}, securityContext: {runAsNonRoot: true}}`)
	objects := []*unstructured.Unstructured{obj}
	targets, err := workload.Select(objects, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	changes, err := Inject(t.Context(), objects, targets, options(nil, nil, nil))
	if err != nil {
		t.Fatal(err)
	}
	want := []Change{
		{"Job/train", "its pods lose activeDeadlineSeconds"},
		{"Job/train", "loses activeDeadlineSeconds"},
		{"Job/train", "loses ttlSecondsAfterFinished"},
		{"Job/train/c", "loses its livenessProbe"},
	}
	if diff := cmp.Diff(want, changes); diff != "" {
		t.Error(diff)
	}
	init := targets[0].Spec()["initContainers"].([]any)[0].(map[string]any)
	if diff := cmp.Diff(map[string]any{"runAsNonRoot": true}, init["securityContext"]); diff != "" {
		t.Errorf("the init container's securityContext: %s", diff)
	}
	sidecar := targets[0].Containers()[0]
	if sidecar.Command() != nil {
		t.Error("a container without the code's workingDir was changed")
	}
}

func TestModulesToPreloadReachTheAgent(t *testing.T) {
	for _, preload := range [][]string{nil, {"torch", "torch.distributed"}} {
		objects := []*unstructured.Unstructured{job(t, `{name: c, image: i, workingDir: /app, command: [python, train.py]}`)}
		targets, err := workload.Select(objects, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		o := options(nil, nil, nil)
		o.Preload = preload
		if _, err := Inject(t.Context(), objects, targets, o); err != nil {
			t.Fatal(err)
		}
		want := []string{"10s", "--", "python", "train.py"}
		if preload != nil {
			want = []string{"10s", "--preload", "torch,torch.distributed", "--", "python", "train.py"}
		}
		command := targets[0].Container.Command()
		if diff := cmp.Diff(want, command[len(command)-len(want):]); diff != "" {
			t.Error(diff)
		}
	}
}

func TestRanksThatMeetWhereWeChoseGetAFreshPort(t *testing.T) {
	for _, own := range []bool{false, true} {
		objects := []*unstructured.Unstructured{job(t, `{name: c, image: i, workingDir: /app, command: [python, train.py]}`)}
		targets, err := workload.Select(objects, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		targets[0].OwnRendezvous = own
		if _, err := Inject(t.Context(), objects, targets, options(nil, nil, nil)); err != nil {
			t.Fatal(err)
		}
		if got := slices.Contains(targets[0].Container.Command(), "--fresh-port"); got != own {
			t.Errorf("with OwnRendezvous %v the agent is told %v", own, got)
		}
	}
}

func TestSeveralContainersShareOneAgent(t *testing.T) {
	obj := job(t, `{name: a, image: i, workingDir: /app, command: [x]}
      - {name: b, image: i, workingDir: /srv/code, command: [y]}`)
	objects := []*unstructured.Unstructured{obj}
	targets, err := workload.Select(objects, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Inject(t.Context(), objects, targets, options(nil, nil, nil)); err != nil {
		t.Fatal(err)
	}
	spec := targets[0].Spec()
	if got := len(spec["initContainers"].([]any)); got != 1 {
		t.Errorf("%d init containers, want 1", got)
	}
	if got := len(spec["volumes"].([]any)); got != 3 {
		t.Errorf("%d volumes, want the agent's and one a container", got)
	}
	annotations := targets[0].Metadata()["annotations"].(map[string]any)
	if got := annotations[ContainersAnnotation]; got != "a,b" {
		t.Errorf("containers = %q, want a,b", got)
	}
}
