package promote

import (
	"strings"
	"testing"

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

func bundleOf(t *testing.T, image string) []*unstructured.Unstructured {
	return []*unstructured.Unstructured{
		object(t, `{apiVersion: batch/v1, kind: Job, metadata: {name: train, namespace: n}, spec: {template: {spec: {containers: [{name: c, image: "`+image+`", env: [{name: MASTER_ADDR, value: train-0.train}, {name: OTHER, value: train-er}]}]}}}}`),
		object(t, `{apiVersion: v1, kind: Service, metadata: {name: train, namespace: n}, spec: {selector: {job-name: train, app: train}}}`),
	}
}

func TestAJobIsNamedByWhatItRunsAndReferencesFollow(t *testing.T) {
	names := map[string]bool{}
	for _, image := range []string{"a", "a", "b"} {
		objects := bundleOf(t, image)
		if err := NameJobs(objects); err != nil {
			t.Fatal(err)
		}
		name := objects[0].GetName()
		names[name] = true
		if objects[0].GetAnnotations()[NameAnnotation] != "train" {
			t.Error("the name in the bundle is lost")
		}
		selector, _, _ := unstructured.NestedStringMap(objects[1].Object, "spec", "selector")
		if selector["job-name"] != name || selector["app"] != "train" {
			t.Errorf("selector = %v, want the Job's new name and the label as it was", selector)
		}
		text, _ := yaml.Marshal(objects[0].Object)
		if !strings.Contains(string(text), name+"-0.train") || !strings.Contains(string(text), "value: train-er") {
			t.Errorf("references do not follow:\n%s", text)
		}
		if objects[1].GetName() != "train" {
			t.Error("the Service was renamed")
		}
	}
	if len(names) != 2 {
		t.Errorf("names = %v, want one a template", names)
	}
}

func TestLongNamesLeaveRoomForPods(t *testing.T) {
	job := object(t, `{apiVersion: batch/v1, kind: Job, metadata: {name: `+strings.Repeat("x", 63)+`}}`)
	if err := NameJobs([]*unstructured.Unstructured{job}); err != nil {
		t.Fatal(err)
	}
	if n := len(job.GetName()); n > longestJob {
		t.Errorf("the name has %d characters", n)
	}
}
