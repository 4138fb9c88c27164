package live

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestAPodIsOfWhatPeopleNamed(t *testing.T) {
	yes := true
	for _, c := range []struct {
		owner metav1.OwnerReference
		hash  string
		want  string
	}{
		{metav1.OwnerReference{Kind: "Job", Name: "train", Controller: &yes}, "", "Job/train"},
		{metav1.OwnerReference{Kind: "ReplicaSet", Name: "serve-67cb6bb948", Controller: &yes}, "67cb6bb948", "Deployment/serve"},
		{metav1.OwnerReference{Kind: "ReplicaSet", Name: "alone", Controller: &yes}, "", "ReplicaSet/alone"},
		{metav1.OwnerReference{Kind: "ConfigMap", Name: "notes"}, "", "Pod/p"},
	} {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", OwnerReferences: []metav1.OwnerReference{c.owner}, Labels: map[string]string{"pod-template-hash": c.hash}}}
		if got := runOf(p); got != c.want {
			t.Errorf("%+v: %s, want %s", c.owner, got, c.want)
		}
	}
}
