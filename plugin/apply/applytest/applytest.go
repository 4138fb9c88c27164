// Package applytest is a cluster in memory, for tests of what reads and writes
// one. It knows nothing of plugin/apply, whose own tests use it too.
package applytest

import (
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"
	"sigs.k8s.io/yaml"
)

// kinds are those that the cluster serves.
var kinds = map[schema.GroupVersionKind]meta.RESTScope{
	{Version: "v1", Kind: "Namespace"}:                                               meta.RESTScopeRoot,
	{Version: "v1", Kind: "ConfigMap"}:                                               meta.RESTScopeNamespace,
	{Version: "v1", Kind: "Secret"}:                                                  meta.RESTScopeNamespace,
	{Version: "v1", Kind: "Event"}:                                                   meta.RESTScopeNamespace,
	{Version: "v1", Kind: "Pod"}:                                                     meta.RESTScopeNamespace,
	{Version: "v1", Kind: "PersistentVolumeClaim"}:                                   meta.RESTScopeNamespace,
	{Group: "apps", Version: "v1", Kind: "StatefulSet"}:                              meta.RESTScopeNamespace,
	{Group: "batch", Version: "v1", Kind: "Job"}:                                     meta.RESTScopeNamespace,
	{Group: "coordination.k8s.io", Version: "v1", Kind: "Lease"}:                     meta.RESTScopeNamespace,
	{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}: meta.RESTScopeRoot,
	{Group: "example.org", Version: "v1", Kind: "Widget"}:                            meta.RESTScopeNamespace,
	{Group: "jobset.x-k8s.io", Version: "v1alpha2", Kind: "JobSet"}:                  meta.RESTScopeNamespace,
	{Group: "kubeflow.org", Version: "v1", Kind: "PyTorchJob"}:                       meta.RESTScopeNamespace,
	{Group: "ray.io", Version: "v1", Kind: "RayJob"}:                                 meta.RESTScopeNamespace,
	{Group: "trainer.kubeflow.org", Version: "v1alpha1", Kind: "TrainJob"}:           meta.RESTScopeNamespace,
	{Group: "batch.volcano.sh", Version: "v1alpha1", Kind: "Job"}:                    meta.RESTScopeNamespace,
}

type mapper struct{ meta.RESTMapper }

// Reset implements meta.ResettableRESTMapper: what is served stays the same.
func (mapper) Reset() {}

// New returns a cluster that holds the objects, in which everything is
// permitted, and what says where its kinds are served.
func New(t testing.TB, objects ...*unstructured.Unstructured) (*fake.FakeDynamicClient, meta.ResettableRESTMapper) {
	t.Helper()
	var versions []schema.GroupVersion
	for gvk := range kinds {
		versions = append(versions, gvk.GroupVersion())
	}
	m := meta.NewDefaultRESTMapper(versions)
	lists := map[schema.GroupVersionResource]string{}
	for gvk, scope := range kinds {
		m.Add(gvk, scope)
		resource, _ := meta.UnsafeGuessKindToResource(gvk)
		lists[resource] = gvk.Kind + "List"
	}
	var initial []runtime.Object
	for _, obj := range objects {
		initial = append(initial, obj)
	}
	d := fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), lists, initial...)
	d.PrependReactor("create", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
		if obj, ok := a.(clienttesting.CreateAction).GetObject().(*unstructured.Unstructured); ok {
			obj.SetResourceVersion("1") // as servers do
		}
		return false, nil, nil
	})
	d.PrependReactor("create", "selfsubjectrulesreviews", func(clienttesting.Action) (bool, runtime.Object, error) {
		all := map[string]any{"verbs": []any{"*"}, "apiGroups": []any{"*"}, "resources": []any{"*"}}
		return true, &unstructured.Unstructured{Object: map[string]any{"status": map[string]any{"resourceRules": []any{all}}}}, nil
	})
	return d, mapper{m}
}

// Object reads a manifest.
func Object(t testing.TB, text string) *unstructured.Unstructured {
	t.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	obj := &unstructured.Unstructured{}
	if err := obj.UnmarshalJSON(raw); err != nil {
		t.Fatal(err)
	}
	return obj
}
