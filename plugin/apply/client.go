package apply

import (
	"context"
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
)

// concurrency is how many requests are under way at once. Measured with 1,000
// objects on one node with two cores: from 16 on the server sets the pace, and
// 32 keeps one that is further away busy.
const concurrency = 32

// Client works on one cluster. It is safe for concurrent use.
type Client struct {
	Dynamic  dynamic.Interface
	Metadata metadata.Interface // nil: whole objects are read in its place
	Mapper   meta.ResettableRESTMapper

	mappings sync.Map // kind -> *meta.RESTMapping, what Mapper found
}

// New returns a client for the cluster that config points to. It asks the
// server for nothing yet; what the server serves it reads from kubectl's
// cache on disk, and asks once when a kind is not there. All its parts share
// one connection. Requests are not held back here: API Priority and Fairness
// is the server's own, and client-go heeds its Retry-After.
func New(config *rest.Config) (*Client, error) {
	config = rest.CopyConfig(config)
	config.QPS = -1
	h, err := rest.HTTPClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	d, err := dynamic.NewForConfigAndClient(config, h)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	m, err := metadata.NewForConfigAndClient(config, h)
	if err != nil {
		return nil, fmt.Errorf("make a metadata client: %w", err)
	}
	served, err := discover(config)
	if err != nil {
		return nil, fmt.Errorf("make a discovery client: %w", err)
	}
	return &Client{Dynamic: d, Metadata: m, Mapper: restmapper.NewDeferredDiscoveryRESTMapper(served)}, nil
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
// A version of "" is the one that the server prefers.
func (c *Client) mapping(gk schema.GroupKind, version string) (*meta.RESTMapping, error) {
	kind := gk.WithVersion(version)
	if m, ok := c.mappings.Load(kind); ok {
		return m.(*meta.RESTMapping), nil
	}
	var versions []string
	if version != "" {
		versions = []string{version}
	}
	m, err := c.Mapper.RESTMapping(gk, versions...)
	if meta.IsNoMatchError(err) {
		return nil, &UnservedError{GVK: kind, Err: err}
	}
	if err != nil {
		return nil, fmt.Errorf("ask what the cluster serves: %w", err)
	}
	c.mappings.Store(kind, m)
	return m, nil
}

// forget forgets what the cluster serves, so that it is asked again.
func (c *Client) forget() {
	c.Mapper.Reset()
	c.mappings.Clear()
}

// Resource returns the resource of an object's kind and whether it lives in a
// namespace.
func (c *Client) Resource(gvk schema.GroupVersionKind) (schema.GroupVersionResource, bool, error) {
	m, err := c.mapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		return schema.GroupVersionResource{}, false, err
	}
	return m.Resource, namespaced(m), nil
}

func namespaced(m *meta.RESTMapping) bool { return m.Scope.Name() == meta.RESTScopeNameNamespace }

func at(d dynamic.Interface, m *meta.RESTMapping, namespace string) dynamic.ResourceInterface {
	if namespaced(m) {
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
	defined := definitions(objects)
	for _, obj := range objects {
		gvk := obj.GroupVersionKind()
		_, namespaced, err := c.Resource(gvk)
		if isUnserved(err) {
			crd, ok := defined[gvk.GroupKind()]
			if !ok {
				continue
			}
			namespaced, err = crd.namespaced(), nil
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
