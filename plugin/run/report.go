package run

import (
	"fmt"
	"strings"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
)

// Report is what a validation found: which code made which model, on which
// data it was measured, and whether that is good enough. Its JSON form is
// stable.
type Report struct {
	Passed bool `json:"passed"`
	// Refusals are why it did not pass, all of them.
	Refusals []string  `json:"refusals,omitempty"`
	Code     string    `json:"code"`            // digest of the tree
	Model    string    `json:"model,omitempty"` // digests as the code says them
	Data     string    `json:"data,omitempty"`
	Overlap  *int      `json:"overlap,omitempty"` // samples that training saw too
	Metrics  []Measure `json:"metrics"`
	When     time.Time `json:"when"`
}

// Measure is a metric beside what is wanted of it.
type Measure struct {
	Name      string  `json:"name"`
	Goal      string  `json:"goal"`
	Threshold float64 `json:"threshold"`
	Value     *Number `json:"value,omitempty"` // the last; absent: never reported
	Met       bool    `json:"met"`
}

// RefusedError says that a validation did not pass.
type RefusedError struct {
	ID     string
	Report Report
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("validation %s refuses: %s", e.ID, strings.Join(e.Report.Refusals, "; "))
}

// Judge makes the report of a validation that has ended: the last value of
// every metric that has a threshold has to meet it, and no sample may be on
// both sides of the split. What nobody said refuses.
func (r *Record) Judge(metrics []project.Metric) *Report {
	out := &Report{Code: r.CodeDigest, When: r.Finished, Metrics: []Measure{}}
	refuse := func(format string, args ...any) { out.Refusals = append(out.Refusals, fmt.Sprintf(format, args...)) }
	for _, m := range metrics {
		if m.Threshold == nil {
			continue
		}
		measure := Measure{Name: m.Name, Goal: m.Goal, Threshold: *m.Threshold}
		word := "at least"
		if m.Goal == project.Minimize {
			word = "at most"
		}
		if found := r.Metric(m.Name); found == nil {
			refuse("%s was never reported; %s %g is wanted", m.Name, word, *m.Threshold)
		} else {
			measure.Value = &found.Last
			if measure.Met = m.Meets(float64(found.Last)); !measure.Met {
				refuse("%s is %s; %s %g is wanted", m.Name, found.Last, word, *m.Threshold)
			}
		}
		out.Metrics = append(out.Metrics, measure)
	}
	if v := r.Validation; v == nil {
		refuse(`the code never said which model it measured on which data ({"validation": {"model": …, "data": …, "overlap": 0}})`)
	} else {
		out.Model, out.Data, out.Overlap = v.Model, v.Data, &v.Overlap
		if v.Overlap == 1 {
			refuse("1 sample is in the training data too")
		} else if v.Overlap > 1 {
			refuse("%d samples are in the training data too", v.Overlap)
		}
	}
	if len(out.Refusals) > 0 && r.Malformed != nil {
		refuse("%d lines that were meant to report cannot be read, the first: %s", r.Malformed.Lines, r.Malformed.First)
	}
	if r.Phase != apply.Complete {
		refuse("the run did not end well: %s", strings.TrimPrefix(string(r.Phase)+": "+r.Reason, ": "))
	}
	out.Passed = len(out.Refusals) == 0
	return out
}
