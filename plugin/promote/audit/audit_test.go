package audit

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/carrier"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

const pushed = "r.invalid/p/python@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// cluster is a target that runs what a release brought, until somebody edits.
type cluster struct {
	objects []*unstructured.Unstructured
	pods    []unstructured.Unstructured
}

func (c *cluster) Get(_ context.Context, ref apply.Ref) (*unstructured.Unstructured, error) {
	for _, obj := range c.objects {
		if apply.RefOf(obj) == ref {
			return obj, nil
		}
	}
	return nil, apierrors.NewNotFound(schema.GroupResource{Resource: ref.Kind}, ref.Name)
}

func (c *cluster) Pods(context.Context, string) ([]unstructured.Unstructured, error) {
	return c.pods, nil
}

type quiet struct{}

func (quiet) Start(string)        {}
func (quiet) Note(string, ...any) {}
func (quiet) End(error)           {}

func job(image string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "batch/v1", "kind": "Job", "metadata": map[string]any{"name": "j", "namespace": "ns"},
		"spec": map[string]any{"template": map[string]any{"spec": map[string]any{"containers": []any{
			map[string]any{"name": "main", "image": image, "workingDir": "/app"},
		}}}},
	}}
}

// promoted returns a release with its code in ConfigMaps, or in an image, and a
// cluster that has it.
func promoted(t *testing.T, format string) (Release, *cluster, tree.Index) {
	t.Helper()
	index, err := tree.Scan(t.Context(), "testdata/code", tree.Options{})
	if err != nil {
		t.Fatal(err)
	}
	objects := []*unstructured.Unstructured{job(pushed)}
	targets, err := workload.Select(objects, "/app", nil)
	if err != nil {
		t.Fatal(err)
	}
	e := &release.Evidence{Carrier: release.Carrier{Format: format, Objects: []string{pushed}}}
	if format == carrier.FormatConfigMap {
		result, err := (&carrier.ConfigMaps{Resolver: &carrier.Resolver{Patience: 1}, Project: "p"}).
			Carry(t.Context(), carrier.Folder("testdata/code", index), targets, quiet{})
		if err != nil {
			t.Fatal(err)
		}
		objects, e.Carrier.Objects = append(objects, result.Objects...), result.Code
	}
	promote.Mark(targets, "p", index.Digest())
	c := &cluster{}
	for _, obj := range objects {
		c.objects = append(c.objects, obj.DeepCopy())
	}
	pod := unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Pod",
		"spec":   c.objects[0].DeepCopy().Object["spec"].(map[string]any)["template"].(map[string]any)["spec"],
		"status": map[string]any{"containerStatuses": []any{map[string]any{"name": "main", "imageID": pushed}}},
	}}
	pod.SetName("j-0")
	pod.SetNamespace("ns")
	pod.SetAnnotations(map[string]string{promote.DigestAnnotation: index.Digest().String(), promote.ContainersAnnotation: "main"})
	c.pods = append(c.pods, pod)
	return Release{Record: release.Record{Revision: 1, TreeDigest: index.Digest().String(), Evidence: e}, Objects: objects, Targets: targets}, c, index
}

func containerOf(obj *unstructured.Unstructured) map[string]any {
	spec := obj.Object["spec"].(map[string]any)
	if template, ok := spec["template"].(map[string]any); ok {
		spec = template["spec"].(map[string]any)
	}
	return spec["containers"].([]any)[0].(map[string]any)
}

func TestWhatIsAlteredIsNamed(t *testing.T) {
	for _, c := range []struct {
		name   string
		format string
		alter  func(*cluster)
		blob   string // what the registry gives for the layer
		want   []string
	}{
		{"nothing, in an image", carrier.FormatLayer, func(*cluster) {}, "", nil},
		{"nothing, in ConfigMaps", carrier.FormatConfigMap, func(*cluster) {}, "", nil},
		{"the image of a live object", carrier.FormatLayer, func(c *cluster) { containerOf(c.objects[0])["image"] = "other:1" }, "", []string{"object Job/j: image of main"}},
		{"a container more", carrier.FormatLayer, func(c *cluster) {
			spec := c.objects[0].Object["spec"].(map[string]any)["template"].(map[string]any)["spec"].(map[string]any)
			spec["initContainers"] = []any{map[string]any{"name": "miner", "image": "m:1"}}
		}, "", []string{"object Job/j: image of miner"}},
		{"an object that is gone", carrier.FormatLayer, func(c *cluster) { c.objects = c.objects[1:] }, "", []string{"object Job/j: object"}},
		{"the image of a pod", carrier.FormatLayer, func(c *cluster) { containerOf(&c.pods[0])["image"] = "other:1" }, "", []string{"pod j-0/main: image"}},
		{"what a node runs", carrier.FormatLayer, func(c *cluster) {
			c.pods[0].Object["status"].(map[string]any)["containerStatuses"].([]any)[0].(map[string]any)["imageID"] = "r.invalid/p/python@sha256:bb"
		}, "", []string{"pod j-0/main: image that the node runs"}},
		{"a byte in the registry", carrier.FormatLayer, func(*cluster) {}, "sha256:flipped", []string{"registry " + pushed + ": layer"}},
		{"the volume of a pod", carrier.FormatConfigMap, func(c *cluster) {
			c.pods[0].Object["spec"].(map[string]any)["volumes"] = []any{map[string]any{"name": "kubectl-ai-code", "emptyDir": map[string]any{}}}
		}, "", []string{"pod j-0: volume of the code"}},
		{"a ConfigMap", carrier.FormatConfigMap, func(c *cluster) {
			data := c.objects[1].Object["data"].(map[string]any)
			for key, v := range data {
				data[key] = strings.Replace(v.(string), "128", "666", 1)
			}
		}, "", []string{"code Job/j/main: lib/wide.py", "code Job/j/main: tree"}},
		{"a ConfigMap that is gone", carrier.FormatConfigMap, func(c *cluster) { c.objects = c.objects[:1] }, "", []string{"code Job/j/main: ConfigMaps"}},
		{"a pod of another release", carrier.FormatLayer, func(c *cluster) {
			c.pods[0].SetAnnotations(map[string]string{promote.DigestAnnotation: "sha256:other", promote.ContainersAnnotation: "main"})
			containerOf(&c.pods[0])["image"] = "other:1"
		}, "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, target, index := promoted(t, c.format)
			c.alter(target)
			blob := carrier.Blob{What: "layer", Digest: "sha256:layer", Found: "sha256:layer"}
			if c.blob != "" {
				blob.Found = c.blob
			}
			found, err := Run(t.Context(), r, target, func(context.Context, string, string) (tree.Index, []carrier.Blob, error) {
				return index, []carrier.Blob{blob}, nil
			})
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range found {
				if f.Verdict == Differs {
					got = append(got, f.Check+" "+f.Name+": "+f.What)
				}
			}
			if c.want != nil && len(got) > 1 && got[0] > got[1] {
				got[0], got[1] = got[1], got[0]
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("%s\n%+v", diff, found)
			}
		})
	}
}

func TestARegistryThatDoesNotAnswerIsNoVerdict(t *testing.T) {
	r, target, _ := promoted(t, carrier.FormatLayer)
	gone := errors.New("connection refused")
	if _, err := Run(t.Context(), r, target, func(context.Context, string, string) (tree.Index, []carrier.Blob, error) { return nil, nil, gone }); !errors.Is(err, gone) {
		t.Errorf("err = %v", err)
	}
}

func TestADigestThatNobodyTellsIsUnknown(t *testing.T) {
	r, target, index := promoted(t, carrier.FormatLayer)
	target.pods[0].Object["status"].(map[string]any)["containerStatuses"].([]any)[0].(map[string]any)["imageID"] = "sha256:config"
	found, err := Run(t.Context(), r, target, func(context.Context, string, string) (tree.Index, []carrier.Blob, error) { return index, nil, nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		if f.What == "image that the node runs" && f.Verdict == Unknown {
			return
		}
	}
	t.Errorf("%+v", found)
}
