package router

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
	gateway "sigs.k8s.io/gateway-api/apis/v1"
)

var (
	gateways = schema.GroupVersionResource{Group: gateway.GroupName, Version: "v1", Resource: "gateways"}
	routes   = schema.GroupVersionResource{Group: gateway.GroupName, Version: "v1", Resource: "httproutes"}
	services = schema.GroupVersionResource{Version: "v1", Resource: "services"}
)

// Watcher keeps a proxy's table as the cluster's objects say, and their
// statuses as the table is.
type Watcher struct {
	Client    dynamic.Interface
	Namespace string
	Gateway   string // its name
	Proxy     *Proxy
	Log       *log.Logger

	ready atomic.Bool
}

// Ready answers 200 when the Gateway has been read.
func (w *Watcher) Ready(out http.ResponseWriter, _ *http.Request) {
	if !w.ready.Load() {
		http.Error(out, "Gateway "+w.Gateway+" was not read yet", http.StatusServiceUnavailable)
		return
	}
	_, _ = fmt.Fprintln(out, "ok")
}

// Run watches until ctx ends.
func (w *Watcher) Run(ctx context.Context) error {
	changed := make(chan struct{}, 1)
	wake := func() {
		select {
		case changed <- struct{}{}:
		default: // one is enough
		}
	}
	var running sync.WaitGroup
	defer running.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var synced []cache.InformerSynced
	stores := map[schema.GroupVersionResource]cache.Store{}
	for _, resource := range []schema.GroupVersionResource{gateways, routes, services} {
		informer := w.informer(resource)
		_, err := informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
			AddFunc: func(any) { wake() }, UpdateFunc: func(any, any) { wake() }, DeleteFunc: func(any) { wake() },
		})
		err = errors.Join(err, informer.SetWatchErrorHandler(func(_ *cache.Reflector, err error) { w.Log.Printf("watch %s: %v", resource.Resource, err) }))
		if err != nil {
			return fmt.Errorf("watch %s: %w", resource.Resource, err)
		}
		stores[resource] = informer.GetStore()
		synced = append(synced, informer.HasSynced)
		running.Go(func() { informer.RunWithContext(ctx) })
	}
	if !cache.WaitForCacheSync(ctx.Done(), synced...) {
		return fmt.Errorf("watch namespace %s: %w", w.Namespace, context.Cause(ctx))
	}
	again := time.NewTimer(0)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-again.C:
		}
		if err := w.update(ctx, stores); err != nil && ctx.Err() == nil {
			w.Log.Print(err)
			again.Reset(time.Second)
		}
	}
}

// informer keeps the objects of a resource. client-go's dynamicinformer does
// the same, and links the typed client of every API group with it.
func (w *Watcher) informer(resource schema.GroupVersionResource) cache.SharedInformer {
	client := w.Client.Resource(resource).Namespace(w.Namespace)
	return cache.NewSharedInformer(listed{&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			return client.List(ctx, o)
		},
		WatchFuncWithContext: client.Watch,
	}}, &unstructured.Unstructured{}, 0)
}

// listed begins with a list. A list that is streamed by a watch (KEP-3157) is
// tried again after up to 30 s where connections are refused, and client-go
// does not end that pause with the context: the pod would be killed first.
type listed struct{ *cache.ListWatch }

// IsWatchListSemanticsUnSupported is how client-go asks.
func (listed) IsWatchListSemanticsUnSupported() bool { return true }

// update makes a table of what is there, serves it and writes the statuses.
func (w *Watcher) update(ctx context.Context, stores map[schema.GroupVersionResource]cache.Store) error {
	o, err := w.read(stores)
	if err != nil {
		return err
	}
	p := makePlan(o, w.Proxy.table.Load())
	w.Proxy.table.Store(p.table)
	w.ready.Store(o.gateway != nil)
	now := metav1.Now()
	if o.gateway == nil {
		return nil
	}
	if next, differs := gatewayUpdate(o.gateway, p.gateway, now); differs {
		err = errors.Join(err, w.write(ctx, stores[gateways], gateways, o.gateway.Name, &next))
	}
	for _, route := range o.routes {
		if next, differs := routeUpdate(route, p.parents[route], now); differs {
			w.Log.Printf("HTTPRoute %s: %s", route.Name, conditionsOf(next))
			err = errors.Join(err, w.write(ctx, stores[routes], routes, route.Name, &gateway.HTTPRouteStatus{RouteStatus: gateway.RouteStatus{Parents: next}}))
		}
	}
	return err
}

func conditionsOf(parents []gateway.RouteParentStatus) (out string) {
	for _, p := range parents {
		for _, c := range p.Conditions {
			if p.ControllerName == Controller {
				out += fmt.Sprintf("%s %s (%s) ", c.Type, c.Status, c.Message)
			}
		}
	}
	return out
}

func (w *Watcher) read(stores map[schema.GroupVersionResource]cache.Store) (objects, error) {
	var o objects
	for _, g := range stores[gateways].List() {
		read := &gateway.Gateway{}
		if err := convert(g, read); err != nil {
			return o, err
		}
		if read.Name == w.Gateway {
			o.gateway = read
		}
	}
	for _, r := range stores[routes].List() {
		read := &gateway.HTTPRoute{}
		if err := convert(r, read); err != nil {
			return o, err
		}
		o.routes = append(o.routes, read)
	}
	for _, s := range stores[services].List() {
		read := &corev1.Service{}
		if err := convert(s, read); err != nil {
			return o, err
		}
		o.services = append(o.services, read)
	}
	return o, nil
}

func convert(from, into any) error {
	obj, ok := from.(*unstructured.Unstructured)
	if !ok {
		return fmt.Errorf("the cache holds a %T", from)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(obj.Object, into); err != nil {
		return fmt.Errorf("read %s %s: %w", obj.GetKind(), obj.GetName(), err)
	}
	return nil
}

// write writes the status of an object as it was read. One that changed
// meanwhile comes again by the watch.
func (w *Watcher) write(ctx context.Context, store cache.Store, resource schema.GroupVersionResource, name string, status any) error {
	found, ok, err := store.GetByKey(w.Namespace + "/" + name)
	if err != nil || !ok {
		return err
	}
	obj := found.(*unstructured.Unstructured).DeepCopy()
	if obj.Object["status"], err = runtime.DefaultUnstructuredConverter.ToUnstructured(status); err != nil {
		return err
	}
	_, err = w.Client.Resource(resource).Namespace(w.Namespace).UpdateStatus(ctx, obj, metav1.UpdateOptions{FieldManager: "kubectl-ai-router"})
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("write the status of %s %s: %w", obj.GetKind(), name, err)
	}
	return nil
}
