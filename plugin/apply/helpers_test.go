package apply

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/dynamic/fake"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply/applytest"
)

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	return applytest.Object(t, text)
}

// newClient returns a client of a cluster that holds the objects.
func newClient(t *testing.T, objects ...*unstructured.Unstructured) (*Client, *fake.FakeDynamicClient) {
	t.Helper()
	d, m := applytest.New(t, objects...)
	return &Client{Dynamic: d, Mapper: m}, d
}

func timeOf(t time.Time) *metav1.Time {
	at := metav1.NewTime(t)
	return &at
}
