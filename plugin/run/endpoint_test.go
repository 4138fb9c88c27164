package run

import (
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes/fake"

	"github.com/kubectl-ai/kubectl-ai/kustomize/components"
	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/metric/trainer"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
)

// What a run posts counts as what it prints does: history, goals, progress,
// the judgement of a validation. What the server does afterwards changes none
// of it.
func TestWhatTheEndpointWasToldIsReadLikeALog(t *testing.T) {
	r := &Record{ID: "x", Project: "p", Stage: StageValidate, Namespace: "ns", Job: "train-x", Ranks: 1, CodeDigest: some, Endpoint: true}
	job := &batchv1.Job{ObjectMeta: metav1.ObjectMeta{Name: r.Job, Namespace: "ns", Labels: map[string]string{IDLabel: "x"}}}
	s := &Store{Client: fake.NewClientset(job), Namespace: "ns"}
	identity, err := trainer.NewIdentity("ns", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	owner, err := s.Create(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Admit(t.Context(), r, owner, identity); err != nil {
		t.Fatal(err)
	}
	secret, err := s.Client.CoreV1().Secrets("ns").Get(t.Context(), "train-x-progress", metav1.GetOptions{})
	if err != nil || string(secret.Data["token"]) != trainer.Token(identity.Key, "ns", "train-x") || len(secret.Data) != 2 || secret.OwnerReferences[0].UID != owner.UID {
		t.Errorf("what pods see: %+v, %v", secret, err)
	}
	reports := func(lines ...string) {
		t.Helper()
		object := &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: trainer.ReportsName(r.Job), Namespace: "ns"},
			Data:       map[string]string{trainer.ReportsKey: strings.Join(lines, "")},
		}
		if _, err := s.Client.CoreV1().ConfigMaps("ns").Update(t.Context(), object, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	line := func(i int, status string) string {
		return at(i).Format(time.RFC3339Nano) + ` {"trainerStatus":` + status + "}\n"
	}
	first := line(1, `{"progressPercentage":20,"metrics":[{"name":"accuracy","value":"0.95"}]}`)
	second := line(2, `{"progressPercentage":40,"estimatedRemainingSeconds":6,"metrics":[{"name":"accuracy","value":"0.93"}]}`)
	reports(first)
	for range 2 { // read once
		if _, err := s.Reconcile(t.Context(), "x", []project.Metric{accuracy}); err != nil {
			t.Fatal(err)
		}
	}
	reports(first, second)
	got, err := s.Reconcile(t.Context(), "x", []project.Metric{accuracy})
	if err != nil {
		t.Fatal(err)
	}
	if m := got.Metric("accuracy"); m == nil || m.Count != 2 || m.Last != 0.93 || m.Best != 0.95 || *got.Progress != 40 || *got.Remaining != 6 {
		t.Fatalf("%+v", got)
	}
	// The server is gone, and with it, say, what it kept.
	if err := s.Client.CoreV1().ConfigMaps("ns").Delete(t.Context(), trainer.ReportsName(r.Job), metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	job.Status = batchv1.JobStatus{
		Succeeded: 1, StartTime: &metav1.Time{Time: at(0)}, CompletionTime: &metav1.Time{Time: at(9)},
		Conditions: []batchv1.JobCondition{{Type: batchv1.JobComplete, Status: corev1.ConditionTrue}},
	}
	if _, err := s.Client.BatchV1().Jobs("ns").Update(t.Context(), job, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	got, err = s.Reconcile(t.Context(), "x", []project.Metric{accuracy})
	if err != nil || got.Phase != apply.Complete || got.Metric("accuracy").Count != 2 {
		t.Fatalf("%+v, %v", got, err)
	}
	if m := got.Report.Metrics; len(m) != 1 || !m[0].Met {
		t.Errorf("the gate sees %+v", got.Report)
	}
}

func TestContainersAreToldOfTheEndpoint(t *testing.T) {
	pod := map[string]any{"containers": []any{
		map[string]any{"name": "a"},
		map[string]any{"name": "b"},
		map[string]any{"name": "c", "env": []any{map[string]any{"name": trainer.URLVariable, "value": "https://elsewhere"}}},
	}}
	job := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "batch/v1", "kind": "Job", "metadata": map[string]any{"name": "train"}, "spec": map[string]any{"template": map[string]any{"spec": pod}},
	}}
	templates, err := workload.Templates(job)
	if err != nil {
		t.Fatal(err)
	}
	var targets []workload.Target
	for _, c := range templates[0].Containers() {
		targets = append(targets, workload.Target{Template: templates[0], Container: c})
	}
	r := &Record{ID: "x", Namespace: "ns", Job: "train-x"}
	r.ReportTo(targets)
	if volumes, _ := pod["volumes"].([]any); len(volumes) != 1 || !r.Endpoint {
		t.Errorf("containers of a pod share the volume: %v", volumes)
	}
	for _, item := range pod["containers"].([]any) {
		c := item.(map[string]any)
		env := c["env"].([]any)
		first := env[0].(map[string]any)["value"]
		if own := c["name"] == "c"; own != (first == "https://elsewhere") || own != (c["volumeMounts"] == nil) || !own && len(env) != 3 {
			t.Errorf("%v", c)
		}
	}
	const want = "https://progress.ns.svc:8443/apis/trainer.kubeflow.org/v1alpha1/namespaces/ns/trainjobs/train-x/status"
	if got := pod["containers"].([]any)[0].(map[string]any)["env"].([]any)[0].(map[string]any)["value"]; got != want {
		t.Errorf("they post to %v", got)
	}
}

// The component is what a run asks by, and has the names that it is told of.
func TestTheComponentHasTheEndpointsNames(t *testing.T) {
	c, err := components.Embedded().Get(trainer.Component)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range c.Variants {
		objects, err := c.Render(v.Folder)
		if err != nil {
			t.Fatal(err)
		}
		if !HasEndpoint(objects) {
			t.Errorf("%s has no endpoint", v.Folder)
		}
		for _, obj := range objects {
			if obj.GetKind() != "Role" {
				continue
			}
			rules, _, _ := unstructured.NestedSlice(obj.Object, "rules")
			if !slices.ContainsFunc(rules, func(rule any) bool {
				names, _ := rule.(map[string]any)["resourceNames"].([]any)
				return slices.Contains(names, any(trainer.SecretName))
			}) {
				t.Errorf("%s: the server may not read Secret %s", v.Folder, trainer.SecretName)
			}
		}
	}
	if HasEndpoint(nil) {
		t.Error("nothing has an endpoint")
	}
}
