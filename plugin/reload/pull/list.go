package pull

import "time"

const (
	magic = "kubectl-ai outputs 1"
	// Records of the global header behind a file.
	sumRecord     = "KUBECTL_AI.sha256"
	trailerRecord = "KUBECTL_AI.path"
)

// listed is a line of the list.
type listed struct {
	Path   string    `json:"path"`
	Size   int64     `json:"size"`
	Time   time.Time `json:"time"`
	Target string    `json:"target,omitempty"`
}
