package clientset

import (
	"context"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// Resource lists and watches objects of one kind: a typed client, of one
// namespace or of all.
type Resource[L runtime.Object] interface {
	List(context.Context, metav1.ListOptions) (L, error)
	Watch(context.Context, metav1.ListOptions) (watch.Interface, error)
}

// Informer keeps the objects of a resource that a label selector selects, of
// the type of example, once it is run.
func Informer[L runtime.Object](r Resource[L], selector string, example runtime.Object) cache.SharedInformer {
	return cache.NewSharedInformer(listed{&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = selector
			return r.List(ctx, o)
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = selector
			return r.Watch(ctx, o)
		},
	}}, example, 0)
}

// listed begins with a list. A list that is streamed by a watch (KEP-3157) is
// tried again after up to 30 s where connections are refused, and client-go
// does not end that pause with the context: Ctrl-C would wait for it.
type listed struct{ *cache.ListWatch }

// IsWatchListSemanticsUnSupported is how client-go asks.
func (listed) IsWatchListSemanticsUnSupported() bool { return true }
