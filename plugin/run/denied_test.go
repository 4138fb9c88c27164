package run

import (
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
)

func TestARefusalFromBeforeTheNewestPodIsPast(t *testing.T) {
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "train-x", Namespace: "ns", UID: "u", Labels: map[string]string{IDLabel: "x"}}}
	event := func(name, message string, i int) *corev1.Event {
		return &corev1.Event{
			ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "ns"}, Reason: "FailedCreate", Message: message,
			InvolvedObject: corev1.ObjectReference{UID: "u"}, LastTimestamp: metav1.NewTime(at(i)),
		}
	}
	pod := func(i int) *corev1.Pod {
		return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "ns", Labels: map[string]string{IDLabel: "x"}, CreationTimestamp: metav1.NewTime(at(i))}}
	}
	for _, c := range []struct {
		name    string
		objects []runtime.Object
		want    string
	}{
		{"no pod came since", []runtime.Object{event("a", "no account", 1)}, "no account"},
		{"a pod came since", []runtime.Object{event("a", "no account", 1), pod(2)}, ""},
		{"it came in the same second", []runtime.Object{event("a", "quota", 2), pod(2)}, "quota"},
		{"another refusal came since", []runtime.Object{event("a", "quota", 3), event("b", "no account", 1), pod(2)}, "quota"},
	} {
		s := &Store{Client: fake.NewClientset(append(c.objects, job)...), Namespace: "ns"}
		live, err := s.Look(t.Context(), &Record{ID: "x", Namespace: "ns", Job: "train-x", Ranks: 2})
		if err != nil || live.Denied != c.want {
			t.Errorf("%s: %q, %v", c.name, live.Denied, err)
		}
	}
}
