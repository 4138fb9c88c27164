package run

import (
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
)

func TestRunsThatOthersStartedAreAdoptedOnce(t *testing.T) {
	controls := true
	job := func(name, id, project string, owner metav1.OwnerReference) *batchv1.Job {
		j := &batchv1.Job{
			ObjectMeta: metav1.ObjectMeta{
				Name: name, Namespace: "ns", UID: types.UID("uid-of-" + name), Labels: map[string]string{IDLabel: id},
				Annotations: map[string]string{CauseAnnotation: "alert ModelDrift"}, OwnerReferences: []metav1.OwnerReference{owner},
			},
		}
		j.Spec.Template.Labels = map[string]string{ProjectLabel: project}
		j.Spec.Template.Annotations = map[string]string{DigestAnnotation: "sha256:abc"}
		return j
	}
	cron := metav1.OwnerReference{Kind: "CronJob", Name: "retrain", Controller: &controls}
	s := &Store{Namespace: "ns", Client: fake.NewClientset(
		job("retrain-1", "one", "digits", cron),
		job("retrain-2", "two", "another", cron),
		job("train-k7x", "three", "digits", metav1.OwnerReference{Kind: "ConfigMap", Name: Name("three")}),
	)}
	adopted, err := s.Adopt(t.Context(), "digits", "kind-ai", nil)
	if err != nil || len(adopted) != 1 {
		t.Fatalf("%+v, %v", adopted, err)
	}
	r := adopted[0]
	if r.ID != "one" || r.Stage != "retrain" || r.Workload != "CronJob/retrain" || r.Who != "alert ModelDrift" || r.CodeDigest != "sha256:abc" || r.Ranks != 1 {
		t.Errorf("%+v", r)
	}
	if again, err := s.Adopt(t.Context(), "digits", "kind-ai", nil); err != nil || len(again) != 0 {
		t.Errorf("adopted again: %+v, %v", again, err)
	}
	if err := s.Delete(t.Context(), "one"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Client.BatchV1().Jobs("ns").Get(t.Context(), "retrain-1", metav1.GetOptions{}); err == nil {
		t.Error("the Job of a deleted run would be adopted again")
	}
}

func TestPodsOfReleasesNameTheirContainersOtherwise(t *testing.T) {
	pod := &corev1.Pod{}
	if got := CodeContainers(pod); got != releasedContainers {
		t.Error(got)
	}
	pod.Annotations = map[string]string{ContainersAnnotation: "main"}
	if got := CodeContainers(pod); got != ContainersAnnotation {
		t.Error(got)
	}
}
