package promote

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata/fake"
	clienttesting "k8s.io/client-go/testing"
)

func TestWhatANamespaceWouldTakeWithIt(t *testing.T) {
	kinds := []schema.GroupVersionResource{
		{Version: "v1", Resource: "configmaps"},
		{Version: "v1", Resource: "events"},
		{Version: "v1", Resource: "secrets"},
		{Group: "metrics.k8s.io", Version: "v1beta1", Resource: "pods"},
		{Group: "custom.metrics.k8s.io", Version: "v1beta1", Resource: "metrics"},
		{Group: "down.example.org", Version: "v1", Resource: "widgets"},
	}
	p, _ := cluster(t)
	p.Namespaced = func(context.Context) ([]schema.GroupVersionResource, error) { return kinds, nil }
	m := fake.NewSimpleMetadataClient(fake.NewTestScheme())
	m.PrependReactor("list", "*", func(a clienttesting.Action) (bool, runtime.Object, error) {
		named := func(name string) *metav1.List {
			return &metav1.List{Items: []runtime.RawExtension{{Object: &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: name, UID: "u"}}}}}
		}
		switch r := a.GetResource(); {
		case r.Resource == "secrets":
			return true, nil, apierrors.NewForbidden(r.GroupResource(), "", errors.New("no"))
		case r.Group == "down.example.org":
			return true, nil, apierrors.NewServiceUnavailable("the server is currently unable to handle the request")
		case r.Resource == "configmaps":
			return true, named("theirs"), nil
		}
		return true, named("made-by-the-cluster"), nil
	})
	p.Cluster.Metadata = m
	got, err := p.contents(t.Context(), "ns", nil)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"any secrets, which we may not list", "any widgets, which the cluster cannot list now", "configmaps/theirs"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
