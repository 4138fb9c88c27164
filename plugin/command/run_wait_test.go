package command

import (
	"bytes"
	"context"
	"errors"
	"io"
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
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/client-go/kubernetes/fake"
	clienttesting "k8s.io/client-go/testing"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/run"
	"github.com/kubectl-ai/kubectl-ai/plugin/run/admit"
	"github.com/kubectl-ai/kubectl-ai/plugin/term"
)

// runHere is a cluster with run k7x2mq, of one rank that runs, and what is known
// of it here. Talk goes to the buffer.
func runHere(t *testing.T) (*runSet, *fake.Clientset, *bytes.Buffer) {
	t.Helper()
	labels := map[string]string{run.IDLabel: "k7x2mq"}
	one, started := int32(1), metav1.NewTime(time.Now())
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: "train-k7x2mq", Namespace: "ns", Labels: labels, UID: "job"}}
	job.Spec.Parallelism, job.Spec.Completions, job.Spec.Template.Labels = &one, &one, labels
	job.Status = batchv1.JobStatus{Active: 1, Ready: &one, StartTime: &started}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "train-k7x2mq-0", Namespace: "ns", Labels: labels, UID: "pod", Annotations: map[string]string{run.ContainersAnnotation: "main", batchv1.JobCompletionIndexAnnotation: "0"}}}
	pod.Spec.NodeName = "n"
	pod.Spec.Containers = []corev1.Container{{Name: "main"}}
	pod.Status = corev1.PodStatus{
		Phase:             corev1.PodRunning,
		Conditions:        []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}},
		ContainerStatuses: []corev1.ContainerStatus{{Name: "main", Ready: true, State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: started}}}},
	}
	client := fake.NewClientset(job, pod)
	said := &bytes.Buffer{}
	f := &Factory{Streams: term.Streams{IOStreams: genericiooptions.IOStreams{In: strings.NewReader(""), Out: &bytes.Buffer{}, ErrOut: said}}}
	r := &runSet{
		f: f, client: client, namespace: "ns", store: &run.Store{Client: client, Namespace: "ns"},
		queue:    &admit.Queue{Client: client, Namespace: "ns", Now: time.Now},
		progress: term.NewProgress(f.Streams), said: f.Streams.Out,
	}
	record := run.Record{ID: "k7x2mq", Project: "p", Stage: run.StageTrain, Namespace: "ns", Job: job.Name, Ranks: 1}
	if _, err := r.store.Create(t.Context(), &record); err != nil {
		t.Fatal(err)
	}
	return r, client, said
}

// complete ends the run's Job well.
func complete(t *testing.T, client *fake.Clientset) {
	t.Helper()
	job, err := client.BatchV1().Jobs("ns").Get(t.Context(), "train-k7x2mq", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ended := metav1.NewTime(time.Now())
	job.Status.Active, job.Status.Succeeded, job.Status.CompletionTime = 0, 1, &ended
	job.Status.Conditions = []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue, LastTransitionTime: ended}}
	if _, err := client.BatchV1().Jobs("ns").UpdateStatus(t.Context(), job, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	pod, err := client.CoreV1().Pods("ns").Get(t.Context(), "train-k7x2mq-0", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	pod.Status.Phase = corev1.PodSucceeded
	pod.Status.ContainerStatuses[0].State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{}}
	pod.Status.ContainerStatuses[0].ContainerID = "containerd://x"
	if _, err := client.CoreV1().Pods("ns").UpdateStatus(t.Context(), pod, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
}

// fails makes requests fail from the n-th to before the m-th; "*": of all verbs.
func fails(client *fake.Clientset, verb, resource string, n, m int, err error) {
	count := 0
	client.PrependReactor(verb, resource, func(clienttesting.Action) (bool, runtime.Object, error) {
		count++
		return count > n && count <= m, nil, err
	})
}

func TestWhoWaitsOutlivesRequestsThatFail(t *testing.T) {
	for resource, verb := range map[string]string{"jobs": "get", "pods": "list", "configmaps": "get"} {
		t.Run(verb+" "+resource, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, client, said := runHere(t)
				fails(client, verb, resource, 3, 40, errors.New("net/http: TLS handshake timeout"))
				go func() {
					time.Sleep(10 * time.Minute)
					complete(t, client)
				}()
				record, err := r.wait(t.Context(), "k7x2mq")
				if err != nil || record.Phase != apply.Complete {
					t.Fatalf("%s, %v", record.Phase, err)
				}
				if n := strings.Count(said.String(), "net/http: TLS handshake timeout; trying again"); n != 1 {
					t.Errorf("said %d times:\n%s", n, said)
				}
			})
		})
	}
}

func TestTheTimeIsUpThoughNothingAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, client, _ := runHere(t)
		fails(client, "*", "*", 6, 1<<30, errors.New("connection refused"))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		record, err := r.wait(ctx, "k7x2mq")
		var unfinished *run.UnfinishedError
		if !errors.As(err, &unfinished) || record.Phase != apply.Running || unfinished.Record.ID != "k7x2mq" {
			t.Errorf("%+v, %v", record, err)
		}
	})
}

func TestWhatEndsWaiting(t *testing.T) {
	forbidden := apierrors.NewForbidden(schema.GroupResource{Resource: "pods"}, "", errors.New("no"))
	for _, c := range []struct {
		name, verb, resource string
		from                 int
		err                  error
		is                   func(error) bool
	}{
		{"the first look", "list", "pods", 0, errors.New("connection refused"), func(err error) bool { return strings.Contains(err.Error(), "connection refused") }},
		{"what is not allowed", "list", "pods", 3, forbidden, apierrors.IsForbidden},
		{"a login that is over", "list", "pods", 3, apierrors.NewUnauthorized("expired"), apierrors.IsUnauthorized},
		{"a run that was deleted", "get", "configmaps", 1, apierrors.NewNotFound(schema.GroupResource{Resource: "configmaps"}, "x"), func(err error) bool {
			var none *run.NotFoundError
			return errors.As(err, &none)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, client, _ := runHere(t)
				fails(client, c.verb, c.resource, c.from, 1<<30, c.err)
				if _, err := r.wait(t.Context(), "k7x2mq"); err == nil || !c.is(err) {
					t.Errorf("%v", err)
				}
			})
		})
	}
}

func TestOneLogLosesNoList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, client, said := runHere(t)
		says(client, "one", 1<<30, errors.New("no route to host"))
		complete(t, client)
		records, err := r.all(t.Context())
		if err != nil || len(records) != 1 || records[0].Phase != apply.Complete || !strings.Contains(said.String(), "run k7x2mq is shown without it") {
			t.Errorf("%+v, %v\n%s", records, err, said)
		}
		if kept, err := r.store.Get(t.Context(), "k7x2mq"); err != nil || kept.Done() {
			t.Errorf("recorded as %s, %v", kept.Phase, err)
		}
	})
}

// textOf is what a command wrote to a stream.
func textOf(stream io.Writer) string { return stream.(*bytes.Buffer).String() }
