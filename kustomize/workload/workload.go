// Package workload knows, for each kind that makes pods, where its pod
// template is. It works on unstructured objects, so that no operator's Go
// types are needed, and edits them in place.
package workload

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// paths lists, per kind, the fields that hold a pod template: a map with
// metadata and spec. A "*" steps through a list or the values of a map. The
// source is each API's own definition.
var paths = map[schema.GroupKind][]string{
	{Kind: "Pod"}:                                                   {""},
	{Kind: "ReplicationController"}:                                 {"spec.template"},
	{Group: "batch", Kind: "Job"}:                                   {"spec.template"},
	{Group: "batch", Kind: "CronJob"}:                               {"spec.jobTemplate.spec.template"},
	{Group: "apps", Kind: "Deployment"}:                             {"spec.template"},
	{Group: "apps", Kind: "StatefulSet"}:                            {"spec.template"},
	{Group: "apps", Kind: "DaemonSet"}:                              {"spec.template"},
	{Group: "apps", Kind: "ReplicaSet"}:                             {"spec.template"},
	{Group: "jobset.x-k8s.io", Kind: "JobSet"}:                      {"spec.replicatedJobs.*.template.spec.template"},
	{Group: "kubeflow.org", Kind: "PyTorchJob"}:                     {"spec.pytorchReplicaSpecs.*.template"},
	{Group: "ray.io", Kind: "RayCluster"}:                           {"spec.headGroupSpec.template", "spec.workerGroupSpecs.*.template"},
	{Group: "ray.io", Kind: "RayJob"}:                               {"spec.rayClusterSpec.headGroupSpec.template", "spec.rayClusterSpec.workerGroupSpecs.*.template"},
	{Group: "leaderworkerset.x-k8s.io", Kind: "LeaderWorkerSet"}:    {"spec.leaderWorkerTemplate.leaderTemplate", "spec.leaderWorkerTemplate.workerTemplate"},
	{Group: "trainer.kubeflow.org", Kind: "TrainingRuntime"}:        {"spec.template.spec.replicatedJobs.*.template.spec.template"},
	{Group: "trainer.kubeflow.org", Kind: "ClusterTrainingRuntime"}: {"spec.template.spec.replicatedJobs.*.template.spec.template"},
	{Group: "batch.volcano.sh", Kind: "Job"}:                        {"spec.tasks.*.template"},
	{Group: "kubeflow.org", Kind: "Experiment"}:                     {"spec.trialTemplate.trialSpec.spec.template"}, // trials that are Jobs
	{Group: "serving.kserve.io", Kind: "InferenceService"}:          {"spec.predictor"},
}

// inline are the kinds whose template is a pod spec with labels and
// annotations beside the containers, in place of metadata and spec.
var inline = map[schema.GroupKind]bool{
	{Group: "serving.kserve.io", Kind: "InferenceService"}: true,
}

// Template is one pod template inside an object. Edits reach the object.
type Template struct {
	Object *unstructured.Unstructured
	Path   string // for people, such as spec.template
	root   map[string]any
	inline bool
}

// Templates returns the pod templates of an object; none for a kind that
// makes no pods or that this package does not know.
func Templates(obj *unstructured.Unstructured) ([]Template, error) {
	var out []Template
	gk := obj.GroupVersionKind().GroupKind()
	for _, path := range paths[gk] {
		var steps []string
		if path != "" {
			steps = strings.Split(path, ".")
		}
		if err := walk(obj.Object, steps, "", func(at string, m map[string]any) {
			out = append(out, Template{Object: obj, Path: at, root: m, inline: inline[gk]})
		}); err != nil {
			return nil, fmt.Errorf("%s: %w", Name(obj), err)
		}
	}
	return out, nil
}

func walk(v any, steps []string, at string, found func(string, map[string]any)) error {
	if len(steps) == 0 {
		m, ok := v.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is no pod template", at)
		}
		found(strings.TrimPrefix(at, "."), m)
		return nil
	}
	step, rest := steps[0], steps[1:]
	if step != "*" {
		m, ok := v.(map[string]any)
		if !ok {
			return fmt.Errorf("%s is no object", at)
		}
		next, ok := m[step]
		if !ok {
			return nil // an optional part, such as a leader template
		}
		return walk(next, rest, at+"."+step, found)
	}
	switch v := v.(type) {
	case []any:
		for i, item := range v {
			if err := walk(item, rest, fmt.Sprintf("%s[%d]", at, i), found); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, k := range sortedKeys(v) {
			if err := walk(v[k], rest, at+"."+k, found); err != nil {
				return err
			}
		}
	default:
		return fmt.Errorf("%s is no list", at)
	}
	return nil
}

// Name returns an object's name for people: Kind/name.
func Name(obj *unstructured.Unstructured) string { return obj.GetKind() + "/" + obj.GetName() }

// Spec returns the live pod spec.
func (t Template) Spec() map[string]any {
	if t.inline {
		return t.root
	}
	return child(t.root, "spec")
}

// Metadata returns the live metadata of the template. For a bare Pod it is
// the object's own.
func (t Template) Metadata() map[string]any {
	if t.inline {
		return t.root
	}
	return child(t.root, "metadata")
}

// Annotate sets an annotation on the pods that the template makes.
func (t Template) Annotate(key, value string) { child(t.Metadata(), "annotations")[key] = value }

// Label sets a label on the pods that the template makes.
func (t Template) Label(key, value string) { child(t.Metadata(), "labels")[key] = value }

// Containers returns the containers, init containers not among them.
func (t Template) Containers() []Container { return t.list("containers") }

// InitContainers returns the init containers, sidecars among them.
func (t Template) InitContainers() []Container { return t.list("initContainers") }

func (t Template) list(field string) []Container {
	items, _ := t.Spec()[field].([]any)
	var out []Container
	for _, item := range items {
		if m, ok := item.(map[string]any); ok {
			out = append(out, Container{fields: m})
		}
	}
	return out
}

// child returns m[key] as a map, made when missing.
func child(m map[string]any, key string) map[string]any {
	c, ok := m[key].(map[string]any)
	if !ok {
		c = map[string]any{}
		m[key] = c
	}
	return c
}

// Container is a live container of a template.
type Container struct{ fields map[string]any }

// Map returns the live fields.
func (c Container) Map() map[string]any { return c.fields }

// Name returns the container's name.
func (c Container) Name() string { return c.text("name") }

// Image returns the image reference.
func (c Container) Image() string { return c.text("image") }

// SetImage replaces the image reference.
func (c Container) SetImage(image string) { c.fields["image"] = image }

// WorkingDir returns the working directory without a slash at its end, or "".
func (c Container) WorkingDir() string {
	dir := c.text("workingDir")
	if len(dir) > 1 {
		dir = strings.TrimRight(dir, "/")
	}
	return dir
}

// Command returns the entrypoint that the manifest gives; nil: the image's.
func (c Container) Command() []string { return c.list("command") }

// Args returns the arguments that the manifest gives; nil: the image's,
// unless a command is given.
func (c Container) Args() []string { return c.list("args") }

func (c Container) text(key string) string {
	s, _ := c.fields[key].(string)
	return s
}

func (c Container) list(key string) []string {
	items, ok := c.fields[key].([]any)
	if !ok {
		return nil
	}
	out := make([]string, 0, len(items))
	for _, item := range items {
		out = append(out, fmt.Sprint(item))
	}
	return out
}

// Strings converts a list for an unstructured field.
func Strings(items []string) []any {
	out := make([]any, len(items))
	for i, s := range items {
		out[i] = s
	}
	return out
}

func sortedKeys(m map[string]any) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
