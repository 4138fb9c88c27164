package command

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kubectl-ai/kubectl-ai/plugin/term"
)

// namespaces is a cluster whose namespace x ends when it was looked at so
// often; less than 0: never.
func namespaces(existing *corev1.Namespace, looks int) *fake.Clientset {
	client := fake.NewClientset()
	if existing != nil {
		_ = client.Tracker().Add(existing)
	}
	client.PrependReactor("get", "namespaces", func(clienttesting.Action) (bool, runtime.Object, error) {
		if looks--; looks == 0 {
			_ = client.Tracker().Delete(corev1.SchemeGroupVersion.WithResource("namespaces"), "", "x")
		}
		return false, nil, nil
	})
	return client
}

func talkingTo(w *bytes.Buffer) *term.Progress {
	return term.NewProgress(term.Streams{IOStreams: genericiooptions.IOStreams{ErrOut: w}})
}

func TestEnsureNamespace(t *testing.T) {
	t.Parallel()
	ending := &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{Name: "x", UID: "old", DeletionTimestamp: &metav1.Time{Time: time.Now()}, Finalizers: []string{"a"}},
		Status: corev1.NamespaceStatus{Conditions: []corev1.NamespaceCondition{
			{Type: corev1.NamespaceContentRemaining, Status: corev1.ConditionTrue, Message: "pods. has 1 resource instances"},
		}},
	}
	there := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "x", UID: "old"}}
	own := &unstructured.Unstructured{Object: map[string]any{"kind": "Namespace", "metadata": map[string]any{"name": "x"}}}
	for _, c := range []struct {
		name    string
		objects []*unstructured.Unstructured
		is      *corev1.Namespace
		looks   int
		left    string // of the namespace afterwards: "new", "old" or "none"
		says    string
		talks   bool
	}{
		{name: "none is there", left: "new"},
		{name: "one is there", is: there, looks: -1, left: "old"},
		{name: "it is being deleted", is: ending, looks: 5, left: "new", talks: true},
		{name: "it is gone before it is looked at", is: ending, looks: 1, left: "new"},
		{name: "the bundle brings it", objects: []*unstructured.Unstructured{own}, is: ending, looks: 5, left: "none", talks: true},
		{name: "it does not go", is: ending, looks: -1, left: "old", says: "pods. has 1 resource instances", talks: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				client, talk := namespaces(c.is, c.looks), &bytes.Buffer{}
				x := &target{rendered: &rendered{objects: c.objects, namespace: "x"}, connection: &connection{client: client}}
				err := x.ensureNamespace(t.Context(), talkingTo(talk))
				if c.says == "" && err != nil || c.says != "" && (err == nil || !strings.Contains(err.Error(), c.says)) {
					t.Errorf("err = %v", err)
				}
				if got := strings.Contains(talk.String(), "namespace x, which is being deleted"); got != c.talks {
					t.Errorf("talk: %q", talk)
				}
				ns, err := client.Tracker().Get(corev1.SchemeGroupVersion.WithResource("namespaces"), "", "x")
				left := "none"
				if err == nil {
					if left = "new"; ns.(*corev1.Namespace).UID == "old" {
						left = "old"
					}
				}
				if left != c.left {
					t.Errorf("afterwards: %s, %v", left, err)
				}
			})
		})
	}
}

func TestWaitingForANamespaceEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		interrupted := errors.New("interrupted")
		ending := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "x", DeletionTimestamp: &metav1.Time{Time: time.Now()}, Finalizers: []string{"a"}}}
		x := &target{rendered: &rendered{namespace: "x"}, connection: &connection{client: namespaces(ending, -1)}}
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(time.Second, func() { cancel(interrupted) })
		err := x.ensureNamespace(ctx, talkingTo(&bytes.Buffer{}))
		if !errors.Is(err, interrupted) || apierrors.IsAlreadyExists(err) {
			t.Errorf("err = %v", err)
		}
	})
}
