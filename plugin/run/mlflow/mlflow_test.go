package mlflow

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/metric"
	"github.com/kubectl-ai/kubectl-ai/plugin/run"
)

// server is a tracking server that takes what MLflow's REST API 2.0 says, field
// by field, and nothing else: an unknown field, a wrong type or a batch over
// the limits fails the test.
type server struct {
	t           *testing.T
	experiments map[string]string
	created     createRun
	batches     []logBatch
	metrics     []sentMetric
	params      map[string]string
	updates     []updateRun
	refuse      string // path that is answered by an error
	auth        string
}

type createRun struct {
	ExperimentID string     `json:"experiment_id"`
	RunName      string     `json:"run_name"`
	StartTime    int64      `json:"start_time"`
	Tags         []keyValue `json:"tags"`
}

type sentMetric struct {
	Key       string          `json:"key"`
	Value     json.RawMessage `json:"value"`
	Timestamp int64           `json:"timestamp"`
	Step      int64           `json:"step"`
}

type logBatch struct {
	RunID   string       `json:"run_id"`
	Metrics []sentMetric `json:"metrics"`
	Params  []keyValue   `json:"params"`
	Tags    []keyValue   `json:"tags"`
}

type updateRun struct {
	RunID   string `json:"run_id"`
	Status  string `json:"status"`
	EndTime int64  `json:"end_time"`
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	const base = "/api/2.0/mlflow/"
	path, ok := strings.CutPrefix(r.URL.Path, base)
	if !ok {
		s.t.Errorf("%s is not below %s", r.URL.Path, base)
	}
	s.auth = r.Header.Get("Authorization")
	take := func(into any) {
		d := json.NewDecoder(r.Body)
		d.DisallowUnknownFields()
		if err := d.Decode(into); err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
			s.t.Errorf("%s %s: %v", r.Method, path, err)
		}
	}
	refuse := func(status int, code string) {
		w.WriteHeader(status)
		_, _ = fmt.Fprintf(w, `{"error_code": %q, "message": "no"}`, code)
	}
	if path == s.refuse {
		refuse(http.StatusInternalServerError, "INTERNAL_ERROR")
		return
	}
	switch path {
	case "experiments/get-by-name":
		id, known := s.experiments[r.URL.Query().Get("experiment_name")]
		if r.Method != http.MethodGet || !known {
			refuse(http.StatusNotFound, "RESOURCE_DOES_NOT_EXIST")
			return
		}
		_, _ = fmt.Fprintf(w, `{"experiment": {"experiment_id": %q, "name": "x", "lifecycle_stage": "active"}}`, id)
	case "experiments/create":
		var body struct {
			Name string `json:"name"`
		}
		take(&body)
		s.experiments[body.Name] = "7"
		_, _ = fmt.Fprint(w, `{"experiment_id": "7"}`)
	case "runs/create":
		take(&s.created)
		_, _ = fmt.Fprint(w, `{"run": {"info": {"run_id": "abc", "run_uuid": "abc", "status": "RUNNING"}, "data": {}}}`)
	case "runs/log-batch":
		var b logBatch
		take(&b)
		if len(b.Metrics) > 1000 || len(b.Params) > 100 || len(b.Tags) > 100 || len(b.Metrics)+len(b.Params)+len(b.Tags) > 1000 || b.RunID != "abc" {
			s.t.Errorf("a batch of %d metrics and %d parameters for %s", len(b.Metrics), len(b.Params), b.RunID)
		}
		s.batches, s.metrics = append(s.batches, b), append(s.metrics, b.Metrics...)
		for _, p := range b.Params {
			s.params[p.Key] = p.Value
		}
		_, _ = fmt.Fprint(w, `{}`)
	case "runs/update":
		var u updateRun
		take(&u)
		s.updates = append(s.updates, u)
		_, _ = fmt.Fprint(w, `{"run_info": {"run_id": "abc"}}`)
	default:
		s.t.Errorf("%s is no path of the API", path)
	}
}

func start(t *testing.T) (*server, *Server) {
	t.Helper()
	s := &server{t: t, experiments: map[string]string{}, params: map[string]string{}}
	h := httptest.NewServer(s)
	t.Cleanup(h.Close)
	return s, &Server{URI: h.URL + "/", Experiment: "digits"}
}

// record reported so many values of three metrics.
func record(values int) run.Record {
	at := time.Unix(1000, 0).UTC()
	r := run.Record{
		ID: "k7x2mq", Stage: "train", Project: "digits", Phase: apply.Complete, Ranks: 2, CodeDigest: "sha256:aa", Who: "ann",
		Created: at, Started: at.Add(time.Second), Finished: at.Add(time.Minute), Parameters: map[string]string{"lr": "0.1"},
		Requests: map[string]string{"nvidia.com/gpu": "1"}, Model: &metric.Model{Digest: "sha256:bb"},
	}
	for _, name := range []string{"accuracy", "loss", "lr"} {
		m := run.Metric{Name: name}
		for i := range values {
			m.History = append(m.History, run.Point{Time: at.Add(time.Duration(i) * time.Millisecond), Step: i, Value: run.Number(i)})
		}
		r.Metrics = append(r.Metrics, m)
	}
	return r
}

func TestARunIsWritten(t *testing.T) {
	s, to := start(t)
	to.Token = "secret"
	r := record(400)
	r.Metrics[0].History[0].Value, r.Metrics[0].History[1].Value = run.Number(math.NaN()), run.Number(math.Inf(-1))
	id, err := to.Export(t.Context(), r)
	if err != nil || id != "abc" {
		t.Fatalf("%s, %v", id, err)
	}
	if s.created.ExperimentID != "7" || s.created.RunName != "train-k7x2mq" || s.created.StartTime != 1001000 {
		t.Errorf("%+v", s.created)
	}
	tags := fmt.Sprint(s.created.Tags)
	for _, want := range []string{"{kubectl-ai.code sha256:aa}", "{kubectl-ai.model sha256:bb}", "{mlflow.user ann}"} {
		if !strings.Contains(tags, want) {
			t.Errorf("no tag %s in %s", want, tags)
		}
	}
	if s.params["lr"] != "0.1" || s.params["ranks"] != "2" || s.params["requests.nvidia.com.gpu"] != "1" {
		t.Errorf("%v", s.params)
	}
	if len(s.metrics) != 1200 || len(s.batches) != 3 || string(s.metrics[0].Value) != `"NaN"` || string(s.metrics[1].Value) != `"-Infinity"` {
		t.Errorf("%d values in %d batches, the first %+v", len(s.metrics), len(s.batches), s.metrics[0])
	}
	if last := s.metrics[1199]; last.Key != "lr" || string(last.Value) != "399" || last.Step != 399 || last.Timestamp != 1000399 {
		t.Errorf("%+v", last)
	}
	if len(s.updates) != 1 || s.updates[0] != (updateRun{"abc", "FINISHED", 1060000}) || s.auth != "Bearer secret" {
		t.Errorf("%+v, %s", s.updates, s.auth)
	}
	// The experiment is there now.
	if _, err := to.Export(t.Context(), record(0)); err != nil {
		t.Error(err)
	}
}

func TestARunThatFailedIsWrittenAsOne(t *testing.T) {
	s, to := start(t)
	r := record(1)
	r.Phase, r.Started = apply.Failed, time.Time{}
	if _, err := to.Export(t.Context(), r); err != nil || s.updates[0].Status != "FAILED" || s.created.StartTime != 1000000 {
		t.Errorf("%+v, %+v, %v", s.updates, s.created, err)
	}
}

func TestWhatAServerRefuses(t *testing.T) {
	for path, closed := range map[string]bool{"experiments/get-by-name": false, "runs/create": false, "runs/log-batch": true, "runs/update": false} {
		s, to := start(t)
		s.refuse = path
		_, err := to.Export(t.Context(), record(1))
		var refused *Error
		if !errors.As(err, &refused) || refused.Status != 500 || refused.Code != "INTERNAL_ERROR" || refused.Path != path {
			t.Errorf("%s: %v", path, err)
		}
		if closed && (len(s.updates) != 1 || s.updates[0].Status != "FAILED") {
			t.Errorf("%s: a run is left open: %+v", path, s.updates)
		}
	}
	if _, err := (&Server{URI: "http://127.0.0.1:1", Experiment: "x"}).Export(t.Context(), record(1)); err == nil {
		t.Error("nobody listens there")
	}
}
