package run

import (
	"fmt"
	"strings"
)

// NotFoundError says that there is no run of that ID.
type NotFoundError struct{ ID, Namespace string }

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("no run %s in namespace %s", e.ID, e.Namespace)
}

// NewerError says that a record was written by a newer kubectl-ai.
type NewerError struct{ ID, Version string }

func (e *NewerError) Error() string {
	return fmt.Sprintf("the record of run %s has the format %s, this kubectl-ai knows %s", e.ID, e.Version, APIVersion)
}

// DamagedError says that a record cannot be read.
type DamagedError struct {
	Object string // ConfigMap/name
	Err    error
}

func (e *DamagedError) Error() string { return fmt.Sprintf("%s: %v", e.Object, e.Err) }
func (e *DamagedError) Unwrap() error { return e.Err }

// StageError says that a bundle has no workload of a stage that can be run, or
// several.
type StageError struct {
	Stage string
	Found []string // that have the stage, as Kind/name
	Known []string // stages of the bundle's workloads
}

func (e *StageError) Error() string {
	switch {
	case len(e.Found) > 1:
		return fmt.Sprintf("%d workloads of the bundle are of stage %s: %s", len(e.Found), e.Stage, strings.Join(e.Found, ", "))
	case len(e.Found) == 1:
		return fmt.Sprintf("%s is of stage %s, and is neither a Job nor a CronJob whose containers get the code", e.Found[0], e.Stage)
	case len(e.Known) > 0:
		return fmt.Sprintf("no Job or CronJob of the bundle is of stage %s: it has %s", e.Stage, strings.Join(e.Known, ", "))
	}
	return fmt.Sprintf("no Job or CronJob of the bundle has the label %s: %s", StageLabel, e.Stage)
}

// FailedError says that a run did not end well. Cause and Next are what is
// known of why and what helps, "" where nothing is.
type FailedError struct {
	Record      Record
	Cause, Next string
}

func (e *FailedError) Error() string { return stands(e.Record) }

// UnfinishedError says that a run has not ended in the time that somebody
// waited for it. It goes on. Cause and Next are as those of a FailedError.
type UnfinishedError struct {
	Record      Record
	Cause, Next string
}

func (e *UnfinishedError) Error() string { return stands(e.Record) + ", and the time is up" }

func stands(r Record) string {
	s := fmt.Sprintf("run %s: %s", r.ID, strings.ToLower(string(r.Phase)))
	if r.Reason != "" {
		s += ": " + r.Reason
	}
	return s
}

// MatrixError says that some runs of a matrix did not end well.
type MatrixError struct {
	Matrix string
	Failed []*FailedError // in the order of the points
	Of     int
}

func (e *MatrixError) Error() string {
	var ids []string
	for _, failed := range e.Failed {
		ids = append(ids, failed.Record.ID)
	}
	return fmt.Sprintf("%d of %d runs of matrix %s did not end well: %s", len(ids), e.Of, e.Matrix, strings.Join(ids, ", "))
}

// Unwrap returns why each of them did not.
func (e *MatrixError) Unwrap() []error {
	var causes []error
	for _, failed := range e.Failed {
		causes = append(causes, failed)
	}
	return causes
}

// EndpointError says that the bundle brings the progress endpoint and its
// server has not started.
type EndpointError struct{ Namespace string }

func (e *EndpointError) Error() string {
	return fmt.Sprintf("the progress endpoint of namespace %s has not started, and its runs are to report by it", e.Namespace)
}
