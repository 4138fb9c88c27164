package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/kubernetes/fake"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
)

var (
	begin     = time.Unix(1000, 0).UTC()
	threshold = 0.9
	accuracy  = project.Metric{Name: "accuracy", Goal: project.Maximize, Threshold: &threshold}
	loss      = project.Metric{Name: "loss", Goal: project.Minimize}
	some      = "sha256:" + strings.Repeat("ab", 32)
)

func at(i int) time.Time { return begin.Add(time.Duration(i) * time.Second) }

func TestMetricsOverARun(t *testing.T) {
	r := &Record{ID: "x"}
	for i, v := range []string{"0.2", "0.9", "NaN", "0.7"} {
		r.Line(at(i), 0, fmt.Sprintf(`{"metrics": [{"name": "accuracy", "value": %s}, {"name": "loss", "value": 3}, {"name": "other", "value": %d}], "progressPercentage": %d}`, v, i, i*25), []project.Metric{accuracy, loss})
	}
	r.Line(at(9), 1, `{"metrics": [{"name": "accuracy", "value": 1}]}`, []project.Metric{accuracy})
	r.Line(at(9), 0, `{"metrics": [{"name": "accuracy"`, nil)
	r.Line(at(9), 0, `{"model": {"digest": "latest"}}`, nil)
	m := r.Metric("accuracy")
	if m.Last != 0.7 || m.Best != 0.9 || m.Count != 4 || len(m.History) != 4 || !m.History[2].Value.IsNaN() || m.Rank != 0 {
		t.Errorf("accuracy: %+v", m)
	}
	if o := r.Metric("other"); o.Best != 3 {
		t.Errorf("a metric without a goal is as good as its last value: %+v", o)
	}
	if *r.Progress != 75 || r.Malformed.Lines != 2 || !strings.Contains(r.Malformed.First, `"accuracy"`) {
		t.Errorf("%v, %+v", *r.Progress, r.Malformed)
	}
	raw, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	var back Record
	if err := json.Unmarshal(raw, &back); err != nil || !back.Metric("accuracy").History[2].Value.IsNaN() {
		t.Errorf("NaN is lost in %s: %v", raw, err)
	}
}

func TestAHistoryIsThinnedEvenly(t *testing.T) {
	m := Metric{Goal: project.Minimize}
	for i := range 10000 {
		m.add(Point{Step: i, Value: Number(10000 - i)})
	}
	first, last := m.History[0].Step, m.History[len(m.History)-1].Step
	if len(m.History) > maxHistory || m.Count != 10000 || first != 0 || last != 9999 || m.Best != 1 {
		t.Errorf("%d points from %d to %d, best %v", len(m.History), first, last, m.Best)
	}
}

func TestALogIsReadOnWhereItWasLeft(t *testing.T) {
	line := func(i int, v float64) string {
		return fmt.Sprintf("%s {\"metrics\": [{\"name\": \"accuracy\", \"value\": %g}]}\n", at(i).Format(time.RFC3339Nano), v)
	}
	log := line(1, 0.1) + "no time {\"metrics\": []}\n" + line(2, 0.2)
	r := &Record{}
	until, err := r.ReadLog(strings.NewReader(log), 0, time.Time{}, nil)
	if err != nil || !until.Equal(at(2)) {
		t.Fatal(until, err)
	}
	log += at(3).Format(time.RFC3339Nano) + " " + strings.Repeat("x", 2*longestLine) + "\n" + line(4, 0.4)
	if until, err = r.ReadLog(strings.NewReader(log), 0, until, nil); err != nil || !until.Equal(at(4)) {
		t.Fatal(until, err)
	}
	if m := r.Metric("accuracy"); m.Count != 3 || m.Last != 0.4 {
		t.Errorf("%+v", m)
	}
}

func TestBest(t *testing.T) {
	with := func(id string, v float64) Record {
		return Record{ID: id, Metrics: []Metric{{Name: "accuracy", Best: Number(v)}}}
	}
	all := []Record{with("a", math.NaN()), with("b", 0.5), with("c", 0.7), {ID: "d"}}
	if best := Best(all, accuracy); best == nil || best.ID != "c" {
		t.Errorf("%+v", best)
	}
	if best := Best(all, project.Metric{Name: "accuracy", Goal: project.Minimize}); best.ID != "b" {
		t.Errorf("%+v", best)
	}
	if best := Best(all[:1], accuracy); best != nil {
		t.Errorf("NaN is best: %+v", best)
	}
}

func TestWhatAValidationRefuses(t *testing.T) {
	const ok = `{"validation": {"model": "%[1]s", "data": "%[1]s", "overlap": 0}}`
	for _, c := range []struct {
		name  string
		lines []string
		phase apply.Phase
		says  []string
	}{
		{"good", []string{ok, `{"metrics": [{"name": "accuracy", "value": 0.9}]}`}, apply.Complete, nil},
		{"below the threshold", []string{ok, `{"metrics": [{"name": "accuracy", "value": 0.95}]}`, `{"metrics": [{"name": "accuracy", "value": 0.89}]}`}, apply.Complete, []string{"accuracy is 0.89; at least 0.9 is wanted"}},
		{"never reported", []string{ok}, apply.Complete, []string{"accuracy was never reported"}},
		{"NaN", []string{ok, `{"metrics": [{"name": "accuracy", "value": NaN}]}`}, apply.Complete, []string{"accuracy is NaN"}},
		{"one sample on both sides", []string{strings.Replace(ok, `: 0}`, `: 1}`, 1), `{"metrics": [{"name": "accuracy", "value": 1}]}`}, apply.Complete, []string{"1 sample is in the training data too"}},
		{"nobody says of the data", []string{`{"metrics": [{"name": "accuracy", "value": 1}]}`}, apply.Complete, []string{"never said which model"}},
		{"all at once", []string{`{"metrics": [{"name": "accuracy", "va`}, apply.Failed, []string{"never reported", "never said", "1 lines", "did not end well"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &Record{CodeDigest: some, Phase: c.phase}
			for i, line := range c.lines {
				if strings.Contains(line, "%[1]s") {
					line = fmt.Sprintf(line, some)
				}
				r.Line(at(i), 0, line, []project.Metric{accuracy})
			}
			report := r.Judge([]project.Metric{accuracy, loss})
			if report.Passed != (len(c.says) == 0) || len(report.Refusals) != len(c.says) || report.Code != some || len(report.Metrics) != 1 {
				t.Fatalf("%+v", report)
			}
			for i, want := range c.says {
				if !strings.Contains(report.Refusals[i], want) {
					t.Errorf("%q, want %q", report.Refusals[i], want)
				}
			}
		})
	}
}

func TestPointsOfAMatrix(t *testing.T) {
	var axes []Axis
	for _, s := range []string{"lr=0.1,0.01", "depth=2,3"} {
		a, err := ParseAxis(s)
		if err != nil {
			t.Fatal(err)
		}
		axes = append(axes, a)
	}
	points, err := Points(axes, map[string]string{"seed": "7"})
	var got []string
	for _, p := range points {
		got = append(got, p["lr"]+" "+p["depth"]+" "+p["seed"])
	}
	if diff := cmp.Diff([]string{"0.1 2 7", "0.1 3 7", "0.01 2 7", "0.01 3 7"}, got); err != nil || diff != "" {
		t.Errorf("%v %s", err, diff)
	}
	if _, err := Points(axes, map[string]string{"lr": "1"}); err == nil {
		t.Error("an axis that is set besides")
	}
	for _, s := range []string{"lr", "=1", "l r=1", "lr=1,,2", "lr=1,1", "lr="} {
		if _, err := ParseAxis(s); err == nil {
			t.Errorf("%q is an axis", s)
		}
	}
}

func FuzzParseAxis(f *testing.F) {
	f.Add("lr=0.1,0.01")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := ParseAxis(s)
		if err == nil && (a.Name == "" || len(a.Values) == 0 || a.Name+"="+strings.Join(a.Values, ",") != s) {
			t.Errorf("%q: %+v", s, a)
		}
	})
}

func bundle(t *testing.T, texts ...string) ([]*unstructured.Unstructured, []workload.Target) {
	t.Helper()
	var objects []*unstructured.Unstructured
	for _, text := range texts {
		obj := &unstructured.Unstructured{}
		raw, err := yaml.YAMLToJSON([]byte(text))
		if err == nil {
			err = obj.UnmarshalJSON(raw)
		}
		if err != nil {
			t.Fatal(err)
		}
		objects = append(objects, obj)
	}
	targets, err := workload.Select(objects, "/app", nil)
	if err != nil {
		t.Fatal(err)
	}
	workload.NumberRanks(targets)
	return objects, targets
}

const (
	pod    = `{metadata: {labels: {app: x}}, spec: {subdomain: train, containers: [{name: side, image: s}, {name: main, image: i, workingDir: /app, resources: {limits: {nvidia.com/gpu: 1}, requests: {nvidia.com/gpu: 1}}}]}}`
	gang   = `{apiVersion: batch/v1, kind: Job, metadata: {name: train, labels: {kubectl-ai.dev/stage: train}}, spec: {ttlSecondsAfterFinished: 1, completionMode: Indexed, completions: 2, parallelism: 2, template: ` + pod + `}}`
	batch  = `{apiVersion: batch/v1, kind: CronJob, metadata: {name: batch, labels: {kubectl-ai.dev/stage: data}}, spec: {suspend: true, schedule: "@yearly", jobTemplate: {spec: {template: ` + pod + `}}}}`
	served = `{apiVersion: apps/v1, kind: Deployment, metadata: {name: serve, labels: {kubectl-ai.dev/stage: serve}}, spec: {template: ` + pod + `}}`
)

func TestTheWorkloadOfAStage(t *testing.T) {
	plainJob := strings.Replace(gang, ", labels: {kubectl-ai.dev/stage: train}", "", 1)
	for _, c := range []struct {
		name, stage string
		objects     []string
		want, says  string
	}{
		{"by its label", "data", []string{gang, batch, served}, "CronJob/batch", ""},
		{"training", "train", []string{gang, batch}, "Job/train", ""},
		{"the only Job trains", "train", []string{plainJob, batch}, "Job/train", ""},
		{"two of a stage", "train", []string{gang, strings.Replace(gang, "name: train", "name: other", 1)}, "", "2 workloads of the bundle are of stage train: Job/train, Job/other"},
		{"none", "validate", []string{gang, batch}, "", "is of stage validate: it has train, data"},
		{"one that does not end", "serve", []string{served}, "", "Deployment/serve is of stage serve, and is neither"},
		{"no labels at all", "data", []string{plainJob}, "", "has the label kubectl-ai.dev/stage: data"},
	} {
		t.Run(c.name, func(t *testing.T) {
			objects, targets := bundle(t, c.objects...)
			obj, err := Stage(objects, targets, c.stage)
			if c.want != "" && (err != nil || workload.Name(obj) != c.want) {
				t.Errorf("%v, %v", obj, err)
			}
			var stage *StageError
			if c.says != "" && (!errors.As(err, &stage) || !strings.Contains(err.Error(), c.says)) {
				t.Errorf("%v, want %s", err, c.says)
			}
		})
	}
}

func TestTheJobOfARun(t *testing.T) {
	objects, targets := bundle(t, gang)
	r := &Record{ID: "k7x2mq", Matrix: "m", Project: "p", Stage: "train", Namespace: "ns", CodeDigest: some}
	job, own, err := r.MakeJob(objects[0], targets, Spec{Ranks: 4, GPUs: 2, Parameters: map[string]string{"LR": "0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	if job.GetName() != "train-k7x2mq" || r.Ranks != 4 || r.Workload != "Job/train" || objects[0].GetName() != "train" || workload.Replicas(targets[0].Template) != 2 {
		t.Errorf("%s, %+v", job.GetName(), r)
	}
	for _, path := range []string{"spec.suspend=true", "spec.parallelism=4", "spec.completions=4", "spec.ttlSecondsAfterFinished=<nil>"} {
		field, want, _ := strings.Cut(path, "=")
		got, _, _ := unstructured.NestedFieldNoCopy(job.Object, strings.Split(field, ".")...)
		if fmt.Sprint(got) != want {
			t.Errorf("%s = %v", field, got)
		}
	}
	if labels := job.GetLabels(); labels[IDLabel] != "k7x2mq" || labels[MatrixLabel] != "m" {
		t.Errorf("%v", labels)
	}
	if len(own) != 1 || own[0].Container.Name() != "main" || own[0].MountPath != "/app" {
		t.Fatalf("%v", own)
	}
	text := fmt.Sprint(own[0].Container.Map())
	for _, want := range []string{"name:LR value:0.1", "name:WORLD_SIZE value:4", "limits:map[nvidia.com/gpu:2] requests:map[nvidia.com/gpu:2]"} {
		if !strings.Contains(text, want) {
			t.Errorf("%s lacks %s", text, want)
		}
	}
}

func TestJobNamesLeaveRoomForHostNames(t *testing.T) {
	r := &Record{ID: "k7x2mq", Ranks: 100}
	if name := r.jobName(strings.Repeat("a", 60)); len(name)+len("-99") > nameLimit || !strings.HasSuffix(name, "a-k7x2mq") {
		t.Errorf("%s", name)
	}
}

func TestRecordsAreKept(t *testing.T) {
	s := &Store{Client: fake.NewClientset(), Namespace: "ns"}
	r := Record{ID: "a", Project: "p", Stage: "train", Namespace: "ns", Parameters: map[string]string{"LR": "1"}}
	if _, err := s.Create(t.Context(), &r); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Update(t.Context(), "a", func(r *Record) error { r.Phase = apply.Running; return nil }); err != nil {
		t.Fatal(err)
	}
	got, err := s.Get(t.Context(), "a")
	if err != nil || got.Phase != apply.Running || got.Parameters["LR"] != "1" {
		t.Errorf("%+v, %v", got, err)
	}
	for name, data := range map[string]string{"newer": `{"apiVersion": "kubectl-ai.dev/v9"}`, "cut": `{"apiVers`, "other": `{"apiVersion": "kubectl-ai.dev/v1alpha1", "id": "a"}`} {
		_, err := s.Client.CoreV1().ConfigMaps("ns").Create(t.Context(), &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: Name(name), Labels: map[string]string{IDLabel: name, ProjectLabel: "p"}}, Data: map[string]string{recordKey: data},
		}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	all, broken, err := s.List(t.Context(), "p")
	if err != nil || len(all) != 1 || len(broken) != 3 {
		t.Errorf("%v, %v, %v", all, broken, err)
	}
	var newer *NewerError
	if _, err := s.Get(t.Context(), "newer"); !errors.As(err, &newer) {
		t.Errorf("%v", err)
	}
	var damaged *DamagedError
	if _, err := s.Get(t.Context(), "cut"); !errors.As(err, &damaged) {
		t.Errorf("%v", err)
	}
	if err := s.Delete(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	var none *NotFoundError
	if _, err := s.Get(t.Context(), "a"); !errors.As(err, &none) {
		t.Errorf("%v", err)
	}
}

func TestHowLongItTakes(t *testing.T) {
	half, seconds := Number(50), 30
	for name, c := range map[string]struct {
		r    Record
		want time.Duration
		ok   bool
	}{
		"by its progress":     {Record{Started: at(0), Said: at(10), Progress: &half}, 8 * time.Second, true},
		"as it says itself":   {Record{Started: at(0), Said: at(10), Progress: &half, Remaining: &seconds}, 28 * time.Second, true},
		"overdue":             {Record{Started: at(0), Said: at(1), Progress: &half}, 0, true},
		"nothing said":        {Record{Started: at(0)}, 0, false},
		"it has not started":  {Record{Progress: &half}, 0, false},
		"it has ended itself": {Record{Started: at(0), Said: at(1), Progress: &half, Phase: apply.Complete}, 0, false},
	} {
		if left, ok := c.r.Left(at(12)); ok != c.ok || ok && left != c.want {
			t.Errorf("%s: %v, %v", name, left, ok)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(`{"apiVersion": "kubectl-ai.dev/v1alpha1", "id": "a", "metrics": [{"name": "m", "last": "NaN", "best": 1e400, "history": [{"value": "+Inf"}]}]}`)
	f.Add(`{"apiVersion": "kubectl-ai.dev/v2"}`)
	f.Fuzz(func(t *testing.T, text string) {
		r, err := decode(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: Name("a")}, Data: map[string]string{recordKey: text}})
		if err != nil {
			return
		}
		again, err := encode(&r)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decode(again); err != nil {
			t.Errorf("%s does not decode: %v", again.Data[recordKey], err)
		}
	})
}

func TestARecordThatIsBeingDeletedIsGone(t *testing.T) {
	now := metav1.Now()
	going := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
		Name: Name("k7x2mq"), Namespace: "ns", Labels: map[string]string{IDLabel: "k7x2mq"},
		DeletionTimestamp: &now, Finalizers: []string{metav1.FinalizerDeleteDependents},
	}}
	s := &Store{Client: fake.NewClientset(going), Namespace: "ns"}
	var none *NotFoundError
	if _, err := s.Get(t.Context(), "k7x2mq"); !errors.As(err, &none) {
		t.Errorf("get: %v", err)
	}
	if _, err := s.Update(t.Context(), "k7x2mq", func(*Record) error { return nil }); !errors.As(err, &none) {
		t.Errorf("update: %v", err)
	}
	if records, broken, err := s.List(t.Context(), ""); len(records)+len(broken) != 0 || err != nil {
		t.Errorf("list: %v, %v, %v", records, broken, err)
	}
}
