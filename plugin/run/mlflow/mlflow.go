// Package mlflow writes runs that ended to an MLflow tracking server, by its
// REST API 2.0 (mlflow.org, "REST API"): runs/create, runs/log-batch in
// batches of the sizes that the API allows, runs/update.
package mlflow

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/run"
)

// Limits of one log-batch request (mlflow.org, "REST API", Request Limits), and
// of the length of a parameter's value and a tag's.
const (
	batchMetrics = 1000
	batchParams  = 100
	batchTags    = 100
	paramLength  = 6000
	tagLength    = 8000
)

// Server is a tracking server. The zero Client has a timeout of its own.
type Server struct {
	URI string // such as http://mlflow:5000
	// Token, else Username and Password, are those of MLFLOW_TRACKING_TOKEN,
	// _USERNAME and _PASSWORD; "": none are sent.
	Token, Username, Password string
	// Experiment is what MLFLOW_EXPERIMENT_NAME says, else the project's name.
	Experiment string
	Client     *http.Client
}

// Error says that a server did not take a request.
type Error struct {
	Method, Path string
	Status       int    // 0: there was no answer
	Code         string // MLflow's own, such as RESOURCE_DOES_NOT_EXIST
	Message      string
	Err          error
}

func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("MLflow: %s %s: %v", e.Method, e.Path, e.Err)
	}
	return fmt.Sprintf("MLflow: %s %s: %d %s %s", e.Method, e.Path, e.Status, e.Code, e.Message)
}

func (e *Error) Unwrap() error { return e.Err }

// patience is how long one request may take.
const patience = 10 * time.Second

type keyValue struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

type value struct {
	Key       string `json:"key"`
	Value     any    `json:"value"`
	Timestamp int64  `json:"timestamp"` // milliseconds
	Step      int    `json:"step"`
}

// number is a double in the JSON of protocol buffers, where NaN and the
// infinite are strings (protobuf.dev, "ProtoJSON Format").
func number(n run.Number) any {
	switch f := float64(n); {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 1):
		return "Infinity"
	case math.IsInf(f, -1):
		return "-Infinity"
	default:
		return f
	}
}

// Export writes a run that ended and returns MLflow's ID of it. What failed
// half-way is marked as failed there.
func (s *Server) Export(ctx context.Context, r run.Record) (string, error) {
	experiment, err := s.experiment(ctx)
	if err != nil {
		return "", err
	}
	var created struct {
		Run struct {
			Info struct {
				RunID string `json:"run_id"`
			} `json:"info"`
		} `json:"run"`
	}
	started := r.Started
	if started.IsZero() {
		started = r.Created
	}
	err = s.call(ctx, http.MethodPost, "runs/create", nil, map[string]any{
		"experiment_id": experiment, "run_name": r.Stage + "-" + r.ID, "start_time": started.UnixMilli(), "tags": tags(r),
	}, &created)
	if err != nil {
		return "", err
	}
	id := created.Run.Info.RunID
	if id == "" {
		return "", &Error{Method: http.MethodPost, Path: "runs/create", Status: http.StatusOK, Message: "the answer has no run.info.run_id"}
	}
	status := "FINISHED"
	if r.Phase != apply.Complete {
		status = "FAILED"
	}
	if err := s.log(ctx, id, r); err != nil {
		_ = s.call(ctx, http.MethodPost, "runs/update", nil, map[string]any{"run_id": id, "status": "FAILED"}, nil)
		return "", err
	}
	update := map[string]any{"run_id": id, "status": status}
	if !r.Finished.IsZero() {
		update["end_time"] = r.Finished.UnixMilli()
	}
	return id, s.call(ctx, http.MethodPost, "runs/update", nil, update, nil)
}

// experiment finds the experiment by its name, or makes it.
func (s *Server) experiment(ctx context.Context) (string, error) {
	var found struct {
		Experiment struct {
			ID string `json:"experiment_id"`
		} `json:"experiment"`
	}
	err := s.call(ctx, http.MethodGet, "experiments/get-by-name", url.Values{"experiment_name": {s.Experiment}}, nil, &found)
	failed, is := err.(*Error) //nolint:errorlint // made here and never wrapped
	switch {
	case err == nil:
		return found.Experiment.ID, nil
	case !is || failed.Code != "RESOURCE_DOES_NOT_EXIST":
		return "", err
	}
	var made struct {
		ID string `json:"experiment_id"`
	}
	err = s.call(ctx, http.MethodPost, "experiments/create", nil, map[string]any{"name": s.Experiment}, &made)
	return made.ID, err
}

func tags(r run.Record) []keyValue {
	all := map[string]string{
		"kubectl-ai.run": r.ID, "kubectl-ai.project": r.Project, "kubectl-ai.stage": r.Stage, "kubectl-ai.code": r.CodeDigest,
		"kubectl-ai.context": r.Context, "kubectl-ai.namespace": r.Namespace, "kubectl-ai.matrix": r.Matrix,
		"mlflow.user": r.Who, "mlflow.source.name": r.Workload, "mlflow.source.type": "JOB", "mlflow.note.content": r.Reason,
	}
	if r.Model != nil {
		all["kubectl-ai.model"], all["kubectl-ai.data"] = r.Model.Digest, r.Model.Data
	}
	for _, i := range r.Images {
		all["kubectl-ai.image."+i.Container] = i.ID
	}
	return pairs(all, tagLength, batchTags)
}

// pairs are those that have a value, in the order of their keys.
func pairs(m map[string]string, length, most int) []keyValue {
	out := []keyValue{}
	for _, key := range slices.Sorted(maps.Keys(m)) {
		if value := m[key]; value != "" && len(out) < most {
			out = append(out, keyValue{key, strings.ToValidUTF8(value[:min(len(value), length)], "")})
		}
	}
	return out
}

// log writes parameters and the history of each metric.
func (s *Server) log(ctx context.Context, id string, r run.Record) error {
	params := map[string]string{"ranks": fmt.Sprint(r.Ranks)}
	for name, quantity := range r.Requests {
		params["requests."+strings.ReplaceAll(name, "/", ".")] = quantity
	}
	maps.Copy(params, r.Parameters)
	for some := range slices.Chunk(pairs(params, paramLength, len(params)), batchParams) {
		if err := s.batch(ctx, id, map[string]any{"params": some}); err != nil {
			return err
		}
	}
	var points []value
	for _, m := range r.Metrics {
		for _, p := range m.History {
			points = append(points, value{m.Name, number(p.Value), p.Time.UnixMilli(), p.Step})
		}
	}
	for some := range slices.Chunk(points, batchMetrics) {
		if err := s.batch(ctx, id, map[string]any{"metrics": some}); err != nil {
			return err
		}
	}
	return nil
}

func (s *Server) batch(ctx context.Context, id string, what map[string]any) error {
	what["run_id"] = id
	return s.call(ctx, http.MethodPost, "runs/log-batch", nil, what, nil)
}

// answerLimit bounds what is read of an answer.
const answerLimit = 1 << 20

func (s *Server) call(ctx context.Context, method, path string, query url.Values, body, into any) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	failed := &Error{Method: method, Path: path}
	address, err := url.JoinPath(s.URI, "api/2.0/mlflow", path)
	if err != nil {
		failed.Err = err
		return failed
	}
	if query != nil {
		address += "?" + query.Encode()
	}
	var content io.Reader
	if body != nil {
		raw, err := json.Marshal(body)
		if err != nil {
			failed.Err = err
			return failed
		}
		content = bytes.NewReader(raw)
	}
	request, err := http.NewRequestWithContext(ctx, method, address, content)
	if err != nil {
		failed.Err = err
		return failed
	}
	request.Header.Set("Content-Type", "application/json")
	switch {
	case s.Token != "":
		request.Header.Set("Authorization", "Bearer "+s.Token)
	case s.Username != "":
		request.SetBasicAuth(s.Username, s.Password)
	}
	client := s.Client
	if client == nil {
		client = http.DefaultClient
	}
	response, err := client.Do(request)
	if err != nil {
		failed.Err = err
		return failed
	}
	defer func() { _ = response.Body.Close() }()
	raw, err := io.ReadAll(io.LimitReader(response.Body, answerLimit))
	if err != nil {
		failed.Err = err
		return failed
	}
	if failed.Status = response.StatusCode; failed.Status/100 != 2 {
		var says struct {
			Code    string `json:"error_code"`
			Message string `json:"message"`
		}
		if json.Unmarshal(raw, &says) != nil {
			says.Message = fmt.Sprintf("%.200s", raw)
		}
		failed.Code, failed.Message = says.Code, says.Message
		return failed
	}
	if into == nil {
		return nil
	}
	if err := json.Unmarshal(raw, into); err != nil {
		failed.Err = err
		return failed
	}
	return nil
}
