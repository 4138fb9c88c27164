package apply

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Ref names an object, whatever version of its API is spoken.
type Ref struct {
	Group     string `json:"group,omitempty"`
	Kind      string `json:"kind"`
	Namespace string `json:"namespace,omitempty"`
	Name      string `json:"name"`
}

// RefOf returns the name of an object.
func RefOf(obj *unstructured.Unstructured) Ref {
	gvk := obj.GroupVersionKind()
	return Ref{Group: gvk.Group, Kind: gvk.Kind, Namespace: obj.GetNamespace(), Name: obj.GetName()}
}

// GroupKind returns the kind with its group.
func (r Ref) GroupKind() schema.GroupKind {
	return schema.GroupKind{Group: r.Group, Kind: r.Kind}
}

// String names the object for people: Kind/name, with its group where it is
// none of Kubernetes' own, and with its namespace.
func (r Ref) String() string {
	s := r.Kind
	switch r.Group {
	case "", "apps", "batch", "rbac.authorization.k8s.io", "networking.k8s.io":
	default:
		s += "." + r.Group
	}
	s += "/" + r.Name
	if r.Namespace != "" {
		s += " in " + r.Namespace
	}
	return s
}

// Short is Kind/name.
func (r Ref) Short() string { return r.Kind + "/" + r.Name }

func isNamespace(r Ref) bool { return r.Group == "" && r.Kind == "Namespace" }

func isCRD(r Ref) bool {
	return r.Group == "apiextensions.k8s.io" && r.Kind == "CustomResourceDefinition"
}
