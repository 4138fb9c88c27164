package exporter

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"

	"github.com/kubectl-ai/kubectl-ai/plugin/drift"
)

// Port is where the exporter answers, and Label what its pods have, in
// component monitor.
const (
	Port  = 9100
	Label = "app.kubernetes.io/name=drift"
)

// AbsentError says that a namespace has no exporter that runs.
type AbsentError struct{ Namespace string }

func (e *AbsentError) Error() string {
	return fmt.Sprintf("no drift exporter runs in namespace %s", e.Namespace)
}

// NoReportError says that the exporter cannot compare.
type NoReportError struct{ Reason string }

func (e *NoReportError) Error() string {
	return "the drift exporter has nothing to compare: " + e.Reason
}

// Ask asks an exporter for its status. Without a report it is a *NoReportError.
func Ask(ctx context.Context, client *http.Client) (Status, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://drift/report", nil)
	if err != nil {
		return Status{}, err
	}
	answer, err := client.Do(request)
	if err != nil {
		return Status{}, fmt.Errorf("ask the drift exporter: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return Status{}, fmt.Errorf("ask the drift exporter: %s", answer.Status)
	}
	var s Status
	if err := json.NewDecoder(io.LimitReader(answer.Body, drift.MaxBytes)).Decode(&s); err != nil {
		return Status{}, fmt.Errorf("read what the drift exporter says: %w", err)
	}
	switch {
	case s.Error != "":
		return s, &NoReportError{s.Error}
	case s.Report == nil && s.Targets == 0:
		return s, &NoReportError{"no pod of the served model has answered it yet"}
	case s.Report == nil:
		return s, &NoReportError{"it has only just started"}
	}
	return s, nil
}
