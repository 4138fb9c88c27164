package retrain

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"sync"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/dynamic"
)

var (
	jobs     = batchv1.SchemeGroupVersion.WithResource("jobs")
	cronJobs = batchv1.SchemeGroupVersion.WithResource("cronjobs")
)

// Starter makes Jobs from one CronJob. It needs get on that CronJob, list and
// create on Jobs of its namespace.
type Starter struct {
	Client    dynamic.Interface
	Namespace string
	CronJob   string
	// CoolDown is how old the last Job has to be before another is made.
	CoolDown time.Duration
	Now      func() time.Time // nil: the clock
	Log      *log.Logger

	mu sync.Mutex // between looking and making
}

// NoCronJobError says that there is no template to make a Job from.
type NoCronJobError struct{ Namespace, Name string }

func (e *NoCronJobError) Error() string {
	return fmt.Sprintf("there is no CronJob %s in namespace %s", e.Name, e.Namespace)
}

// Outcome is what became of a request.
type Outcome struct {
	Job     string `json:"job,omitempty"`
	Created bool   `json:"created"`
	Reason  string `json:"reason,omitempty"` // why none was created
}

// Start makes the Job of that key, whatever it says, unless it is there, or
// another one holds it back. cause is kept with the Job.
func (s *Starter) Start(ctx context.Context, key, cause string) (Outcome, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var from batchv1.CronJob
	object, err := s.Client.Resource(cronJobs).Namespace(s.Namespace).Get(ctx, s.CronJob, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return Outcome{}, &NoCronJobError{s.Namespace, s.CronJob}
	}
	if err != nil {
		return Outcome{}, fmt.Errorf("get CronJob %s: %w", s.CronJob, err)
	}
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &from); err != nil {
		return Outcome{}, fmt.Errorf("read CronJob %s: %w", s.CronJob, err)
	}
	list, err := s.Client.Resource(jobs).Namespace(s.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return Outcome{}, fmt.Errorf("list Jobs: %w", err)
	}
	var there batchv1.JobList
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(list.UnstructuredContent(), &there); err != nil {
		return Outcome{}, fmt.Errorf("read Jobs: %w", err)
	}
	if name, why := busy(&from, there.Items, s.CoolDown, s.now()); name != "" {
		return Outcome{Job: name, Reason: why}, nil
	}
	job := NewJob(&from, runID(key), cause)
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(job)
	if err != nil {
		return Outcome{}, fmt.Errorf("write Job %s: %w", job.Name, err)
	}
	delete(content, "status")
	object.Object = content
	switch _, err := s.Client.Resource(jobs).Namespace(s.Namespace).Create(ctx, object, metav1.CreateOptions{FieldManager: "kubectl-ai"}); {
	case apierrors.IsAlreadyExists(err):
		return Outcome{Job: job.Name, Reason: "it was made for this alert before"}, nil
	case err != nil:
		return Outcome{}, fmt.Errorf("create Job %s: %w", job.Name, err)
	}
	return Outcome{Job: job.Name, Created: true}, nil
}

func (s *Starter) now() time.Time {
	if s.Now != nil {
		return s.Now()
	}
	return time.Now()
}

// maxBody is the largest message that is read, in bytes.
const maxBody = 1 << 20

// Handler takes alerts: POST /api/v2/alerts from Prometheus, POST /webhook from
// an Alertmanager. It answers with an Outcome, and with an error that the
// sender tries again after when the cluster did not answer.
func (s *Starter) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.Handle("POST /api/v2/alerts", s.take(readAlerts))
	mux.Handle("POST /webhook", s.take(readWebhook))
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok\n")) })
	return mux
}

func (s *Starter) take(read func([]byte) ([]Alert, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
			http.Error(w, fmt.Sprintf("more than %d bytes", maxBody), http.StatusRequestEntityTooLarge)
			return
		}
		if err != nil {
			return // the sender is gone
		}
		alerts, err := read(body)
		if err != nil {
			s.logf("refused a message from %s: %v", r.RemoteAddr, err)
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		outcome := Outcome{Reason: "no alert that fires has the label " + LabelAction + "=" + ActionRetrain}
		if alert, ok := first(alerts, s.now()); ok {
			name := alert.Labels["alertname"]
			if outcome, err = s.Start(r.Context(), alert.key(), "alert "+name); err != nil {
				s.logf("alert %s: %v", name, err)
				http.Error(w, err.Error(), http.StatusServiceUnavailable)
				return
			}
			if outcome.Created {
				s.logf("alert %s: made Job %s", name, outcome.Job)
			} else {
				s.logf("alert %s: Job %s holds it back: %s", name, outcome.Job, outcome.Reason)
			}
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(outcome)
	})
}

func (s *Starter) logf(format string, args ...any) {
	if s.Log != nil {
		s.Log.Printf(format, args...)
	}
}
