package promote

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
)

// CompareReleases returns what leads from the stored manifests of one release
// to those of another, object by object. A Job, code or a generated ConfigMap
// is compared with its former generation, whose name has another suffix.
func CompareReleases(from, to []*unstructured.Unstructured) *apply.Plan {
	return apply.Compare(from, to, lineage)
}
