package metric

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
)

// Words are what one line says. A line may say several things at once; what it
// does not say is nil.
//
//	{"data": {"splits": {"train": {"count": 900, "digest": "sha256:…"}}, "accepted": 1200, "refused": {"missing label": 3}}}
//	{"model": {"digest": "sha256:…", "data": "sha256:…", "bytes": 12345}}
//	{"validation": {"model": "sha256:…", "data": "sha256:…", "overlap": 0}}
type Words struct {
	Report     *Report
	Data       *Data
	Model      *Model
	Validation *Validation
}

// Data is what a stage made of the samples it was given.
type Data struct {
	Splits   map[string]Split `json:"splits,omitempty"`
	Accepted int              `json:"accepted"`
	Refused  map[string]int   `json:"refused,omitempty"` // by reason
}

// Split is one part of the samples. Its digest is the SHA-256 over the sorted
// hexadecimal SHA-256 of its samples' canonical JSON, one a line.
type Split struct {
	Count  int    `json:"count"`
	Digest string `json:"digest"`
}

// Model is what a training made.
type Model struct {
	Digest string `json:"digest"`
	Data   string `json:"data,omitempty"` // digest of the split it was trained on
	Bytes  int64  `json:"bytes,omitempty"`
}

// Validation is what a model was measured on.
type Validation struct {
	Model string `json:"model"` // digest
	Data  string `json:"data"`  // digest of the held-out split
	// Overlap is how many of its samples are in the training data too.
	Overlap int `json:"overlap"`
}

// Read reads a line with all that it may say. It returns ErrTalk, or a
// *MalformedError for a line that was meant to say something and does not.
func Read(line []byte) (Words, error) {
	var w Words
	report, err := Parse(line)
	switch {
	case err == nil:
		w.Report = &report
	case !errors.Is(err, ErrTalk):
		return Words{}, err
	}
	line = bytes.TrimSpace(line)
	if len(line) > 0 && line[0] == '{' && slices.ContainsFunc(keys, func(k string) bool { return bytes.Contains(line, []byte(`"`+k+`"`)) }) {
		if err := w.read(line); err != nil {
			return Words{}, &MalformedError{err}
		}
	}
	if w == (Words{}) {
		return w, ErrTalk
	}
	return w, nil
}

// keys are those of the lines beside metrics.
var keys = []string{"data", "model", "validation"}

// read fills in what an object has under the keys. Programs that log JSON use
// the same words for other things, so what is no object is talk, and so is one
// that has none of the fields.
func (w *Words) read(line []byte) error {
	var top map[string]json.RawMessage
	if err := json.Unmarshal(quote(line), &top); err != nil {
		return err
	}
	var data Data
	var model Model
	var validation struct {
		Validation
		Overlap *int `json:"overlap"`
	}
	for _, part := range []struct {
		key    string
		into   any
		fields []string
		take   func() error
	}{
		{"data", &data, []string{"splits", "accepted", "refused"}, func() error { w.Data = &data; return data.check() }},
		{"model", &model, []string{"digest"}, func() error { w.Model = &model; return check("model.digest", model.Digest, model.Data) }},
		{"validation", &validation, []string{"overlap"}, func() error {
			if validation.Overlap == nil || *validation.Overlap < 0 {
				return errors.New("validation.overlap is no number of samples")
			}
			validation.Validation.Overlap = *validation.Overlap
			w.Validation = &validation.Validation
			if validation.Model == "" && validation.Data == "" {
				return nil // splits are compared before a model is judged
			}
			return check("validation.model", validation.Model, validation.Data)
		}},
	} {
		var fields map[string]json.RawMessage
		if json.Unmarshal(top[part.key], &fields) != nil || !slices.ContainsFunc(part.fields, func(f string) bool { return fields[f] != nil }) {
			continue
		}
		if err := json.Unmarshal(top[part.key], part.into); err != nil {
			return fmt.Errorf("%s: %w", part.key, err)
		}
		if err := part.take(); err != nil {
			return err
		}
	}
	return nil
}

func (d Data) check() error {
	if d.Accepted < 0 {
		return fmt.Errorf("data.accepted %d: less than nothing", d.Accepted)
	}
	for _, name := range slices.Sorted(maps.Keys(d.Splits)) {
		s := d.Splits[name]
		if s.Count < 0 {
			return fmt.Errorf("data.splits.%s.count %d: less than nothing", name, s.Count)
		}
		if err := check("data.splits."+name+".digest", s.Digest); err != nil {
			return err
		}
	}
	return nil
}

var digest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// check wants the first to be a digest, and the others too where they are given.
func check(name string, digests ...string) error {
	for i, d := range digests {
		if (i == 0 || d != "") && !digest.MatchString(d) {
			return fmt.Errorf("%s: %.80q is no digest such as sha256:9c1f…", name, d)
		}
	}
	return nil
}
