package components_test

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ai/kubectl-ai/kustomize/components"
	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
)

// strictly decodes an object into a type of Kubernetes and reports what the
// type does not have.
func strictly(t *testing.T, at string, object any, into any) {
	t.Helper()
	fields, _ := object.(map[string]any)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(fields, into, true); err != nil {
		t.Errorf("%s: %v", at, err)
	}
}

// typed returns a pod template as core/v1 has it.
func typed(t *testing.T, at string, template workload.Template, inline bool) corev1.PodTemplateSpec {
	t.Helper()
	var out corev1.PodTemplateSpec
	if inline { // KServe's own fields stand among those of the pod
		for _, container := range append(template.InitContainers(), template.Containers()...) {
			var c corev1.Container
			strictly(t, at, container.Map(), &c)
			out.Spec.Containers = append(out.Spec.Containers, c)
		}
		var security corev1.PodSecurityContext
		strictly(t, at, template.Spec()["securityContext"], &security)
		out.Spec.SecurityContext = &security
		return out
	}
	strictly(t, at, map[string]any{"metadata": template.Metadata(), "spec": template.Spec()}, &out)
	return out
}

// A server prunes or refuses what it knows; where a schema takes anything, a
// typing mistake would wait for the operator. So all pods are read here as
// core/v1 has them, and none asks for more than Pod Security's restricted
// level gives.
func TestPodsAreThoseOfCoreV1(t *testing.T) {
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	restricted := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	every(t, func(t *testing.T, _ components.Component, _ components.Variant, objects []*unstructured.Unstructured) {
		for _, obj := range objects {
			templates, err := workload.Templates(obj)
			if err != nil {
				t.Fatal(err)
			}
			for _, template := range templates {
				at := workload.Name(obj) + " " + template.Path
				pod := typed(t, at, template, obj.GetKind() == "InferenceService")
				for _, result := range evaluator.EvaluatePod(restricted, &pod.ObjectMeta, &pod.Spec) {
					if !result.Allowed {
						t.Errorf("%s: %s: %s", at, result.ForbiddenReason, result.ForbiddenDetail)
					}
				}
			}
			if trial, ok, _ := unstructured.NestedMap(obj.Object, "spec", "trialTemplate", "trialSpec"); ok {
				strictly(t, workload.Name(obj)+" spec.trialTemplate.trialSpec", trial, new(batchv1.Job))
			}
		}
	})
}

// crd is what is read of a CustomResourceDefinition.
type crd struct {
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

// Where the schema of an operator takes anything, the server says nothing of a
// mistake. Those places that our forms use are listed here, so that a new one
// is looked at before it is let in.
func TestOpenSubtreesAreKnown(t *testing.T) {
	known := []string{
		"kubeflow.org/v1beta1 Experiment .", // all of it; the trial is a Job, checked above
		"kafka.strimzi.io/v1 Kafka .spec.kafka.config",
		"kafka.strimzi.io/v1 KafkaTopic .spec.config",
		"objectbucket.io/v1alpha1 ObjectBucketClaim .spec.additionalConfig",
	}
	folder := filepath.Join(cmp.Or(os.Getenv("KUBECTL_AI_SHARED"), "../../../shared"), "crds")
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		t.Logf("no CRDs in %s: which parts of their objects operators' schemas leave open was not looked at", folder)
	}
	schemas := map[string]map[string]any{}
	for _, file := range files {
		raw, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var d crd
		if err := yaml.Unmarshal(raw, &d); err != nil {
			t.Fatal(err)
		}
		for _, v := range d.Spec.Versions {
			schemas[d.Spec.Group+"/"+v.Name+" "+d.Spec.Names.Kind] = v.Schema.OpenAPIV3Schema
		}
	}
	every(t, func(t *testing.T, _ components.Component, _ components.Variant, objects []*unstructured.Unstructured) {
		for _, obj := range objects {
			kind := obj.GetAPIVersion() + " " + obj.GetKind()
			schema, ok := schemas[kind]
			if !ok {
				continue
			}
			for _, at := range open(schema, obj.Object, "") {
				if place := kind + " " + cmp.Or(at, "."); !slices.Contains(known, place) {
					t.Errorf("%s: the schema takes anything at %s", workload.Name(obj), place)
				} else {
					t.Logf("%s is open", place)
				}
			}
		}
	})
}

// open returns where a value lies in a part of the schema that keeps unknown
// fields.
func open(schema map[string]any, value any, at string) []string {
	if schema["x-kubernetes-preserve-unknown-fields"] == true {
		return []string{at}
	}
	var out []string
	switch value := value.(type) {
	case map[string]any:
		properties, _ := schema["properties"].(map[string]any)
		additional, _ := schema["additionalProperties"].(map[string]any)
		for key, v := range value {
			inner, ok := properties[key].(map[string]any)
			if !ok {
				inner = additional
			}
			if inner != nil {
				out = append(out, open(inner, v, at+"."+key)...)
			}
		}
	case []any:
		if items, ok := schema["items"].(map[string]any); ok {
			for _, v := range value {
				out = append(out, open(items, v, at+"[]")...)
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// The check above has teeth.
func TestAMistakeInAPodIsFound(t *testing.T) {
	for _, text := range []string{
		`{spec: {containers: [{name: c, imge: i}]}}`,
		`{spec: {containers: [{name: c, resources: {limit: {cpu: 1}}}]}}`,
		`{spec: {container: []}}`,
		`{spec: {containers: [{name: c, workingdir: /app}]}}`,
	} {
		var fields map[string]any
		if err := yaml.Unmarshal([]byte(text), &fields); err != nil {
			t.Fatal(err)
		}
		if err := runtime.DefaultUnstructuredConverter.FromUnstructuredWithValidation(fields, new(corev1.PodTemplateSpec), true); err == nil {
			t.Errorf("%s is taken", text)
		}
	}
}

// The walk finds what is open, and nothing else.
func TestOpen(t *testing.T) {
	schema := map[string]any{}
	if err := yaml.Unmarshal([]byte(`
properties:
  free: {x-kubernetes-preserve-unknown-fields: true}
  list: {items: {properties: {free: {x-kubernetes-preserve-unknown-fields: true}, bound: {type: string}}}}
  map: {additionalProperties: {properties: {free: {x-kubernetes-preserve-unknown-fields: true}}}}
`), &schema); err != nil {
		t.Fatal(err)
	}
	var value any
	if err := yaml.Unmarshal([]byte(`{free: {a: 1}, list: [{bound: x}, {free: 1}, {free: 2}], map: {k: {free: x}}}`), &value); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(open(schema, value, ""), " "); got != ".free .list[].free .map.k.free" {
		t.Errorf("got %s", got)
	}
}
