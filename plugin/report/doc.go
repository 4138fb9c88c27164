// Package report puts what several others know into one archive that somebody
// can attach to a bug report.
//
// It asks all parts at once. A part that fails, or does not answer in time, is
// a line of the report and holds nobody back. Everything is read before
// anything is written: a secret that one part finds is then hidden in all of
// them. So the report is held in memory, which is why it is bounded: a file, a
// part and the whole have limits, and what is cut is said.
//
// Invariants:
//   - Nothing is written that the masker has not seen.
//   - The archive is there whole or not at all, and never replaces a file.
package report

import (
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/redact"
)

// APIVersion and Kind are those of a Manifest as JSON.
const (
	APIVersion = "kubectl-ai.dev/v1alpha1"
	Kind       = "SupportReport"
)

// Bounds in bytes. Chosen: issue trackers take attachments of 25 MB.
const (
	FileLimit = 1 << 20   // of a file
	TailLimit = 256 << 10 // of the end of a log
	PartLimit = 6 << 20   // of the files of a part
	Limit     = 20 << 20  // of all files
)

// Manifest says what a report has and what it has not. Its JSON form is stable.
type Manifest struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Created    time.Time      `json:"created"`
	Version    string         `json:"version"` // of kubectl-ai
	File       string         `json:"file"`    // "" where none was written
	Context    string         `json:"context"`
	Namespace  string         `json:"namespace"`
	Run        string         `json:"run,omitempty"` // that it is about; "": all
	Files      []File         `json:"files"`
	Missing    []Missing      `json:"missing"`
	Masked     map[string]int `json:"masked"` // values, by the rule that found them
}

// File is a file of the archive.
type File struct {
	Name    string `json:"name"`
	Bytes   int    `json:"bytes"`
	Cut     bool   `json:"cut,omitempty"` // it was longer
	content string
}

// Missing is what could not be collected.
type Missing struct {
	Part   string `json:"part"`
	Reason string `json:"reason"`
}

// Report is what was collected. It is not fit to be shown before Redact.
type Report struct {
	Files   []File
	Missing []Missing
}

// Redact masks all files and reasons. What the last of them tells of secrets
// is hidden in the first one too.
func (r *Report) Redact(m *redact.Masker) {
	for _, f := range r.Files {
		_ = m.Text(f.content) // to learn
	}
	for i := range r.Files {
		f := &r.Files[i]
		f.content = m.Text(f.content)
		f.Bytes = len(f.content)
	}
	for i := range r.Missing {
		r.Missing[i].Reason = m.Text(r.Missing[i].Reason)
	}
}
