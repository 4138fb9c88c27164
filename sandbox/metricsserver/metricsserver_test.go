package metricsserver_test

import (
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ai/kubectl-ai/sandbox/metricsserver"
)

// Every object is one that Kubernetes reads strictly, and the pod runs the
// image that is loaded.
func TestManifest(t *testing.T) {
	images := 0
	for document := range strings.SplitSeq(string(metricsserver.Manifest()), "\n---\n") {
		var kind struct{ APIVersion, Kind string }
		if err := yaml.Unmarshal([]byte(document), &kind); err != nil {
			t.Fatal(err)
		}
		if kind.Kind == "APIService" {
			continue // of kube-aggregator, whose types are not linked
		}
		object, _, err := scheme.Codecs.UniversalDeserializer().Decode([]byte(document), nil, nil)
		if err != nil {
			t.Fatalf("%s: %v", kind.Kind, err)
		}
		if err := yaml.UnmarshalStrict([]byte(document), object); err != nil {
			t.Errorf("%s: %v", kind.Kind, err)
		}
		if d, ok := object.(*appsv1.Deployment); ok {
			for _, c := range d.Spec.Template.Spec.Containers {
				images++
				if c.Image != metricsserver.Image {
					t.Errorf("the pod runs %s", c.Image)
				}
			}
		}
	}
	if images != 1 {
		t.Errorf("%d containers", images)
	}
}
