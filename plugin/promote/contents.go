package promote

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// contents returns what a namespace would take with it that neither goes by
// itself nor is kept by Kubernetes in every namespace, sorted. Where a kind may
// not be listed, or its aggregated API is down, that is said in its place.
func (p *Promoter) contents(ctx context.Context, namespace string, doomed []former) ([]string, error) {
	kinds, err := p.Namespaced(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask what the cluster serves: %w", err)
	}
	going := map[types.UID]bool{}
	for _, f := range doomed {
		going[f.live.GetUID()] = true
	}
	var mu sync.Mutex
	var out []string
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(16)
	for _, kind := range kinds {
		if kind.Resource == "events" || kind.Resource == "endpoints" || measures(kind.Group) {
			continue // made by the cluster, for objects that are counted themselves
		}
		group.Go(func() error {
			list, err := p.Cluster.Metadata.Resource(kind).Namespace(namespace).List(gctx, metav1.ListOptions{})
			mu.Lock()
			defer mu.Unlock()
			switch {
			case apierrors.IsNotFound(err), apierrors.IsMethodNotSupported(err):
				return nil
			case apierrors.IsForbidden(err):
				out = append(out, "any "+kind.Resource+", which we may not list")
				return nil
			case apierrors.IsServiceUnavailable(err):
				out = append(out, "any "+kind.Resource+", which the cluster cannot list now")
				return nil
			case err != nil:
				return fmt.Errorf("list %s in %s: %w", kind.Resource, namespace, err)
			}
			for i := range list.Items {
				obj := &list.Items[i]
				if going[obj.UID] || len(obj.OwnerReferences) > 0 || p.Store.IsRecord(obj) || everywhere[kind.Resource] == obj.Name {
					continue
				}
				out = append(out, kind.Resource+"/"+obj.Name)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// measures says whether an API group holds figures of what runs, and no objects
// that somebody made: such as the PodMetrics of a Pod, which have no owner.
func measures(group string) bool {
	return group == "metrics.k8s.io" || strings.HasSuffix(group, ".metrics.k8s.io")
}

// everywhere are the objects that Kubernetes keeps in every namespace.
var everywhere = map[string]string{"configmaps": "kube-root-ca.crt", "serviceaccounts": "default"}
