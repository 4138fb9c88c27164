// Package promote takes a bundle with its code to a cluster: it names Jobs by
// what they run, plans, applies, waits, and records.
package promote

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// NameAnnotation holds, on a Job, its name in the bundle.
const NameAnnotation = "kubectl-ai.dev/name"

// longestJob leaves room for the index and suffix that a Job's pods get.
const longestJob = 63 - len("-00000")

// NameJobs gives every Job a name made of its own and a hash of what it runs:
// a Job's template cannot change, and a Job that runs something else is
// another run. Labels and selectors by the Job's name and host names of its
// pods (<job>-<index>.…) follow. The same template keeps the same name.
func NameJobs(objects []*unstructured.Unstructured) error {
	for _, obj := range objects {
		if obj.GetKind() != "Job" || obj.GroupVersionKind().Group != "batch" {
			continue
		}
		spec, _, _ := unstructured.NestedMap(obj.Object, "spec")
		raw, err := json.Marshal(spec)
		if err != nil {
			return fmt.Errorf("name Job/%s: %w", obj.GetName(), err)
		}
		Rename(objects, obj, fmt.Sprintf("%x", sha256.Sum256(raw))[:8])
	}
	return nil
}

// Rename gives a Job the name <name>-<suffix>, and what refers to it too.
func Rename(objects []*unstructured.Unstructured, job *unstructured.Unstructured, suffix string) {
	old := job.GetName()
	base := old
	if limit := longestJob - len(suffix) - 1; len(base) > limit {
		base = strings.TrimRight(base[:limit], "-.")
	}
	name := base + "-" + suffix
	job.SetName(name)
	annotations := job.GetAnnotations()
	if annotations == nil {
		annotations = map[string]string{}
	}
	if annotations[NameAnnotation] == "" {
		annotations[NameAnnotation] = old
	}
	job.SetAnnotations(annotations)
	host := regexp.MustCompile(`^` + regexp.QuoteMeta(old) + `-\d+(\.|$)`)
	for _, obj := range objects {
		if obj.GetNamespace() == job.GetNamespace() {
			follow(obj.Object, "", old, name, host)
		}
	}
}

// follow rewrites references to a Job's name below v.
func follow(v any, key, old, name string, host *regexp.Regexp) any {
	switch v := v.(type) {
	case map[string]any:
		for k, item := range v {
			v[k] = follow(item, k, old, name, host)
		}
	case []any:
		for i, item := range v {
			v[i] = follow(item, key, old, name, host)
		}
	case string:
		if (key == "job-name" || key == "batch.kubernetes.io/job-name") && v == old {
			return name
		}
		if key == "value" && host.MatchString(v) {
			return name + v[len(old):]
		}
	}
	return v
}
