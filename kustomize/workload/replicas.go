package workload

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Replicas returns how many pods of a template run at once: the size of the
// gang. A field that the manifest leaves out counts as the API's default, 1.
func Replicas(t Template) int {
	obj := t.Object
	switch obj.GetKind() {
	case "Job":
		parallelism := number(obj, 1, "spec", "parallelism")
		if completions := number(obj, parallelism, "spec", "completions"); completions < parallelism {
			return completions
		}
		return parallelism
	case "Deployment", "StatefulSet", "ReplicaSet", "ReplicationController":
		return number(obj, 1, "spec", "replicas")
	}
	return 1
}

func number(obj *unstructured.Unstructured, otherwise int, fields ...string) int {
	n, ok, err := unstructured.NestedInt64(obj.Object, fields...)
	if err != nil || !ok {
		if f, ok, err := unstructured.NestedFloat64(obj.Object, fields...); err == nil && ok {
			return int(f)
		}
		return otherwise
	}
	return int(n)
}
