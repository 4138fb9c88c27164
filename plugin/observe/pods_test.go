package observe

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"
)

func pod(uid, containerID string) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", UID: "u", Annotations: map[string]string{
		"containers": "main", "batch.kubernetes.io/job-completion-index": "3",
	}}}
	p.UID = "u"
	if uid != "" {
		p.Name = uid
	}
	status := corev1.ContainerStatus{Name: "main", ContainerID: containerID}
	if containerID != "" {
		status.State.Running = &corev1.ContainerStateRunning{}
	}
	p.Status.ContainerStatuses = []corev1.ContainerStatus{status}
	return p
}

func TestARankIsAnnouncedOncePerContainerStart(t *testing.T) {
	var got []string
	tr := tracker{annotation: "containers", started: map[string]string{}, trouble: map[string]string{}, send: func(e Event) {
		switch {
		case e.Gone:
			got = append(got, "gone")
		case e.Trouble != "":
			got = append(got, e.Trouble)
		default:
			got = append(got, "running")
		}
		if e.Rank.Index != 3 {
			t.Errorf("rank = %d, want the completion index", e.Rank.Index)
		}
	}}
	waiting := pod("", "")
	waiting.Status.ContainerStatuses[0].State.Waiting = &corev1.ContainerStateWaiting{Reason: "ImagePullBackOff", Message: "no such image"}
	tr.update(waiting)
	tr.update(waiting)
	tr.update(pod("", "a"))
	tr.update(pod("", "a"))
	tr.update(pod("", "b")) // restarted
	failed := pod("", "b")
	failed.Status.Phase = corev1.PodFailed
	tr.update(failed)
	tr.gone(failed)
	want := []string{"container main: ImagePullBackOff: no such image", "running", "running", "gone"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWhatIsForbiddenEndsTheWatch(t *testing.T) {
	client := fake.NewClientset()
	client.PrependReactor("list", "pods", func(ktesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New("cannot list"))
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	if err := Watch(ctx, client, Selection{Namespace: "n"}, func(Event) {}); !apierrors.IsForbidden(err) {
		t.Errorf("err = %v, want the server's refusal", err)
	}
}
