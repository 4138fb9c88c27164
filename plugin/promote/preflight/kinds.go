package preflight

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
)

// kinds finds objects whose kind, or whose version of it, the cluster does not
// serve and no CRD of the bundle defines.
func (c *Check) kinds(v *view) Report {
	defined := definedKinds(c.Objects)
	var report Report
	said := map[schema.GroupVersionKind]bool{}
	for _, obj := range c.Objects {
		gvk := obj.GroupVersionKind()
		err := v.unserved[gvk]
		if said[gvk] || err == nil {
			continue
		}
		said[gvk] = true
		versions := append(slices.Clone(v.versions[gvk.GroupKind()]), defined[gvk.GroupKind()]...)
		operator, known := operatorOf(gvk.GroupKind())
		switch {
		case slices.Contains(versions, gvk.Version):
		case len(versions) > 0:
			report.add(CheckKinds, Error, obj, fmt.Sprintf("write apiVersion: %s", schema.GroupVersion{Group: gvk.Group, Version: versions[0]}),
				"%v; %s is served as %s", err, gvk.Kind, strings.Join(versions, ", "))
		case known:
			report.add(CheckKinds, Error, obj, fmt.Sprintf("install %s: %s", operator.name, operator.url),
				"%v: %s brings it", err, operator.name)
		default:
			report.add(CheckKinds, Error, obj, "install the operator of "+gvk.Group+", or put its CRD into the bundle", "%v", err)
		}
	}
	return report
}

// definedKinds returns the versions that CRDs among the objects serve.
func definedKinds(objects []*unstructured.Unstructured) map[schema.GroupKind][]string {
	out := map[schema.GroupKind][]string{}
	for _, obj := range objects {
		if obj.GetKind() != "CustomResourceDefinition" {
			continue
		}
		group, _, _ := unstructured.NestedString(obj.Object, "spec", "group")
		kind, _, _ := unstructured.NestedString(obj.Object, "spec", "names", "kind")
		gk := schema.GroupKind{Group: group, Kind: kind}
		versions, _, _ := unstructured.NestedSlice(obj.Object, "spec", "versions")
		for _, item := range versions {
			if m, ok := item.(map[string]any); ok && m["served"] == true {
				out[gk] = append(out[gk], fmt.Sprint(m["name"]))
			}
		}
	}
	return out
}

// served fills in what the cluster serves of the bundle's kinds. It comes
// from discovery, which is asked once.
func (c *Check) served(v *view) error {
	for _, obj := range c.Objects {
		gvk := obj.GroupVersionKind()
		if _, ok := v.resources[gvk]; ok || v.unserved[gvk] != nil {
			continue
		}
		gvr, namespaced, err := c.Client.Resource(gvk)
		var unserved *apply.UnservedError
		switch {
		case errors.As(err, &unserved):
			v.unserved[gvk] = unserved
			// No match at all is no error here: unserved says it.
			mappings, _ := c.Client.Mapper.RESTMappings(gvk.GroupKind())
			for _, m := range mappings {
				if version := m.GroupVersionKind.Version; !slices.Contains(v.versions[gvk.GroupKind()], version) {
					v.versions[gvk.GroupKind()] = append(v.versions[gvk.GroupKind()], version)
				}
			}
		case err != nil:
			return err
		default:
			v.resources[gvk] = served{gvr, namespaced}
		}
	}
	return nil
}

// namespaces finds out which namespaces are missing or on their way out.
func (c *Check) namespaces(v *view) Report {
	var report Report
	for _, name := range c.namespacesWanted() {
		ns := v.namespaces[name]
		switch {
		case ns == nil:
			report.add(CheckNamespaces, Warning, nil, "", "may not look whether namespace %s exists", name)
		case ns.missing && c.brings("Namespace", "", name):
			report.add(CheckNamespaces, Info, nil, "", "namespace %s does not exist and is created", name)
		case ns.missing:
			report.add(CheckNamespaces, Error, nil, "kubectl create namespace "+name+", or put it into the bundle", "namespace %s does not exist and is not in the bundle", name)
		case ns.GetDeletionTimestamp() != nil:
			report.add(CheckNamespaces, Error, nil, "kubectl get namespace "+name+" -o yaml says what holds it", "namespace %s is being deleted", name)
		}
	}
	return report
}

// namespacesWanted are those of the objects and of the record.
func (c *Check) namespacesWanted() []string {
	wanted := []string{c.Namespace}
	for _, obj := range c.Objects {
		if ns := obj.GetNamespace(); ns != "" && !slices.Contains(wanted, ns) {
			wanted = append(wanted, ns)
		}
	}
	return wanted
}

// brings says whether the bundle holds an object of Kubernetes' own kinds.
func (c *Check) brings(kind, namespace, name string) bool {
	return slices.ContainsFunc(c.Objects, func(obj *unstructured.Unstructured) bool {
		return obj.GetKind() == kind && obj.GetNamespace() == namespace && obj.GetName() == name
	})
}
