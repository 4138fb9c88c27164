package workload

import (
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Replicas returns how many pods of a template run at once: the size of the
// gang. A field that the manifest leaves out counts as the API's default, 1.
func Replicas(t Template) int {
	obj := t.Object.Object
	switch t.Object.GetKind() {
	case "Job":
		if t.Object.GroupVersionKind().Group == "batch.volcano.sh" {
			return number(t.item("template"), 1, "replicas")
		}
		return jobPods(obj, "spec")
	case "Deployment", "StatefulSet", "ReplicaSet", "ReplicationController":
		return number(obj, 1, "spec", "replicas")
	case "JobSet":
		list := t.item("template.spec.template")
		return number(list, 1, "replicas") * jobPods(list, "template", "spec")
	case "PyTorchJob":
		return number(t.item("template"), 1, "replicas")
	case "RayCluster", "RayJob":
		// A head has no count; a group of hosts counts for each of its
		// replicas.
		group := t.item("template")
		return number(group, 1, "replicas") * number(group, 1, "numOfHosts")
	case "InferenceService":
		return number(obj, 1, "spec", "predictor", "minReplicas")
	case "LeaderWorkerSet":
		groups := number(obj, 1, "spec", "replicas")
		if strings.HasSuffix(t.Path, ".leaderTemplate") {
			return groups
		}
		size := number(obj, 1, "spec", "leaderWorkerTemplate", "size")
		if _, ok, _ := unstructured.NestedMap(obj, "spec", "leaderWorkerTemplate", "leaderTemplate"); ok {
			size-- // the leader has a template of its own
		}
		return groups * size
	}
	return 1
}

// jobPods is how many pods of a Job's spec run at once.
func jobPods(obj map[string]any, spec ...string) int {
	parallelism := number(obj, 1, append(spec, "parallelism")...)
	return min(parallelism, number(obj, parallelism, append(spec, "completions")...))
}

// item returns the part of the object that a template hangs in: its path
// without the given end.
func (t Template) item(end string) map[string]any {
	path := strings.TrimSuffix(strings.TrimSuffix(t.Path, end), ".")
	var at any = t.Object.Object
	for _, step := range strings.FieldsFunc(path, func(r rune) bool { return r == '.' || r == '[' || r == ']' }) {
		switch v := at.(type) {
		case map[string]any:
			at = v[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(v) {
				return nil
			}
			at = v[i]
		}
	}
	m, _ := at.(map[string]any)
	return m
}

func number(obj map[string]any, otherwise int, fields ...string) int {
	n, ok, err := unstructured.NestedInt64(obj, fields...)
	if err != nil || !ok {
		if f, ok, err := unstructured.NestedFloat64(obj, fields...); err == nil && ok {
			return int(f)
		}
		return otherwise
	}
	return int(n)
}
