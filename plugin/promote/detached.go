package promote

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/kyaml/openapi"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

// Detached makes the objects of a bundle what they would be for a promotion,
// for somebody else to apply: placed, their runs named, labelled with the
// project. No cluster is asked, so a run that a release did again under a name
// of its own is not known here, and what kinds live in a namespace is known of
// Kubernetes' own and of those that the bundle defines; any other kind is taken
// for a namespaced one.
//
// The label of an ApplySet is left out: whoever applies the objects owns them.
func Detached(b Bundle, project, namespace string) error {
	cluster := clusterKinds(b.Objects)
	for _, obj := range b.Objects {
		gvk := obj.GroupVersionKind()
		apiVersion, kind := gvk.ToAPIVersionAndKind()
		namespaced, known := openapi.IsNamespaceScoped(kyaml.TypeMeta{APIVersion: apiVersion, Kind: kind})
		switch {
		case known && !namespaced, cluster[gvk.Group+"/"+kind]:
			obj.SetNamespace("")
		case obj.GetNamespace() == "":
			obj.SetNamespace(namespace)
		}
	}
	if err := nameRuns(b.Objects, &release.State{}); err != nil {
		return err
	}
	for _, obj := range b.Objects {
		labels := obj.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels[release.ProjectLabel] = project
		obj.SetLabels(labels)
	}
	apply.Sort(b.Objects)
	return nil
}

// clusterKinds returns the kinds without a namespace that CRDs of the bundle
// define.
func clusterKinds(objects []*unstructured.Unstructured) map[string]bool {
	out := map[string]bool{}
	for _, obj := range objects {
		if obj.GetKind() != "CustomResourceDefinition" {
			continue
		}
		group, _, _ := unstructured.NestedString(obj.Object, "spec", "group")
		kind, _, _ := unstructured.NestedString(obj.Object, "spec", "names", "kind")
		if scope, _, _ := unstructured.NestedString(obj.Object, "spec", "scope"); scope == "Cluster" {
			out[group+"/"+kind] = true
		}
	}
	return out
}
