package gitops

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
)

// kustomization is the file that lists the others.
const kustomization = "kustomization.yaml"

// header marks a kustomization as ours.
const header = "# Written by kubectl ai promote. Edit the bundle, not these files.\n"

// Options change what is written.
type Options struct {
	// Secrets writes Secrets too, in plain.
	Secrets bool
}

// Files are names, with slashes, and contents.
type Files map[string][]byte

// Of returns the files of objects as they are to be applied: one an object,
// in a folder for its namespace, and the kustomization. It returns a
// *SecretError when a Secret is among them and Options do not allow it.
func Of(objects []*unstructured.Unstructured, o Options) (Files, error) {
	sorted := slices.Clone(objects)
	apply.Sort(sorted)
	files := Files{}
	var names []string
	refused := &SecretError{}
	for _, obj := range sorted {
		ref := apply.RefOf(obj)
		if ref.Group == "" && ref.Kind == "Secret" && !o.Secrets {
			refused.Refs = append(refused.Refs, ref)
			continue
		}
		raw, err := yaml.Marshal(kept(obj).Object)
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", ref, err)
		}
		name := nameOf(ref, files)
		files[name] = raw
		names = append(names, name)
	}
	if len(refused.Refs) > 0 {
		return nil, refused
	}
	list, err := yaml.Marshal(map[string]any{
		"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization", "resources": names,
	})
	if err != nil {
		return nil, fmt.Errorf("write %s: %w", kustomization, err)
	}
	files[kustomization] = append([]byte(header), list...)
	return files, nil
}

// keepers tell those who apply the files not to delete an object that left
// them.
var keepers = map[string]string{
	"kustomize.toolkit.fluxcd.io/prune": "disabled",
	"argocd.argoproj.io/sync-options":   "Prune=false",
}

// kept returns an object with what saves it from prune where a promotion would
// save it: a run that goes on when the next one has come, and what holds data.
func kept(obj *unstructured.Unstructured) *unstructured.Unstructured {
	switch ref := apply.RefOf(obj); {
	case apply.StageOf(ref) == apply.StageJobs:
	case ref.Group == "" && (ref.Kind == "Namespace" || ref.Kind == "PersistentVolumeClaim" || ref.Kind == "PersistentVolume"):
	case ref.Group == "apiextensions.k8s.io":
	default:
		return obj
	}
	out := obj.DeepCopy()
	annotations := out.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	for key, value := range keepers {
		if _, ok := annotations[key]; !ok {
			annotations[key] = value
		}
	}
	out.SetAnnotations(annotations)
	return out
}

// nameOf returns the file of an object. Names of roles may have colons, which
// not every file system takes; two kinds of one name in two groups are told
// apart by the group.
func nameOf(ref apply.Ref, taken Files) string {
	folder := ref.Namespace
	if folder == "" {
		folder = "cluster"
	}
	clean := strings.ReplaceAll(ref.Name, ":", "_")
	name := path.Join(folder, strings.ToLower(ref.Kind)+"-"+clean+".yaml")
	for n := 2; ; n++ {
		if _, ok := taken[name]; !ok {
			return name
		}
		name = path.Join(folder, strings.ToLower(ref.Kind)+"."+ref.Group+"-"+clean+".yaml")
		if n > 2 {
			name = path.Join(folder, fmt.Sprintf("%s.%s-%s-%d.yaml", strings.ToLower(ref.Kind), ref.Group, clean, n))
		}
	}
}

// Names returns the names of the files, sorted.
func (f Files) Names() []string { return slices.Sorted(maps.Keys(f)) }
