package promote

import (
	"context"
	"fmt"
	"regexp"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

var claimResource = schema.GroupVersionResource{Version: "v1", Resource: "persistentvolumeclaims"}

// claims returns the volume claims that the controllers of StatefulSets made:
// <template>-<set>-<ordinal>, by the API's definition of
// spec.volumeClaimTemplates. They outlive their set.
func (p *Promoter) claims(ctx context.Context, formers []former) ([]release.Entry, error) {
	var out []release.Entry
	lists := map[string]*unstructured.UnstructuredList{}
	for _, f := range formers {
		if f.entry.Group != "apps" || f.entry.Kind != "StatefulSet" {
			continue
		}
		templates, _, _ := unstructured.NestedSlice(f.live.Object, "spec", "volumeClaimTemplates")
		for _, t := range templates {
			m, _ := t.(map[string]any)
			name, _, _ := unstructured.NestedString(m, "metadata", "name")
			ns := f.entry.Namespace
			if lists[ns] == nil {
				found, err := p.Cluster.Dynamic.Resource(claimResource).Namespace(ns).List(ctx, metav1.ListOptions{})
				if err != nil {
					return nil, fmt.Errorf("list volume claims in %s: %w", ns, err)
				}
				lists[ns] = found
			}
			pattern := regexp.MustCompile("^" + regexp.QuoteMeta(name+"-"+f.entry.Name) + "-[0-9]+$")
			for i := range lists[ns].Items {
				claim := &lists[ns].Items[i]
				if pattern.MatchString(claim.GetName()) {
					out = append(out, release.Entry{Ref: apply.RefOf(claim), Receipt: apply.Receipt{UID: claim.GetUID()}})
				}
			}
		}
	}
	return out, nil
}

// liveClaims returns those of the claims that are still there.
func (p *Promoter) liveClaims(ctx context.Context, claims []release.Entry) ([]former, error) {
	var out []former
	for _, e := range claims {
		live, err := p.Cluster.Get(ctx, e.Ref)
		switch {
		case apierrors.IsNotFound(err):
		case err != nil:
			return nil, fmt.Errorf("read %s: %w", e.Ref, err)
		case live.GetUID() == e.UID:
			out = append(out, former{e, live})
		}
	}
	return out, nil
}
