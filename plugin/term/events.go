package term

import (
	"encoding/json"
	"fmt"
	"time"
)

// eventVersion is the version of an Event's shape.
const eventVersion = "kubectl-ai.dev/v1alpha1"

// Event is a line of --events json: what a person would read on stderr, for a
// program.
type Event struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"` // Started, Finished, Note, Failed
	Time       time.Time `json:"time"`
	Step       string    `json:"step,omitempty"`    // Started and Finished
	Seconds    float64   `json:"seconds,omitempty"` // that the step took
	Message    string    `json:"message,omitempty"`
	Error      string    `json:"error,omitempty"` // of a step that did not succeed
	ID         string    `json:"id,omitempty"`    // Failed: as `explain` takes it
	Cause      string    `json:"cause,omitempty"`
	Next       string    `json:"next,omitempty"`
	ExitCode   int       `json:"exitCode,omitempty"`
}

// Emit writes an event to stderr, where Events asks for them; else nothing.
func (s Streams) Emit(e Event) {
	if !s.Events {
		return
	}
	e.Message, e.Next = s.Called.Say(e.Message), s.Called.Say(e.Next)
	e.APIVersion, e.Time = eventVersion, time.Now().UTC()
	if line, err := json.Marshal(e); err == nil {
		_, _ = fmt.Fprintf(s.ErrOut, "%s\n", line)
	}
}
