package promote

import (
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"
)

func TestOnlyWhatStartsPodsHasToSettle(t *testing.T) {
	for _, c := range []struct {
		manifest string
		starts   bool
	}{
		{"{apiVersion: apps/v1, kind: Deployment, spec: {template: {spec: {}}}}", true},
		{"{apiVersion: apps/v1, kind: Deployment, spec: {replicas: 0, template: {spec: {}}}}", false},
		{"{apiVersion: batch/v1, kind: Job, spec: {parallelism: 2, template: {spec: {}}}}", true},
		{"{apiVersion: batch/v1, kind: CronJob, spec: {jobTemplate: {spec: {template: {spec: {}}}}}}", false},
		{"{apiVersion: v1, kind: ConfigMap}", false},
		{"{apiVersion: serving.kserve.io/v1beta1, kind: InferenceService, spec: {}}", true},
	} {
		obj := &unstructured.Unstructured{}
		if err := yaml.Unmarshal([]byte(c.manifest), &obj.Object); err != nil {
			t.Fatal(err)
		}
		if got := startsPods(obj); got != c.starts {
			t.Errorf("%s starts pods: %t", c.manifest, got)
		}
	}
}
