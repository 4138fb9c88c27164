package promote

import (
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// Bundle is what is promoted.
type Bundle struct {
	// Objects are rendered and carry the code. Plan edits them.
	Objects []*unstructured.Unstructured
	Tree    string            // digest of the code tree
	Images  map[string]string // target -> image
	// Evidence is what it is founded on, for the record.
	Evidence *release.Evidence
	// Pushed are images that are pushed only when the plan is agreed to.
	Pushed map[string]bool
	// RollbackTo is the release whose stored manifests these are; 0: a fresh
	// render, whose Jobs get the names of their generations.
	RollbackTo int
	// Restore says that the release was current a moment ago: its Jobs that
	// are done do not run again.
	Restore bool
	// From is the environment and number of the release that this is, such as
	// staging/12; empty: the code was packaged for this promotion.
	From string
}

// Mark puts the digest of the code and the project's name on the pod
// templates that run it.
func Mark(targets []workload.Target, project string, digest tree.Digest) {
	for _, t := range targets {
		t.Annotate(DigestAnnotation, digest.String())
		t.Label(release.ProjectLabel, project)
		annotations, _ := t.Metadata()["annotations"].(map[string]any)
		before, _ := annotations[ContainersAnnotation].(string)
		names := strings.FieldsFunc(before, func(r rune) bool { return r == ',' })
		t.Annotate(ContainersAnnotation, strings.Join(append(names, t.Container.Name()), ","))
	}
}

// own labels objects as members of a release. Pod templates are left alone:
// what controllers copy to their children must not look like a member.
func own(objects []*unstructured.Unstructured, project, id string) {
	for _, obj := range objects {
		labels := obj.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels[release.ProjectLabel] = project
		labels[release.PartOf] = id
		obj.SetLabels(labels)
	}
}

// namespaceObject is the namespace of an environment as we make it.
func namespaceObject(name string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1",
		"kind":       "Namespace",
		"metadata":   map[string]any{"name": name},
	}}
}
