package bundle

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/kustomize/api/hasher"
	"sigs.k8s.io/kustomize/api/konfig"
	"sigs.k8s.io/kustomize/api/types"
	kyaml "sigs.k8s.io/kustomize/kyaml/yaml"
)

// Naming is what an overlay puts around the names of its objects.
type Naming struct{ Prefix, Suffix string }

// NamingOf reads namePrefix and nameSuffix of the overlay in dir.
func NamingOf(dir string) (Naming, error) {
	for _, name := range konfig.RecognizedKustomizationFileNames() {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return Naming{}, &RenderError{Dir: dir, Err: err}
		}
		var k types.Kustomization
		if err := k.Unmarshal(raw); err != nil {
			return Naming{}, &RenderError{Dir: dir, Err: err}
		}
		return Naming{Prefix: k.NamePrefix, Suffix: k.NameSuffix}, nil
	}
	return Naming{}, nil
}

// canonical returns copies of rendered objects under the names that they have
// without the overlay's prefix and suffix and without the hash that kustomize
// puts behind generated ConfigMaps and Secrets. What names them by the whole
// of a value follows. So the same object has the same name in two overlays,
// and a generated one that differs does so in its data alone and not in every
// place that refers to it.
func canonical(objects []*unstructured.Unstructured, n Naming) []*unstructured.Unstructured {
	renames := map[string]string{}
	out := make([]*unstructured.Unstructured, len(objects))
	for i, obj := range objects {
		out[i] = obj.DeepCopy()
		name := withoutHash(obj)
		name = strings.TrimPrefix(name, n.Prefix)
		name = strings.TrimSuffix(name, n.Suffix)
		if name != "" && name != obj.GetName() {
			renames[obj.GetName()] = name
			out[i].SetName(name)
		}
	}
	if len(renames) > 0 {
		for _, obj := range out {
			for key, value := range obj.Object {
				if key != "apiVersion" && key != "kind" {
					obj.Object[key] = renamed(value, renames)
				}
			}
		}
	}
	return out
}

func renamed(v any, renames map[string]string) any {
	switch v := v.(type) {
	case map[string]any:
		for k, item := range v {
			v[k] = renamed(item, renames)
		}
	case []any:
		for i, item := range v {
			v[i] = renamed(item, renames)
		}
	case string:
		if to, ok := renames[v]; ok {
			return to
		}
	}
	return v
}

// hashLength is that of the suffix that kustomize's hasher makes.
const hashLength = 10

// withoutHash returns the name of a generated object before its content's hash
// was put behind it. A name that only looks like one is kept: the hash is
// computed again.
func withoutHash(obj *unstructured.Unstructured) string {
	name := obj.GetName()
	cut := len(name) - hashLength - 1
	if kind := obj.GetKind(); cut <= 0 || name[cut] != '-' || kind != "ConfigMap" && kind != "Secret" {
		return name
	}
	before := obj.DeepCopy()
	before.SetName(name[:cut])
	node, err := kyaml.FromMap(before.Object)
	if err != nil {
		return name
	}
	hash, err := (&hasher.Hasher{}).Hash(node)
	if err != nil || hash != name[cut+1:] {
		return name
	}
	return name[:cut]
}
