package components

import (
	"fmt"
	"path"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/types"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// Render builds a form of the component alone, in memory: the objects that it
// adds to a bundle.
func (c Component) Render(folder string) ([]*unstructured.Unstructured, error) {
	if _, err := c.Variant(folder); err != nil {
		return nil, err
	}
	files, err := c.Files(folder)
	if err != nil {
		return nil, err
	}
	fsys := filesys.MakeFsInMemory()
	files["alone/kustomization.yaml"] = []byte("components: [../" + folder + "]\n")
	for name, content := range files {
		if err := fsys.WriteFile(path.Join("/", c.Name, name), content); err != nil {
			return nil, fmt.Errorf("render component %s: %w", c.Name, err)
		}
	}
	options := krusty.MakeDefaultOptions()
	options.LoadRestrictions = types.LoadRestrictionsRootOnly
	options.PluginConfig = types.DisabledPluginConfig()
	built, err := krusty.MakeKustomizer(options).Run(fsys, path.Join("/", c.Name, "alone"))
	if err != nil {
		return nil, fmt.Errorf("render component %s, %s: %w", c.Name, folder, err)
	}
	objects := make([]*unstructured.Unstructured, 0, built.Size())
	for _, r := range built.Resources() {
		raw, err := r.MarshalJSON()
		if err != nil {
			return nil, fmt.Errorf("render component %s, %s: %w", c.Name, folder, err)
		}
		obj := &unstructured.Unstructured{}
		if err := obj.UnmarshalJSON(raw); err != nil {
			return nil, fmt.Errorf("render component %s, %s: %w", c.Name, folder, err)
		}
		objects = append(objects, obj)
	}
	return objects, nil
}
