package retrain

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"
)

var now = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

func cronJob() *batchv1.CronJob {
	suspended := true
	return &batchv1.CronJob{
		TypeMeta:   metav1.TypeMeta{APIVersion: "batch/v1", Kind: "CronJob"},
		ObjectMeta: metav1.ObjectMeta{Name: "retrain", Namespace: "digits", UID: "u1"},
		Spec: batchv1.CronJobSpec{Suspend: &suspended, Schedule: "@yearly", JobTemplate: batchv1.JobTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"kubectl-ai.dev/stage": "train"}, Annotations: map[string]string{"note": "kept"}},
			Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app.kubernetes.io/name": "train"}},
				Spec:       corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "train", Image: "python:3.11-slim"}}},
			}},
		}},
	}
}

// job is one that the CronJob made some time ago.
func job(name string, owner types.UID, age time.Duration, state batchv1.JobConditionType) *batchv1.Job {
	controls := true
	j := &batchv1.Job{
		TypeMeta: metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"},
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: "digits", CreationTimestamp: metav1.NewTime(now.Add(-age)),
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "CronJob", Name: "retrain", UID: owner, Controller: &controls}},
		},
	}
	if state != "" {
		j.Status.Conditions = []batchv1.JobCondition{{Type: state, Status: corev1.ConditionTrue}}
	}
	return j
}

func newStarter(t *testing.T, objects ...runtime.Object) (*Starter, *fake.FakeDynamicClient) {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := batchv1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	client := fake.NewSimpleDynamicClient(scheme, objects...)
	return &Starter{Client: client, Namespace: "digits", CronJob: "retrain", CoolDown: time.Hour, Now: func() time.Time { return now }}, client
}

// made are the Jobs that were asked for.
func made(t *testing.T, client *fake.FakeDynamicClient) (list []batchv1.Job) {
	t.Helper()
	objects, err := client.Resource(jobs).Namespace("digits").List(t.Context(), metav1.ListOptions{LabelSelector: LabelRun})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects.Items {
		var j batchv1.Job
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(o.Object, &j); err != nil {
			t.Fatal(err)
		}
		list = append(list, j)
	}
	return list
}

// post posts a message.
func post(t *testing.T, s *Starter, path, body string) (int, Outcome) {
	t.Helper()
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodPost, path, strings.NewReader(body)))
	var o Outcome
	if w.Code == http.StatusOK {
		if err := json.Unmarshal(w.Body.Bytes(), &o); err != nil {
			t.Fatal(err)
		}
	}
	return w.Code, o
}

// Messages as Prometheus 3 and Alertmanager 0.28 send them.
const (
	fromPrometheus = `[{"annotations":{"summary":"x"},"endsAt":"2026-05-01T12:04:00.000Z","startsAt":"2026-05-01T11:58:00.123Z",
"generatorURL":"http://prometheus:9090/graph","labels":{"action":"retrain","alertname":"ModelDrift","namespace":"digits"}}]`
	fromAlertmanager = `{"version":"4","groupKey":"{}:{alertname=\"ModelDrift\"}","truncatedAlerts":0,"status":"firing","receiver":"retrain",
"groupLabels":{"alertname":"ModelDrift"},"commonLabels":{},"commonAnnotations":{},"externalURL":"http://alertmanager:9093",
"alerts":[{"status":"firing","labels":{"action":"retrain","alertname":"ModelDrift","namespace":"digits"},"annotations":{},
"startsAt":"2026-05-01T11:58:00.123Z","endsAt":"0001-01-01T00:00:00Z","generatorURL":"","fingerprint":"c0ffee"}]}`
)

func TestAnAlertIsOneJob(t *testing.T) {
	s, client := newStarter(t, cronJob())
	code, first := post(t, s, "/api/v2/alerts", fromPrometheus)
	if code != http.StatusOK || !first.Created {
		t.Fatalf("%d %+v", code, first)
	}
	list := made(t, client)
	if len(list) != 1 {
		t.Fatalf("%d Jobs", len(list))
	}
	controls, id := true, strings.TrimPrefix(first.Job, "retrain-")
	want := metav1.ObjectMeta{
		Name: first.Job, Namespace: "digits",
		Labels:          map[string]string{"kubectl-ai.dev/stage": "train", LabelRun: id},
		Annotations:     map[string]string{"note": "kept", annotationManual: "manual", AnnotationCause: "alert ModelDrift"},
		OwnerReferences: []metav1.OwnerReference{{APIVersion: "batch/v1", Kind: "CronJob", Name: "retrain", UID: "u1", Controller: &controls}},
	}
	if diff := cmp.Diff(want, list[0].ObjectMeta); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(map[string]string{"app.kubernetes.io/name": "train", LabelRun: id}, list[0].Spec.Template.Labels); diff != "" {
		t.Error(diff)
	}
	// The same alert in the other form, when that Job is done and old.
	s.CoolDown = 0
	done := job(first.Job, "u1", 2*time.Hour, batchv1.JobComplete)
	done.Labels = map[string]string{LabelRun: id}
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(done)
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Tracker().Update(jobs, &unstructured.Unstructured{Object: object}, "digits"); err != nil {
		t.Fatal(err)
	}
	code, again := post(t, s, "/webhook", fromAlertmanager)
	if want := (Outcome{Job: first.Job, Reason: "it was made for this alert before"}); code != http.StatusOK || again != want {
		t.Errorf("%d %+v", code, again)
	}
	// It fires anew.
	code, other := post(t, s, "/webhook", strings.Replace(fromAlertmanager, "11:58", "11:59", 1))
	if code != http.StatusOK || !other.Created || other.Job == first.Job {
		t.Errorf("%d %+v", code, other)
	}
}

func TestWhatHoldsAJobBack(t *testing.T) {
	for _, c := range []struct {
		name string
		job  *batchv1.Job
		want string // "": made
	}{
		{"one that runs", job("a", "u1", 5*time.Hour, ""), "it has not finished"},
		{"a young one", job("a", "u1", time.Minute, batchv1.JobComplete), "it was made less than 1h0m0s ago"},
		{"a young one that failed", job("a", "u1", time.Minute, batchv1.JobFailed), "it was made less than 1h0m0s ago"},
		{"not an old one", job("a", "u1", time.Hour, batchv1.JobFailed), ""},
		{"not one of another CronJob", job("a", "u2", time.Minute, ""), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := newStarter(t, cronJob(), c.job)
			code, got := post(t, s, "/api/v2/alerts", fromPrometheus)
			if code != http.StatusOK || got.Reason != c.want || got.Created != (c.want == "") {
				t.Errorf("%d %+v", code, got)
			}
		})
	}
}

func TestAlertsThatComeAtOnceAreOneJob(t *testing.T) {
	s, client := newStarter(t, cronJob())
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if code, _ := post(t, s, "/api/v2/alerts", strings.Replace(fromPrometheus, "ModelDrift", fmt.Sprintf("Alert%d", i), 1)); code != http.StatusOK {
				t.Errorf("%d", code)
			}
		})
	}
	wg.Wait()
	if n := len(made(t, client)); n != 1 {
		t.Errorf("%d Jobs of 20 alerts", n)
	}
}

func TestMessages(t *testing.T) {
	for _, c := range []struct {
		name, path, body string
		code             int
		created          bool
	}{
		{"resolved, to an Alertmanager", "/api/v2/alerts", strings.Replace(fromPrometheus, "12:04", "11:59", 1), 200, false},
		{"resolved, by webhook", "/webhook", strings.Replace(fromAlertmanager, `{"status":"firing"`, `{"status":"resolved"`, 1), 200, false},
		{"an alert that wants no model", "/api/v2/alerts", strings.Replace(fromPrometheus, `"action":"retrain",`, "", 1), 200, false},
		{"none", "/api/v2/alerts", `[]`, 200, false},
		{"a new version of the webhook", "/webhook", strings.Replace(fromAlertmanager, `"version":"4"`, `"version":"5"`, 1), 400, false},
		{"the other form", "/webhook", fromPrometheus, 400, false},
		{"cut", "/api/v2/alerts", fromPrometheus[:50], 400, false},
		{"without a name", "/api/v2/alerts", strings.Replace(fromPrometheus, "alertname", "name", 1), 400, false},
		{"without a start", "/api/v2/alerts", strings.Replace(fromPrometheus, "startsAt", "started", 1), 400, false},
		{"too long", "/webhook", strings.Repeat(" ", maxBody+1), 413, false},
		{"another path", "/api/v1/alerts", fromPrometheus, 404, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, client := newStarter(t, cronJob())
			code, got := post(t, s, c.path, c.body)
			if code != c.code || got.Created != c.created || len(made(t, client)) != 0 {
				t.Errorf("%d %+v", code, got)
			}
		})
	}
}

// The sender tries again after an answer of 5xx.
func TestAClusterThatDoesNotAnswer(t *testing.T) {
	bare, _ := newStarter(t)
	if code, _ := post(t, bare, "/api/v2/alerts", fromPrometheus); code != http.StatusServiceUnavailable {
		t.Errorf("without a CronJob: %d", code)
	}
	s, client := newStarter(t, cronJob())
	client.PrependReactor("create", "jobs", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("the quota is used up")
	})
	if code, _ := post(t, s, "/api/v2/alerts", fromPrometheus); code != http.StatusServiceUnavailable {
		t.Errorf("with a quota: %d", code)
	}
}

func TestNamesFitAHostname(t *testing.T) {
	name := jobName(strings.Repeat("c", 52), runID(""))
	if len(name)+len("-99999") > 63 {
		t.Errorf("%s has %d characters", name, len(name))
	}
}

func FuzzMessages(f *testing.F) {
	f.Add([]byte(fromPrometheus))
	f.Add([]byte(fromAlertmanager))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, read := range []func([]byte) ([]Alert, error){readAlerts, readWebhook} {
			alerts, err := read(body)
			if a, ok := first(alerts, now); err == nil && ok && (a.Labels["alertname"] == "") {
				t.Errorf("%+v", a)
			}
		}
	})
}
