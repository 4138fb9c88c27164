package workload_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
)

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	obj := &unstructured.Unstructured{}
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if err := obj.UnmarshalJSON(raw); err != nil {
		t.Fatal(err)
	}
	return obj
}

func TestAJobOfACronJob(t *testing.T) {
	cron := object(t, `{apiVersion: batch/v1, kind: CronJob, metadata: {name: batch, namespace: ns, labels: {a: b}},
spec: {suspend: true, schedule: "0 0 1 1 *", jobTemplate: {metadata: {labels: {c: d}}, spec: {completions: 2, template: {spec: {containers: []}}}}}}`)
	got, ok := workload.JobOf(cron)
	want := object(t, `{apiVersion: batch/v1, kind: Job, metadata: {namespace: ns, labels: {c: d}}, spec: {completions: 2, template: {spec: {containers: []}}}}`)
	if !ok {
		t.Fatal("it is none")
	}
	if diff := cmp.Diff(want.Object, got.Object); diff != "" {
		t.Error(diff)
	}
	if _, ok := workload.JobOf(object(t, `{apiVersion: apps/v1, kind: Deployment, metadata: {name: d}}`)); ok {
		t.Error("a Deployment is a Job")
	}
}

func TestAnotherNumberOfRanks(t *testing.T) {
	targets := gang(t, "completionMode: Indexed\n  completions: 2\n  parallelism: 2", "subdomain: s", "{name: SHARDS, value: '2'}, {name: BATCH, value: '2'}, {name: LOCAL_RANK, value: '0'}")
	workload.NumberRanks(targets)
	if err := workload.SetRanks(targets[0].Object, 4); err != nil {
		t.Fatal(err)
	}
	if n := workload.Replicas(targets[0].Template); n != 4 {
		t.Errorf("%d pods", n)
	}
	want := map[string]string{"SHARDS": "4", "BATCH": "2", "WORLD_SIZE": "4"}
	env, _ := targets[0].Container.Map()["env"].([]any)
	for _, item := range env {
		m := item.(map[string]any)
		if v, ok := want[m["name"].(string)]; ok && v != m["value"] {
			t.Errorf("%s = %v, want %s", m["name"], m["value"], v)
		}
	}
}

func TestVariablesAndLimits(t *testing.T) {
	targets := gang(t, "completions: 1", "restartPolicy: Never", "{name: LR, valueFrom: {fieldRef: {fieldPath: x}}}")
	c := targets[0].Container
	c.SetVariable("LR", "0.1")
	c.SetVariable("STEPS", "")
	if diff := cmp.Diff([]string{"LR=0.1", "STEPS="}, variables(targets)); diff != "" {
		t.Error(diff)
	}
	c.SetLimit("nvidia.com/gpu", "2")
	if diff := cmp.Diff([]string{"nvidia.com/gpu"}, c.Limits()); diff != "" {
		t.Error(diff)
	}
	if c.SetLimit("nvidia.com/gpu", "0"); len(c.Limits()) > 0 {
		t.Errorf("%v is left", c.Limits())
	}
}
