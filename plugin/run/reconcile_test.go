package run

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
)

// endedRun is a cluster with a validation that has ended well just now, and
// whose log cannot be read while there is an error.
func endedRun(t *testing.T, refuse *error) *Store {
	t.Helper()
	now := metav1.NewTime(time.Now())
	labels := map[string]string{IDLabel: "x"}
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "validate-x", Namespace: "ns", Labels: labels}}
	job.Status.Succeeded, job.Status.StartTime, job.Status.CompletionTime = 1, &now, &now
	job.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue, LastTransitionTime: now}}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "validate-x-0", Namespace: "ns", Labels: labels, Annotations: map[string]string{ContainersAnnotation: "main"}}}
	pod.Spec.Containers = []corev1.Container{{Name: "main"}}
	pod.Status.Phase = corev1.PodSucceeded
	client := fake.NewClientset(job, pod)
	client.PrependReactor("get", "pods", func(a clienttesting.Action) (bool, runtime.Object, error) {
		if a.GetSubresource() != "log" {
			return false, nil, nil
		}
		log := at(1).Format(time.RFC3339Nano) + ` {"metrics": [{"name": "accuracy", "value": 0.95}]}` + "\n"
		return true, &runtime.Unknown{Raw: []byte(log)}, *refuse
	})
	s := &Store{Client: client, Namespace: "ns"}
	if _, err := s.Create(t.Context(), &Record{ID: "x", Project: "p", Stage: StageValidate, Namespace: "ns", Job: job.Name, Ranks: 1}); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestTheLastLogOfARunIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refuse := error(apierrors.NewInternalError(errors.New("dial tcp 172.18.0.3:10250: i/o timeout")))
		s := endedRun(t, &refuse)
		if _, err := s.Reconcile(t.Context(), "x", []project.Metric{accuracy}); err == nil || !strings.Contains(err.Error(), "read the log of ") {
			t.Fatalf("%v", err)
		}
		if r, err := s.Get(t.Context(), "x"); err != nil || r.Done() {
			t.Fatalf("recorded as %s without its metrics, %v", r.Phase, err)
		}
		refuse = nil
		r, err := s.Reconcile(t.Context(), "x", []project.Metric{accuracy})
		if err != nil || r.Phase != apply.Complete || r.Metric("accuracy") == nil || r.Report == nil {
			t.Errorf("%+v, %v", r, err)
		}
	})
}

func TestALogThatIsNotToBeHadKeepsNoRun(t *testing.T) {
	pods := schema.GroupResource{Resource: "pods"}
	for name, c := range map[string]struct {
		err   error
		after time.Duration
	}{
		"a pod that is gone":           {apierrors.NewNotFound(pods, "x"), 0},
		"a log that may not be read":   {apierrors.NewForbidden(pods, "x", errors.New("no")), 0},
		"a container that never began": {apierrors.NewBadRequest("ContainerCreating"), 0},
		"a node that is gone":          {apierrors.NewInternalError(errors.New("no route to host")), lastWords},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := endedRun(t, &c.err)
			time.Sleep(c.after)
			if r, err := s.Reconcile(t.Context(), "x", nil); err != nil || r.Phase != apply.Complete {
				t.Errorf("%s: %s, %v", name, r.Phase, err)
			}
		})
	}
}
