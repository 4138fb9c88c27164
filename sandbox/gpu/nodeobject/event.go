package nodeobject

import (
	"time"

	"github.com/google/uuid"
)

// source is who reports.
const source = "kubectl-ai-gpu"

// event is an Event of the core API, v1.
type event struct {
	APIVersion     string            `json:"apiVersion"`
	Kind           string            `json:"kind"`
	Metadata       map[string]string `json:"metadata"`
	InvolvedObject map[string]string `json:"involvedObject"`
	Reason         string            `json:"reason"`
	Message        string            `json:"message"`
	Source         map[string]string `json:"source"`
	FirstTimestamp time.Time         `json:"firstTimestamp"`
	LastTimestamp  time.Time         `json:"lastTimestamp"`
	Count          int               `json:"count"`
	Type           string            `json:"type"`
	Component      string            `json:"reportingComponent"`
	Instance       string            `json:"reportingInstance"`
}

// newEvent returns an Event about a Node. It refers to the Node by name, in
// place of its UID, as the kubelet's own do and `kubectl describe node` asks
// for.
func newEvent(node string, warning bool, reason, message string) event {
	kind := "Normal"
	if warning {
		kind = "Warning"
	}
	now := time.Now().UTC().Truncate(time.Second)
	return event{
		APIVersion:     "v1",
		Kind:           "Event",
		Metadata:       map[string]string{"name": node + "." + uuid.NewString()[:13], "namespace": "default"},
		InvolvedObject: map[string]string{"kind": "Node", "name": node, "uid": node},
		Reason:         reason,
		Message:        message,
		Source:         map[string]string{"component": source, "host": node},
		FirstTimestamp: now,
		LastTimestamp:  now,
		Count:          1,
		Type:           kind,
		Component:      source,
		Instance:       node,
	}
}
