package apply

import (
	"context"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Members is what a cluster holds of a set of objects that carry a label, such
// as a release: one LIST a kind and namespace, made when it is first needed,
// answers which of them are there and whether somebody wrote to them. It is
// what was there at that moment; a plan has one of its own.
type Members struct {
	client   *Client
	selector string

	mu     sync.Mutex
	places map[place]*listing
}

// Members returns an empty view of the objects that a label selector finds.
func (c *Client) Members(selector string) *Members {
	return &Members{client: c, selector: selector, places: map[place]*listing{}}
}

// place is where the objects of one kind are listed.
type place struct {
	resource  schema.GroupVersionResource
	namespace string // "" for kinds that live in none
}

// depth is how much a LIST brings.
type depth int

const (
	outlines depth = iota + 1 // the metadata of members
	wholes                    // members with all their fields
	everyone                  // the metadata of all objects, members or not
)

// listing is what is known of a place.
type listing struct {
	objects map[string]metav1.Object // by name; *unstructured.Unstructured where whole
	got     [everyone + 1]bool
	blind   bool // listing is not permitted: each object is asked for
}

// pages of a LIST: metadata is small, whole objects may have a MiB each.
const (
	outlinePage = 5000
	wholePage   = 500
)

// place returns where an object of that name is listed. A version of "" is
// the one that the server prefers.
func (c *Client) place(ref Ref, version string) (place, error) {
	m, err := c.mapping(ref.GroupKind(), version)
	if err != nil {
		return place{}, err
	}
	if !namespaced(m) {
		return place{resource: m.Resource}, nil
	}
	return place{m.Resource, ref.Namespace}, nil
}

// load makes the LISTs that are missing, in parallel. What may not be listed
// is no error: its objects are asked for one by one.
func (m *Members) load(ctx context.Context, wanted map[place]depth) error {
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(concurrency)
	for p, d := range wanted {
		m.mu.Lock()
		l := m.places[p]
		if l == nil {
			l = &listing{objects: map[string]metav1.Object{}}
			m.places[p] = l
		}
		m.mu.Unlock()
		if l.blind || l.got[d] || d == outlines && (l.got[wholes] || l.got[everyone]) {
			continue
		}
		group.Go(func() error {
			err := m.list(gctx, p, d, l)
			switch {
			case err == nil:
				l.got[d] = true
			case gctx.Err() != nil:
				return context.Cause(gctx)
			case apierrors.IsForbidden(err):
				l.blind = true
			case apierrors.IsNotFound(err), apierrors.IsMethodNotSupported(err):
				// What the cache knows is not served any more, or cannot be
				// listed: the objects, asked for one by one, say so.
				m.client.forget()
				l.blind = true
			default:
				return fmt.Errorf("list %s: %w", p.resource.Resource, err)
			}
			return nil
		})
	}
	return group.Wait()
}

func (m *Members) list(ctx context.Context, p place, d depth, l *listing) error {
	options := metav1.ListOptions{LabelSelector: m.selector, Limit: outlinePage}
	if d == everyone {
		options.LabelSelector = ""
	}
	put := func(obj metav1.Object) {
		// Who wrote is of interest, what each wrote is most of the memory.
		fields := obj.GetManagedFields()
		for i := range fields {
			fields[i].FieldsV1 = nil
		}
		if old, ok := l.objects[obj.GetName()]; ok && isWhole(old) && old.GetUID() == obj.GetUID() && old.GetResourceVersion() == obj.GetResourceVersion() {
			return
		}
		l.objects[obj.GetName()] = obj
	}
	for {
		var next string
		if d == wholes || m.client.Metadata == nil {
			options.Limit = wholePage
			list, err := m.client.Dynamic.Resource(p.resource).Namespace(p.namespace).List(ctx, options)
			if err != nil {
				return err
			}
			for i := range list.Items {
				l.objects[list.Items[i].GetName()] = &list.Items[i]
			}
			next = list.GetContinue()
		} else {
			list, err := m.client.Metadata.Resource(p.resource).Namespace(p.namespace).List(ctx, options)
			if err != nil {
				return err
			}
			for i := range list.Items {
				put(&list.Items[i])
			}
			next = list.Continue
		}
		if next == "" {
			return nil
		}
		options.Continue = next
	}
}

func isWhole(obj metav1.Object) bool {
	_, ok := obj.(*unstructured.Unstructured)
	return ok
}

// find returns what the LISTs say of an object: its metadata, or nil when it
// is not there. known is false when they do not say.
func (m *Members) find(p place, name string) (live metav1.Object, known bool) {
	m.mu.Lock()
	l := m.places[p]
	m.mu.Unlock()
	if l == nil {
		return nil, false
	}
	if live, ok := l.objects[name]; ok {
		return live, true
	}
	return nil, l.got[everyone] && !l.blind
}

// listed says whether a member of that place would have been found.
func (m *Members) listed(p place) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.places[p]
	return l != nil && !l.blind && (l.got[outlines] || l.got[wholes] || l.got[everyone])
}

// whole returns a live object with all its fields: from a LIST that had them,
// or by a GET. It is nil when there is none.
func (m *Members) whole(ctx context.Context, p place, name string) (*unstructured.Unstructured, error) {
	live, known := m.find(p, name)
	if known && live == nil {
		return nil, nil
	}
	if obj, ok := live.(*unstructured.Unstructured); ok {
		return obj, nil
	}
	obj, err := m.client.Dynamic.Resource(p.resource).Namespace(p.namespace).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	return obj, err
}

// Find returns the members of those names that are there. What makes pods
// comes with all its fields, everything else as an outline: its metadata. It
// asks for one LIST a kind and namespace; where that is not permitted, for
// each object.
func (m *Members) Find(ctx context.Context, refs []Ref) (map[Ref]*unstructured.Unstructured, error) {
	where := map[Ref]place{}
	wanted := map[place]depth{}
	for _, ref := range refs {
		p, err := m.client.place(ref, "")
		if isUnserved(err) {
			continue // its CRD is gone, and it with the CRD
		}
		if err != nil {
			return nil, err
		}
		where[ref] = p
		wanted[p] = outlines
		if makesPods(ref) {
			wanted[p] = wholes
		}
	}
	if err := m.load(ctx, wanted); err != nil {
		return nil, err
	}
	var mu sync.Mutex
	found := map[Ref]*unstructured.Unstructured{}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(concurrency)
	for _, ref := range refs {
		p, ok := where[ref]
		if !ok {
			continue
		}
		live, _ := m.find(p, ref.Name)
		switch {
		case live != nil:
			found[ref] = outline(ref, p, live)
		case !m.listed(p):
			group.Go(func() error {
				obj, err := m.whole(gctx, p, ref.Name)
				if err != nil {
					return &ObjectError{Action: "read", Ref: ref, Err: err}
				}
				if obj != nil {
					mu.Lock()
					found[ref] = obj
					mu.Unlock()
				}
				return nil
			})
		}
	}
	return found, group.Wait()
}

// outline returns an object, or what its metadata tells of it.
func outline(ref Ref, p place, live metav1.Object) *unstructured.Unstructured {
	if obj, ok := live.(*unstructured.Unstructured); ok {
		return obj
	}
	obj := &unstructured.Unstructured{}
	obj.SetGroupVersionKind(ref.GroupKind().WithVersion(p.resource.Version))
	obj.SetNamespace(ref.Namespace)
	obj.SetName(ref.Name)
	obj.SetUID(live.GetUID())
	obj.SetResourceVersion(live.GetResourceVersion())
	obj.SetDeletionTimestamp(live.GetDeletionTimestamp())
	obj.SetLabels(live.GetLabels())
	obj.SetAnnotations(live.GetAnnotations())
	obj.SetFinalizers(live.GetFinalizers())
	obj.SetOwnerReferences(live.GetOwnerReferences())
	return obj
}
