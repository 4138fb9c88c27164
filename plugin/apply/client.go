package apply

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

// concurrency is how many requests are under way at once. Chosen from a
// measurement of 1,000 ConfigMaps on one node: 16 is where the server, not
// the client, sets the pace.
const concurrency = 16

// Client works on one cluster. It is safe for concurrent use.
type Client struct {
	Dynamic  dynamic.Interface
	Metadata metadata.Interface // nil: receipts are not used
	Mapper   meta.ResettableRESTMapper
}

// New returns a client for the cluster that config points to. It asks the
// server for nothing yet.
func New(config *rest.Config) (*Client, error) {
	d, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	m, err := metadata.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a metadata client: %w", err)
	}
	disco, err := discovery.NewDiscoveryClientForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a discovery client: %w", err)
	}
	return &Client{
		Dynamic:  d,
		Metadata: m,
		Mapper:   restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(disco)),
	}, nil
}

// UnservedError says that the cluster does not serve a kind.
type UnservedError struct {
	GVK schema.GroupVersionKind
	Err error
}

func (e *UnservedError) Error() string {
	version := e.GVK.GroupVersion().String()
	if e.GVK.Version == "" {
		version = e.GVK.Group
	}
	return fmt.Sprintf("the cluster does not serve %s of %s", e.GVK.Kind, version)
}

func (e *UnservedError) Unwrap() error { return e.Err }

// mapping returns where a kind is served; an *UnservedError where it is not.
func (c *Client) mapping(gk schema.GroupKind, version string) (*meta.RESTMapping, error) {
	var versions []string
	if version != "" {
		versions = []string{version}
	}
	m, err := c.Mapper.RESTMapping(gk, versions...)
	if meta.IsNoMatchError(err) {
		return nil, &UnservedError{GVK: gk.WithVersion(version), Err: err}
	}
	if err != nil {
		return nil, fmt.Errorf("ask what the cluster serves: %w", err)
	}
	return m, nil
}

// Resource returns the resource of an object's kind and whether it lives in a
// namespace.
func (c *Client) Resource(gvk schema.GroupVersionKind) (schema.GroupVersionResource, bool, error) {
	m, err := c.mapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return schema.GroupVersionResource{}, false, err
	}
	return m.Resource, m.Scope.Name() == meta.RESTScopeNameNamespace, nil
}

func at(d dynamic.Interface, m *meta.RESTMapping, namespace string) dynamic.ResourceInterface {
	if m.Scope.Name() == meta.RESTScopeNameNamespace {
		return d.Resource(m.Resource).Namespace(namespace)
	}
	return d.Resource(m.Resource)
}

func (c *Client) of(obj *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	gvk := obj.GroupVersionKind()
	m, err := c.mapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return nil, err
	}
	return at(c.Dynamic, m, obj.GetNamespace()), nil
}

// Get returns the live object of that name.
func (c *Client) Get(ctx context.Context, r Ref) (*unstructured.Unstructured, error) {
	m, err := c.mapping(r.GroupKind(), "")
	if err != nil {
		return nil, err
	}
	return at(c.Dynamic, m, r.Namespace).Get(ctx, r.Name, metav1.GetOptions{})
}

// Localize puts the objects of namespaced kinds that name no namespace into
// the one given, and takes the namespace from cluster-wide ones. Kinds that
// only a CRD among the objects defines are looked up there. Kinds that nobody
// knows keep what they say; Diff names them.
func (c *Client) Localize(objects []*unstructured.Unstructured, namespace string) error {
	scopes := crdScopes(objects)
	for _, obj := range objects {
		gvk := obj.GroupVersionKind()
		_, namespaced, err := c.Resource(gvk)
		if isUnserved(err) {
			scope, ok := scopes[gvk.GroupKind()]
			if !ok {
				continue
			}
			namespaced, err = scope == "Namespaced", nil
		}
		if err != nil {
			return err
		}
		switch {
		case !namespaced:
			obj.SetNamespace("")
		case obj.GetNamespace() == "":
			obj.SetNamespace(namespace)
		}
	}
	return nil
}

// crdScopes returns the kinds that CRDs among the objects define.
func crdScopes(objects []*unstructured.Unstructured) map[schema.GroupKind]string {
	scopes := map[schema.GroupKind]string{}
	for _, obj := range objects {
		if !isCRD(RefOf(obj)) {
			continue
		}
		group, _, _ := unstructured.NestedString(obj.Object, "spec", "group")
		kind, _, _ := unstructured.NestedString(obj.Object, "spec", "names", "kind")
		scope, _, _ := unstructured.NestedString(obj.Object, "spec", "scope")
		scopes[schema.GroupKind{Group: group, Kind: kind}] = scope
	}
	return scopes
}
