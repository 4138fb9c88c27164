package apply

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic/fake"
	"sigs.k8s.io/yaml"
)

// object reads a manifest.
func object(t *testing.T, text string) *unstructured.Unstructured {
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

type mapper struct{ meta.RESTMapper }

func (mapper) Reset() {}

// newClient returns a client of a cluster that holds the objects and serves
// the kinds of Kubernetes that tests need.
func newClient(t *testing.T, objects ...*unstructured.Unstructured) (*Client, *fake.FakeDynamicClient) {
	t.Helper()
	m := meta.NewDefaultRESTMapper([]schema.GroupVersion{{Version: "v1"}, {Group: "batch", Version: "v1"}})
	lists := map[schema.GroupVersionResource]string{}
	for gvk, scope := range map[schema.GroupVersionKind]meta.RESTScope{
		{Version: "v1", Kind: "Namespace"}:                                               meta.RESTScopeRoot,
		{Version: "v1", Kind: "ConfigMap"}:                                               meta.RESTScopeNamespace,
		{Version: "v1", Kind: "Secret"}:                                                  meta.RESTScopeNamespace,
		{Version: "v1", Kind: "Event"}:                                                   meta.RESTScopeNamespace,
		{Version: "v1", Kind: "Pod"}:                                                     meta.RESTScopeNamespace,
		{Group: "batch", Version: "v1", Kind: "Job"}:                                     meta.RESTScopeNamespace,
		{Group: "apiextensions.k8s.io", Version: "v1", Kind: "CustomResourceDefinition"}: meta.RESTScopeRoot,
	} {
		m.Add(gvk, scope)
		resource, _ := meta.UnsafeGuessKindToResource(gvk)
		lists[resource] = gvk.Kind + "List"
	}
	var initial []runtime.Object
	for _, obj := range objects {
		initial = append(initial, obj)
	}
	d := fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), lists, initial...)
	return &Client{Dynamic: d, Mapper: mapper{m}}, d
}

func timeOf(t time.Time) *metav1.Time {
	at := metav1.NewTime(t)
	return &at
}
