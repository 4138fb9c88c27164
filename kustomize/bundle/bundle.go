// Package bundle renders kustomize overlays in this process, as
// `kubectl kustomize` would: no exec plugins, no remote bases, nothing
// written.
package bundle

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// RenderError says that an overlay does not build.
type RenderError struct {
	Dir string
	Err error
}

func (e *RenderError) Error() string { return fmt.Sprintf("render %s: %v", e.Dir, e.Err) }
func (e *RenderError) Unwrap() error { return e.Err }

// NamespaceError says that an object names another namespace than the one that
// was asked for. kubectl apply -n refuses it likewise.
type NamespaceError struct {
	Object           string // Kind/name
	Namespace, Given string
}

func (e *NamespaceError) Error() string {
	return fmt.Sprintf("%s is in namespace %s by its overlay, and namespace %s was asked for", e.Object, e.Namespace, e.Given)
}

// CheckNamespace returns a *NamespaceError for the first of the objects that
// names a namespace other than the given one.
func CheckNamespace(objects []*unstructured.Unstructured, given string) error {
	for _, obj := range objects {
		if named := obj.GetNamespace(); named != "" && named != given {
			return &NamespaceError{Object: obj.GetKind() + "/" + obj.GetName(), Namespace: named, Given: given}
		}
	}
	return nil
}

// Options change how an overlay is built.
type Options struct {
	// Remote lets kustomize fetch what the bundle names on other machines.
	Remote bool
}

// Render builds the overlay in dir and returns its objects in kustomize's
// order. Every error is a *RenderError, or a *RemoteError where the bundle is
// not all here and Options do not allow that.
func Render(dir string, o Options) ([]*unstructured.Unstructured, error) {
	if !o.Remote {
		if err := local(dir, map[string]bool{}); err != nil {
			return nil, err
		}
	}
	options := krusty.MakeDefaultOptions()
	// An overlay reaches its base beside it; only remote code is off.
	options.LoadRestrictions = types.LoadRestrictionsRootOnly
	options.PluginConfig = types.DisabledPluginConfig()
	resources, err := krusty.MakeKustomizer(options).Run(filesys.MakeFsOnDisk(), dir)
	if err != nil {
		return nil, &RenderError{Dir: dir, Err: err}
	}
	objects := make([]*unstructured.Unstructured, 0, resources.Size())
	for _, r := range resources.Resources() {
		raw, err := r.MarshalJSON()
		if err != nil {
			return nil, &RenderError{Dir: dir, Err: err}
		}
		obj := &unstructured.Unstructured{}
		// This decoder keeps whole numbers whole.
		if err := obj.UnmarshalJSON(raw); err != nil {
			return nil, &RenderError{Dir: dir, Err: err}
		}
		if obj.GetName() == "" {
			return nil, &RenderError{Dir: dir, Err: fmt.Errorf("%s without a name", obj.GetKind())}
		}
		objects = append(objects, obj)
	}
	if len(objects) == 0 {
		return nil, &RenderError{Dir: dir, Err: fmt.Errorf("the overlay renders no objects")}
	}
	return objects, nil
}
