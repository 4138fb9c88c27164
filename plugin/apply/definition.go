package apply

import (
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"
)

// definition is a CRD among the objects.
type definition struct{ crd *unstructured.Unstructured }

// definitions returns the CRDs among the objects by the kind they define.
func definitions(objects []*unstructured.Unstructured) map[schema.GroupKind]definition {
	out := map[schema.GroupKind]definition{}
	for _, obj := range objects {
		if !isCRD(RefOf(obj)) {
			continue
		}
		group, _, _ := unstructured.NestedString(obj.Object, "spec", "group")
		kind, _, _ := unstructured.NestedString(obj.Object, "spec", "names", "kind")
		out[schema.GroupKind{Group: group, Kind: kind}] = definition{obj}
	}
	return out
}

// servedBy lists what a CRD serves.
func servedBy(crd *unstructured.Unstructured) iter.Seq[schema.GroupVersionKind] {
	return func(yield func(schema.GroupVersionKind) bool) {
		group, _, _ := unstructured.NestedString(crd.Object, "spec", "group")
		kind, _, _ := unstructured.NestedString(crd.Object, "spec", "names", "kind")
		versions, _, _ := unstructured.NestedSlice(crd.Object, "spec", "versions")
		for _, item := range versions {
			version, _ := item.(map[string]any)
			name, _ := version["name"].(string)
			if served, _ := version["served"].(bool); served && !yield(schema.GroupVersionKind{Group: group, Version: name, Kind: kind}) {
				return
			}
		}
	}
}

func (d definition) namespaced() bool {
	scope, _, _ := unstructured.NestedString(d.crd.Object, "spec", "scope")
	return scope == "Namespaced"
}

// check holds an instance, which the server does not know yet, against the
// schema of its CRD, as the server will: defaults are filled in, then types,
// bounds and required fields are checked, and unknown fields refused. The
// rules in CEL and admission are left to the server.
func (d definition) check(change *Change) error {
	change.Action, change.Unverified = Create, "its CRD comes along; it fits the schema in that"
	root, err := d.schema(change.Want.GroupVersionKind().Version)
	if err != nil {
		return &ObjectError{Action: "check", Ref: change.Ref, Err: err}
	}
	if root == nil {
		change.Unverified = "its CRD comes along, without a schema"
		return nil
	}
	instance := runtime.DeepCopyJSON(change.Want.Object)
	var errs []error
	for _, path := range complete(instance, root, true, "") {
		errs = append(errs, fmt.Errorf("%s: unknown field", path))
	}
	errs = append(errs, validate.NewSchemaValidator(root, nil, "", strfmt.Default).Validate(instance).Errors...)
	if len(errs) > 0 {
		return &ObjectError{Action: "check", Ref: change.Ref, Err: errors.Join(errs...)}
	}
	return nil
}

// schema returns the schema of a version; nil when it has none.
func (d definition) schema(version string) (*spec.Schema, error) {
	versions, _, _ := unstructured.NestedSlice(d.crd.Object, "spec", "versions")
	for _, item := range versions {
		v, _ := item.(map[string]any)
		if v["name"] != version {
			continue
		}
		content, ok, _ := unstructured.NestedMap(v, "schema", "openAPIV3Schema")
		if !ok {
			return nil, nil
		}
		raw, err := json.Marshal(content)
		if err != nil {
			return nil, fmt.Errorf("CRD %s: %w", d.crd.GetName(), err)
		}
		root := &spec.Schema{}
		if err := json.Unmarshal(raw, root); err != nil {
			return nil, fmt.Errorf("CRD %s: %w", d.crd.GetName(), err)
		}
		return root, nil
	}
	return nil, fmt.Errorf("CRD %s defines no version %s", d.crd.GetName(), version)
}

// complete fills the defaults of a structural schema in and returns the
// fields that the schema does not know. object says that the value is a whole
// object, with the fields that all have.
func complete(value any, s *spec.Schema, object bool, path string) (unknown []string) {
	switch value := value.(type) {
	case map[string]any:
		for name, field := range s.Properties {
			if _, there := value[name]; !there && field.Default != nil {
				value[name] = runtime.DeepCopyJSONValue(field.Default)
			}
		}
		for name, item := range value {
			if object && slices.Contains([]string{"apiVersion", "kind", "metadata"}, name) {
				continue
			}
			at := path + "." + name
			if field, ok := s.Properties[name]; ok {
				unknown = append(unknown, complete(item, &field, extends(&field, "x-kubernetes-embedded-resource"), at)...)
				continue
			}
			switch more := s.AdditionalProperties; {
			case more != nil && more.Schema != nil:
				unknown = append(unknown, complete(item, more.Schema, extends(more.Schema, "x-kubernetes-embedded-resource"), at)...)
			case more != nil && more.Allows, extends(s, "x-kubernetes-preserve-unknown-fields"):
			default:
				unknown = append(unknown, at)
			}
		}
		slices.Sort(unknown)
	case []any:
		if s.Items == nil || s.Items.Schema == nil {
			return nil
		}
		for i, item := range value {
			unknown = append(unknown, complete(item, s.Items.Schema, extends(s.Items.Schema, "x-kubernetes-embedded-resource"), fmt.Sprintf("%s[%d]", path, i))...)
		}
	}
	return unknown
}

func extends(s *spec.Schema, extension string) bool {
	yes, ok := s.Extensions.GetBool(extension)
	return ok && yes
}
