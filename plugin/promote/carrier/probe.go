package carrier

import (
	"context"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/version"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
)

// Cluster is what is asked of the target to find out whether it mounts images.
type Cluster interface {
	// DryRunCreate has the server admit an object without keeping it, and
	// returns what it would have kept.
	DryRunCreate(ctx context.Context, obj *unstructured.Unstructured) (*unstructured.Unstructured, error)
	// Nodes returns the nodes that pods may come to; none where they may not
	// be listed.
	Nodes(ctx context.Context) ([]Node, error)
}

// Node is a node with its container runtime as the kubelet reports it, such as
// containerd://2.3.7.
type Node struct{ Name, Runtime string }

// needed are the first versions of container runtimes that mount images.
var needed = map[string]string{"containerd": "2.1.0", "cri-o": "1.31.0"}

// probe returns a *NoImageVolumesError unless the target mounts images. The API
// server is asked to admit the very workloads with such a volume: where the
// feature is off it drops the field, and a CRD of an earlier pod template
// prunes it. A server's version says nothing of either.
func probe(ctx context.Context, cluster Cluster, targets []workload.Target) error {
	failed := &NoImageVolumesError{}
	asked := map[*unstructured.Unstructured]bool{}
	for _, t := range targets {
		if asked[t.Object] {
			continue
		}
		asked[t.Object] = true
		questions, err := questions(t.Object)
		if err != nil {
			return err
		}
		for _, q := range questions {
			answer, err := cluster.DryRunCreate(ctx, q)
			switch {
			case ctx.Err() != nil:
				return context.Cause(ctx)
			case err != nil:
				failed.API = append(failed.API, fmt.Sprintf("the API server does not say whether it keeps them in %s: %v", workload.Name(t.Object), err))
			case !keeps(answer):
				failed.API = append(failed.API, fmt.Sprintf("the API server drops them from a %s (feature gate ImageVolume, or an old definition of the kind)", q.GetKind()))
			}
		}
	}
	nodes, err := cluster.Nodes(ctx)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		if why := unable(n.Runtime); why != "" {
			failed.Nodes = append(failed.Nodes, fmt.Sprintf("node %s has %s", n.Name, why))
		}
	}
	if len(failed.API)+len(failed.Nodes) > 0 {
		return failed
	}
	return nil
}

// native are the groups whose kinds the API server itself knows: the gate is
// heeded in their pod templates.
func native(group string) bool { return group == "" || group == "apps" || group == "batch" }

// questions are what the server is asked to admit for an object: the object
// under another name, and for one of a CRD a pod of it too.
func questions(obj *unstructured.Unstructured) ([]*unstructured.Unstructured, error) {
	same := obj.DeepCopy()
	same.SetName("")
	same.SetGenerateName("kubectl-ai-probe-")
	templates, err := workload.Templates(same)
	if err != nil {
		return nil, err
	}
	var all []*unstructured.Unstructured
	for _, t := range templates {
		spec := t.Spec()
		volumes, _ := spec["volumes"].([]any)
		spec["volumes"] = append(volumes, map[string]any{"name": codeVolume, "image": imageSource(probeReference)["image"]})
		if native(obj.GroupVersionKind().Group) {
			continue
		}
		pod := &unstructured.Unstructured{Object: map[string]any{
			"apiVersion": "v1", "kind": "Pod",
			"metadata": runtime.DeepCopyJSON(t.Metadata()), "spec": runtime.DeepCopyJSON(spec),
		}}
		pod.SetName("")
		pod.SetGenerateName("kubectl-ai-probe-")
		pod.SetNamespace(obj.GetNamespace())
		all = append(all, pod)
	}
	return append(all, same), nil
}

// probeReference stands for the code while the server is asked.
var probeReference = "registry.invalid/code@sha256:" + strings.Repeat("0", 64)

// keeps tells whether every pod template of an answer has the image volume.
func keeps(answer *unstructured.Unstructured) bool {
	templates, err := workload.Templates(answer)
	if err != nil || len(templates) == 0 {
		return false
	}
	for _, t := range templates {
		found := false
		volumes, _ := t.Spec()["volumes"].([]any)
		for _, v := range volumes {
			m, _ := v.(map[string]any)
			image, _ := m["image"].(map[string]any)
			found = found || isCodeVolume(v) && image["reference"] == probeReference
		}
		if !found {
			return false
		}
	}
	return true
}

// unable says why a container runtime does not mount images, "" when it does.
func unable(reported string) string {
	kind, has, _ := strings.Cut(reported, "://")
	need, ok := needed[kind]
	if !ok {
		return reported + ", which is not known to mount images"
	}
	v, err := version.ParseGeneric(has)
	if err != nil {
		return fmt.Sprintf("%s of unknown version %q", kind, has)
	}
	if v.LessThan(version.MustParseGeneric(need)) {
		return fmt.Sprintf("%s %s, and %s is needed", kind, has, need)
	}
	return ""
}
