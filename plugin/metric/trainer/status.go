package trainer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"
	"unicode/utf8"
)

// Bounds of Trainer's API (pkg/apis/trainer/v1alpha1, TrainerStatus).
const (
	maxMetrics = 256
	maxWord    = 64 // characters of a metric's name, or of its value
)

// maxLine bounds a line that is kept, in bytes: a reader of logs takes one of
// 64 KiB (package run).
const maxLine = 48 << 10

// status is what is posted under trainerStatus. Its Go types are Trainer's, so
// that what is refused there is refused here.
type status struct {
	Progress  *int32     `json:"progressPercentage,omitempty"`
	Remaining *int32     `json:"estimatedRemainingSeconds,omitempty"`
	Metrics   []measure  `json:"metrics"` // a line without the word is talk
	Updated   *time.Time `json:"lastUpdatedTime,omitempty"`
}

type measure struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// request is the body of a post, and a line that is kept.
type request struct {
	Status *status `json:"trainerStatus"`
}

// read reads what is posted. A request without a status is nil: it asks for
// nothing. Everything else that is no status is an error that says why.
func read(body io.Reader) (*status, error) {
	var r request
	decoder := json.NewDecoder(body)
	if err := decoder.Decode(&r); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		if err == nil {
			err = errors.New("more than one object")
		}
		return nil, err
	}
	if r.Status == nil {
		return nil, nil
	}
	return r.Status, r.Status.check()
}

func (s *status) check() error {
	if p := s.Progress; p != nil && (*p < 0 || *p > 100) {
		return fmt.Errorf("progressPercentage %d: 0 to 100, please", *p)
	}
	if left := s.Remaining; left != nil && *left < 0 {
		return fmt.Errorf("estimatedRemainingSeconds %d: 0 or more, please", *left)
	}
	if len(s.Metrics) > maxMetrics {
		return fmt.Errorf("%d metrics: %d at most, please", len(s.Metrics), maxMetrics)
	}
	for _, m := range s.Metrics {
		if n := utf8.RuneCountInString(m.Name); n < 1 || n > maxWord {
			return fmt.Errorf("the name of a metric has %d characters: 1 to %d, please", n, maxWord)
		}
		if n := utf8.RuneCountInString(m.Value); n < 1 || n > maxWord {
			return fmt.Errorf("the value of metric %q has %d characters: 1 to %d, please", m.Name, n, maxWord)
		}
		// Trainer takes any word. Gates compare numbers, and whoever posts is
		// here to be told.
		if f, err := strconv.ParseFloat(m.Value, 64); err != nil && !math.IsInf(f, 0) {
			return fmt.Errorf("metric %q: %q is no number", m.Name, m.Value)
		}
	}
	return nil
}

// line is a status as a line of metrics, without its end.
func (s *status) line() ([]byte, error) {
	kept := *s
	if kept.Metrics == nil {
		kept.Metrics = []measure{}
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(request{&kept}); err != nil {
		return nil, err
	}
	line := bytes.TrimRight(out.Bytes(), "\n")
	if len(line) > maxLine {
		return nil, fmt.Errorf("%d bytes: %d at most, please", len(line), maxLine)
	}
	return line, nil
}
