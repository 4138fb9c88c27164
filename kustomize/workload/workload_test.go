package workload

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	var content map[string]any
	if err := yaml.Unmarshal([]byte(text), &content); err != nil {
		t.Fatal(err)
	}
	return &unstructured.Unstructured{Object: content}
}

const pod = `{spec: {containers: [{name: c, image: i, workingDir: /app/}]}}`

func TestTemplatesOfEachKind(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"Pod", `{apiVersion: v1, kind: Pod, metadata: {name: x}, spec: {containers: []}}`, []string{""}},
		{"Job", `{apiVersion: batch/v1, kind: Job, metadata: {name: x}, spec: {template: ` + pod + `}}`, []string{"spec.template"}},
		{"CronJob", `{apiVersion: batch/v1, kind: CronJob, metadata: {name: x}, spec: {jobTemplate: {spec: {template: ` + pod + `}}}}`, []string{"spec.jobTemplate.spec.template"}},
		{"JobSet", `{apiVersion: jobset.x-k8s.io/v1alpha2, kind: JobSet, metadata: {name: x}, spec: {replicatedJobs: [{template: {spec: {template: ` + pod + `}}}, {template: {spec: {template: ` + pod + `}}}]}}`, []string{"spec.replicatedJobs[0].template.spec.template", "spec.replicatedJobs[1].template.spec.template"}},
		{"PyTorchJob", `{apiVersion: kubeflow.org/v1, kind: PyTorchJob, metadata: {name: x}, spec: {pytorchReplicaSpecs: {Worker: {template: ` + pod + `}, Master: {template: ` + pod + `}}}}`, []string{"spec.pytorchReplicaSpecs.Master.template", "spec.pytorchReplicaSpecs.Worker.template"}},
		{"LeaderWorkerSet without a leader template", `{apiVersion: leaderworkerset.x-k8s.io/v1, kind: LeaderWorkerSet, metadata: {name: x}, spec: {leaderWorkerTemplate: {workerTemplate: ` + pod + `}}}`, []string{"spec.leaderWorkerTemplate.workerTemplate"}},
		{"Volcano's Job", `{apiVersion: batch.volcano.sh/v1alpha1, kind: Job, metadata: {name: x}, spec: {tasks: [{template: ` + pod + `}, {template: ` + pod + `}]}}`, []string{"spec.tasks[0].template", "spec.tasks[1].template"}},
		{"Experiment", `{apiVersion: kubeflow.org/v1beta1, kind: Experiment, metadata: {name: x}, spec: {trialTemplate: {trialSpec: {spec: {template: ` + pod + `}}}}}`, []string{"spec.trialTemplate.trialSpec.spec.template"}},
		{"InferenceService", `{apiVersion: serving.kserve.io/v1beta1, kind: InferenceService, metadata: {name: x}, spec: {predictor: {containers: [{name: c}]}}}`, []string{"spec.predictor"}},
		{"a Job of another group is not a Job", `{apiVersion: example.com/v1, kind: Job, metadata: {name: x}, spec: {template: ` + pod + `}}`, nil},
		{"Service", `{apiVersion: v1, kind: Service, metadata: {name: x}}`, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			templates, err := Templates(object(t, c.text))
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, tmpl := range templates {
				got = append(got, tmpl.Path)
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// KServe writes pods without metadata and spec around them.
func TestATemplateMayBeInline(t *testing.T) {
	obj := object(t, `{apiVersion: serving.kserve.io/v1beta1, kind: InferenceService, metadata: {name: x}, spec: {predictor: {minReplicas: 1, containers: [{name: c, image: i, workingDir: /app}]}}}`)
	targets, err := Select([]*unstructured.Unstructured{obj}, "/app", nil)
	if err != nil {
		t.Fatal(err)
	}
	targets[0].Label("k", "v")
	targets[0].Annotate("k", "v")
	targets[0].Container.SetImage("j")
	want := object(t, `{apiVersion: serving.kserve.io/v1beta1, kind: InferenceService, metadata: {name: x}, spec: {predictor: {labels: {k: v}, annotations: {k: v}, minReplicas: 1, containers: [{name: c, image: j, workingDir: /app}]}}}`)
	if diff := cmp.Diff(want.Object, obj.Object); diff != "" {
		t.Error(diff)
	}
}

// Every path of the table exists in the schema that the operator ships.
func TestPathsExistInTheCRDs(t *testing.T) {
	shared := os.Getenv("KUBECTL_AI_SHARED")
	if shared == "" {
		shared = "../../../shared"
	}
	files, _ := filepath.Glob(filepath.Join(shared, "crds", "*.yaml"))
	if len(files) == 0 {
		t.Logf("no CRDs under %s/crds: the paths of operators' kinds were not checked", shared)
	}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var crd struct {
			Spec struct {
				Group    string
				Names    struct{ Kind string }
				Versions []struct {
					Name   string
					Schema struct {
						OpenAPIV3Schema map[string]any `json:"openAPIV3Schema"`
					}
				}
			}
		}
		if err := yaml.Unmarshal(raw, &crd); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		for gk, list := range paths {
			if gk.Group != crd.Spec.Group || gk.Kind != crd.Spec.Names.Kind {
				continue
			}
			for _, path := range list {
				for _, v := range crd.Spec.Versions {
					if v.Schema.OpenAPIV3Schema["x-kubernetes-preserve-unknown-fields"] == true {
						continue // Katib's takes anything
					}
					if !inSchema(v.Schema.OpenAPIV3Schema, strings.Split(path, ".")) {
						t.Errorf("%s %s has no %s", gk, v.Name, path)
					}
				}
			}
		}
	}
}

func TestSelect(t *testing.T) {
	objects := []*unstructured.Unstructured{
		object(t, `{apiVersion: batch/v1, kind: Job, metadata: {name: a}, spec: {template: {spec: {containers: [{name: main, workingDir: /app}, {name: side}]}}}}`),
		object(t, `{apiVersion: apps/v1, kind: Deployment, metadata: {name: b}, spec: {template: {spec: {containers: [{name: main, workingDir: /srv}]}}}}`),
	}
	for _, c := range []struct {
		name      string
		mountPath string
		targets   []string
		want      []string
		wantErr   bool
	}{
		{name: "workingDir decides without a mountPath", want: []string{"Job/a/main@/app", "Deployment/b/main@/srv"}},
		{name: "workingDir must be the mountPath", mountPath: "/app", want: []string{"Job/a/main@/app"}},
		{name: "named container with a mountPath", mountPath: "/x", targets: []string{"Job/a/side"}, want: []string{"Job/a/side@/x"}},
		{name: "named workload", mountPath: "/x", targets: []string{"Job/a"}, want: []string{"Job/a/main@/x", "Job/a/side@/x"}},
		{name: "named as a workload and as a container", mountPath: "/x", targets: []string{"Job/a", "Job/a/side"}, want: []string{"Job/a/main@/x", "Job/a/side@/x"}},
		{name: "nothing matches", mountPath: "/none", wantErr: true},
		{name: "a named target that is not there", mountPath: "/app", targets: []string{"Job/a/main", "Job/z"}, wantErr: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Select(objects, c.mountPath, c.targets)
			var none *NoTargetError
			if errors.As(err, &none) != c.wantErr {
				t.Fatalf("err = %v", err)
			}
			var names []string
			for _, target := range got {
				names = append(names, target.String()+"@"+target.MountPath)
			}
			if diff := cmp.Diff(c.want, names); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func inSchema(schema map[string]any, steps []string) bool {
	if len(steps) == 0 {
		return true
	}
	if steps[0] == "*" {
		for _, key := range []string{"items", "additionalProperties"} {
			if next, ok := schema[key].(map[string]any); ok {
				return inSchema(next, steps[1:])
			}
		}
		return false
	}
	properties, _ := schema["properties"].(map[string]any)
	next, ok := properties[steps[0]].(map[string]any)
	return ok && inSchema(next, steps[1:])
}
