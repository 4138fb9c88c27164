package command

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestThePodThatIsReadyIsAsked(t *testing.T) {
	t.Parallel()
	pod := func(name string, phase corev1.PodPhase, ready corev1.ConditionStatus, deleted bool) corev1.Pod {
		p := corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Status:     corev1.PodStatus{Phase: phase, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: ready}}},
		}
		if deleted {
			p.DeletionTimestamp = &metav1.Time{}
		}
		return p
	}
	pending := pod("pending", corev1.PodPending, corev1.ConditionFalse, false)
	leaving := pod("leaving", corev1.PodRunning, corev1.ConditionTrue, true)
	starting := pod("starting", corev1.PodRunning, corev1.ConditionFalse, false)
	second := pod("second", corev1.PodRunning, corev1.ConditionFalse, false)
	ready := pod("ready", corev1.PodRunning, corev1.ConditionTrue, false)
	for _, c := range []struct {
		name string
		pods []corev1.Pod
		want string // "": none
	}{
		{"ready before one that begins", []corev1.Pod{pending, leaving, starting, ready}, "ready"},
		{"one that begins where none is ready", []corev1.Pod{pending, leaving, starting, second}, "starting"},
		{"none", []corev1.Pod{pending, leaving}, ""},
	} {
		got := ""
		if p := answering(c.pods); p != nil {
			got = p.Name
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
