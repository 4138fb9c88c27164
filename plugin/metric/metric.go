// Package metric is the contract by which code says how good it is: a line of
// JSON on standard output, an object with the key metrics.
//
//	{"metrics": [{"name": "accuracy", "value": 0.97}], "progressPercentage": 80}
//
// It is the body that a Kubeflow TrainJob's script posts as its status
// (KEP-2779), so the object may also be under trainerStatus, and values may be
// strings. A line needs no library to write and stays in the log of a pod that
// is done. What is not such a line is talk. Python writes NaN and Infinity
// into JSON, where they are no numbers; they are read as what they mean.
package metric

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// Value is what a metric is at one moment; it may be NaN.
type Value struct {
	Name  string
	Value float64
}

// Report is one line.
type Report struct {
	Metrics []Value
	// Progress is how much is done, in percent; NaN: the line does not say.
	Progress float64
	// Remaining is how many seconds are to come; negative: nobody knows.
	Remaining int
}

// ErrTalk says that a line is none of the contract's.
var ErrTalk = errors.New("no line of metrics")

// MalformedError says that a line was meant to hold metrics and does not.
type MalformedError struct{ Err error }

func (e *MalformedError) Error() string { return fmt.Sprintf("a line of metrics: %v", e.Err) }
func (e *MalformedError) Unwrap() error { return e.Err }

type status struct {
	Metrics *[]struct {
		Name  string `json:"name"`
		Value number `json:"value"`
	} `json:"metrics"`
	Progress  *number `json:"progressPercentage"`
	Remaining *number `json:"estimatedRemainingSeconds"`
}

// number is a JSON number, or a string that holds one.
type number float64

// UnmarshalJSON implements json.Unmarshaler.
func (n *number) UnmarshalJSON(raw []byte) error {
	f, err := strconv.ParseFloat(strings.Trim(string(raw), `"`), 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) { // too large is infinite
		return fmt.Errorf("%s is no number", raw)
	}
	*n = number(f)
	return nil
}

// Parse reads a line. It returns ErrTalk, or a *MalformedError.
func Parse(line []byte) (Report, error) {
	line = bytes.TrimSpace(line)
	if len(line) == 0 || line[0] != '{' || !bytes.Contains(line, []byte(`"metrics"`)) {
		return Report{}, ErrTalk
	}
	var body struct {
		status
		Trainer *status `json:"trainerStatus"`
	}
	if err := json.Unmarshal(quote(line), &body); err != nil {
		return Report{}, &MalformedError{err}
	}
	s := body.status
	if body.Trainer != nil {
		s = *body.Trainer
	}
	if s.Metrics == nil {
		return Report{}, ErrTalk // the word was in some other place
	}
	r := Report{Progress: math.NaN(), Remaining: -1}
	for _, m := range *s.Metrics {
		if m.Name == "" {
			return Report{}, &MalformedError{errors.New("a metric without a name")}
		}
		r.Metrics = append(r.Metrics, Value{m.Name, float64(m.Value)})
	}
	if s.Progress != nil {
		r.Progress = float64(*s.Progress)
	}
	if s.Remaining != nil && *s.Remaining >= 0 && *s.Remaining < math.MaxInt32 {
		r.Remaining = int(*s.Remaining)
	}
	return r, nil
}

// quote puts quotation marks around NaN and Infinity outside of strings.
func quote(line []byte) []byte {
	if !bytes.Contains(line, []byte("NaN")) && !bytes.Contains(line, []byte("Infinity")) {
		return line
	}
	var out []byte
	inside := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case inside && c == '\\' && i+1 < len(line):
			out = append(out, c, line[i+1])
			i++
			continue
		case c == '"':
			inside = !inside
		case !inside:
			if word := special(line[i:]); word != "" {
				out = append(append(append(out, '"'), word...), '"')
				i += len(word) - 1
				continue
			}
		}
		out = append(out, line[i])
	}
	return out
}

func special(rest []byte) string {
	for _, word := range []string{"NaN", "-Infinity", "Infinity"} {
		if bytes.HasPrefix(rest, []byte(word)) {
			return word
		}
	}
	return ""
}
