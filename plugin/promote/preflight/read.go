package preflight

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	nodev1 "k8s.io/api/node/v1"
	schedulingv1 "k8s.io/api/scheduling/v1"
	storagev1 "k8s.io/api/storage/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
)

// concurrency is how many requests are under way at once. Chosen: a preflight
// has some ten.
const concurrency = 16

// view is what was read of the target. Checks look at it and read nothing.
type view struct {
	pods []podSet // what the bundle's templates make

	resources map[schema.GroupVersionKind]served
	unserved  map[schema.GroupVersionKind]error
	versions  map[schema.GroupKind][]string // served, of kinds whose version is not

	mu         sync.Mutex // guards what follows, while it is read
	namespaces map[string]*namespace
	live       map[apply.Ref]*metav1.PartialObjectMetadata // of the bundle's objects
	there      map[apply.Ref]existence                     // of what they refer to
	grants     map[string]grants                           // by namespace, "" = cluster-wide
	missing    []need

	quotas          map[string][]corev1.ResourceQuota
	limitRanges     map[string][]corev1.LimitRange
	nodes           []corev1.Node
	running         []corev1.Pod
	storageClasses  []storagev1.StorageClass
	storageKnown    bool
	priorityClasses map[string]*schedulingv1.PriorityClass
	runtimeClasses  map[string]*nodev1.RuntimeClass
	queues          map[apply.Ref]queue
	hooks           []hook
	images          map[string]pulled

	// blind says what may not be read, by the check that wants it.
	blind map[string][]string
}

type served struct {
	resource   schema.GroupVersionResource
	namespaced bool
}

type namespace struct {
	metav1.PartialObjectMetadata
	missing bool
}

type existence int

const (
	unknown existence = iota // may not be read
	absent
	present
)

func newView() *view {
	return &view{
		resources: map[schema.GroupVersionKind]served{}, unserved: map[schema.GroupVersionKind]error{}, versions: map[schema.GroupKind][]string{},
		namespaces: map[string]*namespace{}, live: map[apply.Ref]*metav1.PartialObjectMetadata{}, there: map[apply.Ref]existence{},
		grants: map[string]grants{}, quotas: map[string][]corev1.ResourceQuota{}, limitRanges: map[string][]corev1.LimitRange{},
		priorityClasses: map[string]*schedulingv1.PriorityClass{}, runtimeClasses: map[string]*nodev1.RuntimeClass{},
		queues: map[apply.Ref]queue{}, images: map[string]pulled{}, blind: map[string][]string{},
	}
}

// blinded begins a check's report with what it could not see.
func (v *view) blinded(check string) Report {
	var report Report
	for _, what := range slices.Sorted(slices.Values(v.blind[check])) {
		report.add(check, Warning, nil, "", "could not be checked in full: %s is not permitted", what)
	}
	return report
}

// lock runs f alone.
func (v *view) lock(f func()) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f()
}

// read reads all that the checks need: first which kinds are served and which
// namespaces are there, then everything else at once.
func (c *Check) read(ctx context.Context) (*view, error) {
	v := newView()
	if err := c.served(v); err != nil {
		return nil, err
	}
	var err error
	if v.pods, err = podSets(c.Objects); err != nil {
		return nil, err
	}
	if err := c.all(ctx, c.readNamespaces(v)); err != nil {
		return nil, err
	}
	tasks := slices.Concat(c.readAccess(v), c.readLive(v), c.readQuotas(v), c.readNodes(v), c.readReferences(v), c.readQueues(v), c.readHooks(v), c.readImages(v))
	if err := c.all(ctx, tasks); err != nil {
		return nil, err
	}
	c.lookIntoNodes(ctx, v)
	for i := range v.pods {
		p := &v.pods[i]
		// A Job that is there starts nothing: it never changes.
		p.there = c.Known[apply.RefOf(p.object)] || v.live[apply.RefOf(p.object)] != nil
	}
	return v, nil
}

type task = func(context.Context) error

func (c *Check) all(ctx context.Context, tasks []task) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(concurrency)
	for _, t := range tasks {
		group.Go(func() error { return t(ctx) })
	}
	return group.Wait()
}

// refused says whether err is no more than a missing permission, and notes it.
func (v *view) refused(err error, check, what string) bool {
	if !apierrors.IsForbidden(err) {
		return false
	}
	v.lock(func() {
		if !slices.Contains(v.blind[check], what) {
			v.blind[check] = append(v.blind[check], what)
		}
	})
	return true
}

func (c *Check) readNamespaces(v *view) []task {
	var tasks []task
	for _, name := range c.namespacesWanted() {
		if live, ok := c.Read[apply.Ref{Kind: "Namespace", Name: name}]; ok {
			v.namespaces[name] = &namespace{missing: live == nil}
			if live != nil {
				v.namespaces[name].PartialObjectMetadata = metadataOf(live)
			}
			continue
		}
		tasks = append(tasks, func(ctx context.Context) error {
			live, err := c.Client.Metadata.Resource(corev1.SchemeGroupVersion.WithResource("namespaces")).Get(ctx, name, metav1.GetOptions{})
			switch {
			case apierrors.IsNotFound(err):
				v.lock(func() { v.namespaces[name] = &namespace{missing: true} })
			case apierrors.IsForbidden(err):
			case err != nil:
				return fmt.Errorf("read namespace %s: %w", name, err)
			default:
				v.lock(func() { v.namespaces[name] = &namespace{PartialObjectMetadata: *live} })
			}
			return nil
		})
	}
	return tasks
}

// gone says whether a namespace is known not to be there: it holds nothing.
func (v *view) gone(ns string) bool { return v.namespaces[ns] != nil && v.namespaces[ns].missing }

// readLive reads the metadata of the bundle's objects that are there already,
// but not of those that the inventory knows: a GET for one of a kind, a LIST
// for more.
func (c *Check) readLive(v *view) []task {
	type place struct {
		resource  schema.GroupVersionResource
		namespace string
	}
	wanted := map[place][]apply.Ref{}
	for _, obj := range c.Objects {
		ref := apply.RefOf(obj)
		s, ok := v.resources[obj.GroupVersionKind()]
		read, known := c.Read[ref]
		switch {
		case known:
			if read != nil {
				live := metadataOf(read)
				v.live[ref] = &live
			}
		case !ok, c.Known[ref], ref.Namespace != "" && v.gone(ref.Namespace):
		case ref.Group == "" && ref.Kind == "Namespace" && v.namespaces[ref.Name] != nil:
			if ns := v.namespaces[ref.Name]; !ns.missing {
				v.live[ref] = &ns.PartialObjectMetadata
			}
		default:
			p := place{s.resource, ref.Namespace}
			wanted[p] = append(wanted[p], ref)
		}
	}
	var tasks []task
	for p, refs := range wanted {
		client := c.Client.Metadata.Resource(p.resource).Namespace(p.namespace)
		single := func(ctx context.Context, ref apply.Ref) error {
			live, err := client.Get(ctx, ref.Name, metav1.GetOptions{})
			switch {
			case apierrors.IsNotFound(err), v.refused(err, CheckOwners, "get "+p.resource.GroupResource().String()):
				return nil
			case err != nil:
				return fmt.Errorf("read %s: %w", ref, err)
			}
			v.lock(func() { v.live[ref] = live })
			return nil
		}
		tasks = append(tasks, func(ctx context.Context) error {
			if len(refs) == 1 {
				return single(ctx, refs[0])
			}
			list, err := client.List(ctx, metav1.ListOptions{})
			if apierrors.IsForbidden(err) {
				var each []task
				for _, ref := range refs {
					each = append(each, func(ctx context.Context) error { return single(ctx, ref) })
				}
				return c.all(ctx, each)
			}
			if err != nil {
				return fmt.Errorf("list %s: %w", p.resource.Resource, err)
			}
			found := map[string]*metav1.PartialObjectMetadata{}
			for i := range list.Items {
				found[list.Items[i].Name] = &list.Items[i]
			}
			v.lock(func() {
				for _, ref := range refs {
					if live := found[ref.Name]; live != nil {
						v.live[ref] = live
					}
				}
			})
			return nil
		})
	}
	return tasks
}

func metadataOf(obj *unstructured.Unstructured) metav1.PartialObjectMetadata {
	return metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{
		Name: obj.GetName(), Namespace: obj.GetNamespace(), Labels: obj.GetLabels(), Annotations: obj.GetAnnotations(),
		DeletionTimestamp: obj.GetDeletionTimestamp(), ManagedFields: obj.GetManagedFields(),
	}}
}

func (c *Check) readQuotas(v *view) []task {
	var tasks []task
	for _, ns := range c.namespacesWanted() {
		if v.gone(ns) {
			continue
		}
		tasks = append(tasks, c.readQuota(v, ns), func(ctx context.Context) error {
			list, err := list[corev1.LimitRange](ctx, c, corev1.SchemeGroupVersion.WithResource("limitranges"), ns)
			if err == nil {
				v.lock(func() { v.limitRanges[ns] = list })
			}
			return v.unless(err, CheckLimits, "list limitranges in namespace "+ns)
		})
	}
	return tasks
}

func (c *Check) readQuota(v *view, ns string) task {
	return func(ctx context.Context) error {
		list, err := list[corev1.ResourceQuota](ctx, c, corev1.SchemeGroupVersion.WithResource("resourcequotas"), ns)
		if err == nil {
			v.lock(func() { v.quotas[ns] = list })
		}
		return v.unless(err, CheckQuota, "list resourcequotas in namespace "+ns)
	}
}

// counting is how long the controller of quotas may take to count that objects
// are gone. Chosen; it takes it a second or so.
const counting = 2 * time.Second

// recount reads the quotas that have too little room once more, a moment later:
// what was deleted just now may be counted still.
func (c *Check) recount(ctx context.Context, v *view) error {
	var tasks []task
	for ns, quotas := range v.quotas {
		if slices.ContainsFunc(quotas, func(q corev1.ResourceQuota) bool { return c.within(v, &q).Err() != nil }) {
			tasks = append(tasks, c.readQuota(v, ns))
		}
	}
	if len(tasks) == 0 {
		return nil
	}
	timer := time.NewTimer(counting)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
	}
	return c.all(ctx, tasks)
}

// unless drops an error that is a missing permission.
func (v *view) unless(err error, check, what string) error {
	if err == nil || v.refused(err, check, what) {
		return nil
	}
	return err
}

func (c *Check) readNodes(v *view) []task {
	if len(v.pods) == 0 {
		return nil
	}
	return []task{
		func(ctx context.Context) (err error) {
			v.nodes, err = list[corev1.Node](ctx, c, corev1.SchemeGroupVersion.WithResource("nodes"), "")
			return v.unless(err, CheckDevices, "list nodes")
		},
		func(ctx context.Context) error {
			// Pods that ended hold nothing.
			pods, err := c.Client.Dynamic.Resource(corev1.SchemeGroupVersion.WithResource("pods")).List(ctx, metav1.ListOptions{FieldSelector: "status.phase!=Succeeded,status.phase!=Failed"})
			if err != nil {
				return v.unless(wrap(err, "list pods"), CheckDevices, "list pods in all namespaces")
			}
			v.running, err = convert[corev1.Pod](pods)
			return err
		},
	}
}

// list reads all objects of a kind; namespace "" reads all namespaces.
func list[T any](ctx context.Context, c *Check, gvr schema.GroupVersionResource, namespace string) ([]T, error) {
	found, err := c.Client.Dynamic.Resource(gvr).Namespace(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, wrap(err, "list "+gvr.Resource)
	}
	return convert[T](found)
}

func convert[T any](found *unstructured.UnstructuredList) ([]T, error) {
	out := make([]T, len(found.Items))
	for i := range found.Items {
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(found.Items[i].Object, &out[i]); err != nil {
			return nil, fmt.Errorf("read %s %s: %w", found.Items[i].GetKind(), found.Items[i].GetName(), err)
		}
	}
	return out, nil
}

// get reads a cluster-wide object; nil when there is none.
func get[T any](ctx context.Context, c *Check, gvr schema.GroupVersionResource, name string) (*T, error) {
	found, err := c.Client.Dynamic.Resource(gvr).Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read %s %s: %w", gvr.Resource, name, err)
	}
	out := new(T)
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(found.Object, out); err != nil {
		return nil, fmt.Errorf("read %s %s: %w", gvr.Resource, name, err)
	}
	return out, nil
}

func wrap(err error, action string) error { return fmt.Errorf("%s: %w", action, err) }

// sorted returns the keys of a map in order.
func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
