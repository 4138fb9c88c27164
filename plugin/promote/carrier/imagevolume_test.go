package carrier

import (
	"context"
	"errors"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/validate"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
)

// cluster is a target that keeps image volumes, drops them from some kinds, or
// answers nothing.
type cluster struct {
	drops   string // kind
	refuses error
	runtime []string
	asked   []string // kinds
}

func (c *cluster) DryRunCreate(_ context.Context, obj *unstructured.Unstructured) (*unstructured.Unstructured, error) {
	c.asked = append(c.asked, obj.GetKind())
	if obj.GetName() != "" || obj.GetGenerateName() == "" {
		return nil, errors.New("the object has the name of the real one")
	}
	if c.refuses != nil {
		return nil, c.refuses
	}
	if obj.GetKind() == c.drops {
		templates, err := workload.Templates(obj)
		if err != nil {
			return nil, err
		}
		for _, t := range templates {
			delete(t.Spec()["volumes"].([]any)[0].(map[string]any), "image")
		}
	}
	return obj, nil
}

func (c *cluster) Nodes(context.Context) ([]Node, error) {
	var nodes []Node
	for _, r := range c.runtime {
		nodes = append(nodes, Node{Name: "n", Runtime: r})
	}
	return nodes, nil
}

func imageVolumes(host string, c *cluster) *ImageVolumes {
	return &ImageVolumes{Resolver: &Resolver{Arches: []string{"amd64"}}, Cluster: c, Registry: host, Project: "p", Environment: "production"}
}

func TestImageVolumesAreProbed(t *testing.T) {
	jobSet := targets(t, "i")
	jobSet[0].Object.SetAPIVersion("jobset.x-k8s.io/v1")
	jobSet[0].Object.SetKind("JobSet")
	jobSet[0].Object.Object["spec"] = map[string]any{"replicatedJobs": []any{map[string]any{"template": map[string]any{"spec": jobSet[0].Object.Object["spec"]}}}}
	for _, c := range []struct {
		name    string
		cluster cluster
		targets []workload.Target
		says    string // "": it can
		asked   string
	}{
		{"a cluster that can", cluster{runtime: []string{"containerd://2.3.7", "cri-o://1.31.0"}}, targets(t, "i"), "", "Job"},
		{"nodes that may not be listed", cluster{}, targets(t, "i"), "", "Job"},
		{"the feature is off", cluster{drops: "Job"}, targets(t, "i"), "drops them from a Job", "Job"},
		{"an old containerd", cluster{runtime: []string{"containerd://2.0.4"}}, targets(t, "i"), "node n has containerd 2.0.4, and 2.1.0 is needed", "Job"},
		{"an old CRI-O", cluster{runtime: []string{"cri-o://1.30.9"}}, targets(t, "i"), "cri-o 1.30.9", "Job"},
		{"a runtime that cannot", cluster{runtime: []string{"docker://27.1.0"}}, targets(t, "i"), "docker://27.1.0, which is not known", "Job"},
		{"a runtime of no version", cluster{runtime: []string{"containerd://next"}}, targets(t, "i"), "unknown version", "Job"},
		{"nobody answers", cluster{refuses: errors.New("forbidden")}, targets(t, "i"), "does not say", "Job"},
		{"a CRD asks for its pods too", cluster{}, jobSet, "", "Pod JobSet"},
		{"a CRD that prunes the field", cluster{drops: "JobSet"}, jobSet, "drops them from a JobSet", "Pod JobSet"},
		{"a CRD where pods lose it", cluster{drops: "Pod"}, jobSet, "drops them from a Pod", "Pod JobSet"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := imageVolumes("r", &c.cluster).Able(t.Context(), newCode(t, sample, nil).Code, c.targets)
			var cannot *NoImageVolumesError
			if c.says == "" && err != nil || c.says != "" && (!errors.As(err, &cannot) || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("err = %v, want %q", err, c.says)
			}
			if asked := strings.Join(c.cluster.asked, " "); asked != c.asked {
				t.Errorf("asked of %s, want %s", asked, c.asked)
			}
		})
	}
}

func TestAnImageVolumeHoldsTheTreeAtItsRoot(t *testing.T) {
	host, writes := newRegistry(t)
	code := newCode(t, sample, map[string]string{"link": "lib/empty.py"})
	carry := func() (*Result, []workload.Target) {
		list := targets(t, host+"/none:1")
		result, err := imageVolumes(host+"/team", &cluster{}).Carry(t.Context(), code.Code, list, quiet{})
		if err != nil {
			t.Fatal(err)
		}
		return result, list
	}
	result, list := carry()
	if n, err := result.Push(t.Context(), quiet{}); err != nil || n != 1 {
		t.Fatalf("%d pushed, %v", n, err)
	}
	volumes := list[0].Spec()["volumes"].([]any)
	source := volumes[0].(map[string]any)["image"].(map[string]any)
	if len(volumes) != 1 || source["reference"] != result.Code[0] || source["pullPolicy"] != "IfNotPresent" || !strings.HasPrefix(result.Code[0], host+"/team/p/code@sha256:") {
		t.Errorf("volumes %v, code %v", volumes, result.Code)
	}
	img := result.pushes[0].what.(v1.Image)
	if err := validate.Image(img); err != nil {
		t.Error(err)
	}
	config, err := img.ConfigFile()
	if err != nil || config.OS != "linux" || config.Architecture != "amd64" {
		t.Errorf("for %s/%s, %v: containerd unpacks its own platform alone", config.OS, config.Architecture, err)
	}
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	if got, blobs, err := Reread(t.Context(), result.Code[0], "/"); err != nil || got.Digest() != code.Digest() || len(blobs) != 3 {
		t.Errorf("the image holds %v in %v, %v", got, blobs, err)
	}
	before := writes.Load()
	again, _ := carry()
	if n, err := again.Push(t.Context(), quiet{}); err != nil || n != 0 || writes.Load() != before || again.Code[0] != result.Code[0] {
		t.Errorf("%d pushed the second time, as %v, %v", n, again.Code, err)
	}
	t.Run("nodes of two kinds", func(t *testing.T) {
		what, err := alone(layers[0].(*layer), code.Code, []string{"arm64", "amd64"})
		if err != nil {
			t.Fatal(err)
		}
		manifest, err := what.(v1.ImageIndex).IndexManifest()
		if err != nil || len(manifest.Manifests) != 2 || manifest.Manifests[0].Platform.Architecture != "amd64" {
			t.Errorf("%+v, %v", manifest, err)
		}
	})
}

// refusing is a carrier that cannot.
type refusing struct{ Layers }

func (*refusing) Format() string { return "refusing" }
func (*refusing) Able(context.Context, Code, []workload.Target) error {
	return &NoRegistryError{Environment: "e"}
}

func TestChooseTakesTheFirstThatIsAble(t *testing.T) {
	code, list := newCode(t, sample, nil), targets(t, "i")
	able := configMaps()
	got, before, err := Choose(t.Context(), []Carrier{&refusing{}, able, &refusing{}}, code.Code, list)
	if err != nil || got != able || len(before) != 1 || before[0].Format != "refusing" {
		t.Errorf("%v after %v, err = %v", got, before, err)
	}
	var none *NoRegistryError
	if _, _, err := Choose(t.Context(), []Carrier{&refusing{}}, code.Code, list); !errors.As(err, &none) {
		t.Errorf("a lone one: %v", err)
	}
	var unable *UnableError
	if _, _, err := Choose(t.Context(), []Carrier{&refusing{}, &refusing{}}, code.Code, list); !errors.As(err, &unable) || len(unable.Inabilities) != 2 {
		t.Errorf("none: %v", err)
	}
}
