// Package audit asks a cluster whether it still runs what a release brought to
// it. Nothing of ours runs there, so it looks at what can be looked at from
// outside, by other means than those that put it there:
//
//   - objects: the pod templates as they are now, against those recorded;
//   - pods: the image that the node says a container runs;
//   - registry: every byte of the pushed images, downloaded and hashed, and the
//     tree in their last layer;
//   - configMaps: the tree that they hold now.
//
// The tree is compared with the digest that the release carries since the
// laptop. What cannot be told, such as the digest of an image that was loaded
// into a node, is a finding of its own and no difference.
package audit

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/carrier"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// Cluster is what is asked of the target.
type Cluster interface {
	Get(ctx context.Context, ref apply.Ref) (*unstructured.Unstructured, error)
	// Pods lists the project's pods in a namespace.
	Pods(ctx context.Context, namespace string) ([]unstructured.Unstructured, error)
}

// Reread downloads and hashes an image; carrier.Reread is the real one.
type Reread func(ctx context.Context, ref, mountPath string) (tree.Index, []carrier.Blob, error)

// Verdict is what became of a comparison.
type Verdict string

// The verdicts.
const (
	Same    Verdict = "same"
	Differs Verdict = "differs"
	Unknown Verdict = "unknown" // nobody can tell
)

// Finding is one comparison.
type Finding struct {
	Check    string  `json:"check"` // object, pod, registry, code
	Name     string  `json:"name"`  // what was looked at
	What     string  `json:"what"`  // which part of it
	Verdict  Verdict `json:"verdict"`
	Expected string  `json:"expected,omitempty"`
	Found    string  `json:"found,omitempty"`
}

// Release is what is looked for.
type Release struct {
	Record  release.Record
	Objects []*unstructured.Unstructured // as recorded
	Targets []workload.Target            // of Objects: the containers with the code
}

// audit collects the findings of one run.
type audit struct {
	Release
	cluster Cluster
	reread  Reread
	live    map[apply.Ref]*unstructured.Unstructured
	found   []Finding
}

// Run compares. The findings come in the order of the checks; an error says
// that the cluster or a registry did not answer.
func Run(ctx context.Context, r Release, cluster Cluster, reread Reread) ([]Finding, error) {
	a := &audit{Release: r, cluster: cluster, reread: reread, live: map[apply.Ref]*unstructured.Unstructured{}}
	for _, check := range []func(context.Context) error{a.objects, a.pods, a.registry, a.configMaps} {
		if err := check(ctx); err != nil {
			return a.found, err
		}
	}
	return a.found, nil
}

func (a *audit) compare(check, name, what, expected, found string) {
	f := Finding{Check: check, Name: name, What: what, Verdict: Same, Expected: expected, Found: found}
	if expected != found {
		f.Verdict = Differs
	}
	a.found = append(a.found, f)
}

// objects compares the images of all pod templates, and what mounts the code;
// and of routes, which pods get the traffic.
func (a *audit) objects(ctx context.Context) error {
	for _, want := range a.Objects {
		if gvk := want.GroupVersionKind(); gvk.Group == "gateway.networking.k8s.io" && gvk.Kind == "HTTPRoute" {
			if err := a.route(ctx, want); err != nil {
				return err
			}
			continue
		}
		templates, err := workload.Templates(want)
		if err != nil || len(templates) == 0 {
			continue // what cannot be read was never applied
		}
		ref := apply.RefOf(want)
		live, err := a.cluster.Get(ctx, ref)
		switch {
		case apierrors.IsNotFound(err) && wentByTTL(want):
			a.found = append(a.found, Finding{Check: "object", Name: ref.Short(), What: "object", Verdict: Unknown, Expected: "its TTL may have removed it"})
			continue
		case apierrors.IsNotFound(err):
			a.compare("object", ref.Short(), "object", "there", "gone")
			continue
		case err != nil:
			return fmt.Errorf("read %s: %w", ref, err)
		}
		a.live[ref] = live
		now, err := workload.Templates(live)
		if err != nil || len(now) != len(templates) {
			a.compare("object", ref.Short(), "pod templates", fmt.Sprint(len(templates)), fmt.Sprint(len(now)))
			continue
		}
		for i := range templates {
			a.template(ref, templates[i], now[i])
		}
	}
	return nil
}

// route compares where an HTTPRoute sends its traffic: a canary that was left
// behind runs other code than the release.
func (a *audit) route(ctx context.Context, want *unstructured.Unstructured) error {
	ref := apply.RefOf(want)
	live, err := a.cluster.Get(ctx, ref)
	switch {
	case apierrors.IsNotFound(err):
		a.compare("object", ref.Short(), "object", "there", "gone")
		return nil
	case err != nil:
		return fmt.Errorf("read %s: %w", ref, err)
	}
	a.compare("object", ref.Short(), "traffic", traffic(want), traffic(live))
	return nil
}

// traffic says for each rule of a route which backends get which part, such as
// "serve 90, serve-canary 10".
func traffic(route *unstructured.Unstructured) string {
	rules, _, _ := unstructured.NestedSlice(route.Object, "spec", "rules")
	var out []string
	for _, rule := range rules {
		fields, _ := rule.(map[string]any)
		backends, _ := fields["backendRefs"].([]any)
		var parts []string
		for _, backend := range backends {
			ref, _ := backend.(map[string]any)
			weight := ref["weight"]
			if weight == nil {
				weight = 1 // the API's default
			}
			parts = append(parts, fmt.Sprintf("%v %v", ref["name"], weight))
		}
		out = append(out, strings.Join(parts, ", "))
	}
	return strings.Join(out, "; ")
}

// wentByTTL tells of a Job that may have been removed when it was done.
func wentByTTL(job *unstructured.Unstructured) bool {
	_, ttl, _ := unstructured.NestedInt64(job.Object, "spec", "ttlSecondsAfterFinished")
	return job.GetKind() == "Job" && ttl
}

func (a *audit) template(ref apply.Ref, want, now workload.Template) {
	images := func(t workload.Template) (names []string, of map[string]string) {
		of = map[string]string{}
		for _, c := range slices.Concat(t.InitContainers(), t.Containers()) {
			names, of[c.Name()] = append(names, c.Name()), c.Image()
		}
		return names, of
	}
	names, expected := images(want)
	others, found := images(now)
	for _, name := range names {
		a.compare("object", ref.Short(), "image of "+name, expected[name], found[name])
	}
	for _, name := range others {
		if _, ok := expected[name]; !ok {
			a.compare("object", ref.Short(), "image of "+name, "", found[name])
		}
	}
	a.compare("object", ref.Short(), "volume of the code", carrier.Mount(want), carrier.Mount(now))
}

// registry rereads what was pushed.
func (a *audit) registry(ctx context.Context) error {
	if a.Record.Evidence == nil {
		return nil
	}
	for _, ref := range a.Record.Evidence.Carrier.Objects {
		if strings.HasPrefix(ref, "ConfigMap/") {
			continue
		}
		mountPath := "/"
		for _, t := range a.Targets {
			if t.Container.Image() == ref {
				mountPath = t.MountPath
			}
		}
		index, blobs, err := a.reread(ctx, ref, mountPath)
		if err != nil {
			return err
		}
		whole := true
		for _, b := range blobs {
			found := b.Found
			if b.Err != nil {
				found = b.Err.Error()
			}
			a.compare("registry", ref, b.What, b.Digest, found)
			whole = whole && b.Same()
		}
		if whole { // else what is wrong has been said
			a.compare("code", ref, "tree", a.Record.TreeDigest, index.Digest().String())
		}
	}
	return nil
}

// configMaps rereads the code of targets that mount ConfigMaps.
func (a *audit) configMaps(ctx context.Context) error {
	if a.Record.Evidence == nil || a.Record.Evidence.Carrier.Format != carrier.FormatConfigMap {
		return nil
	}
	for _, t := range a.Targets {
		recorded, err := carrier.Mounted(t, func(name string) (*unstructured.Unstructured, error) {
			return a.recorded(t.Object.GetNamespace(), name)
		})
		if err != nil {
			return err
		}
		now, err := carrier.Mounted(t, func(name string) (*unstructured.Unstructured, error) {
			return a.cluster.Get(ctx, apply.Ref{Kind: "ConfigMap", Namespace: t.Object.GetNamespace(), Name: name})
		})
		if apierrors.IsNotFound(err) {
			a.compare("code", t.String(), "ConfigMaps", "there", err.Error())
			continue
		}
		if err != nil {
			return fmt.Errorf("read the code of %s: %w", t, err)
		}
		a.compare("code", t.String(), "tree", a.Record.TreeDigest, now.Digest().String())
		for _, put := range now.Diff(recorded).Puts {
			before, _ := recorded.Find(put.Path)
			a.compare("code", t.String(), put.Path, fmt.Sprintf("sha256:%x", before.Sum), fmt.Sprintf("sha256:%x", put.Sum))
		}
	}
	return nil
}

func (a *audit) recorded(namespace, name string) (*unstructured.Unstructured, error) {
	for _, obj := range a.Objects {
		if obj.GetKind() == "ConfigMap" && obj.GetNamespace() == namespace && obj.GetName() == name {
			return obj, nil
		}
	}
	return nil, fmt.Errorf("the record of release %d has no ConfigMap/%s", a.Record.Revision, name)
}
