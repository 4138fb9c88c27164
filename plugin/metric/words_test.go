package metric

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

var some = "sha256:" + strings.Repeat("ab", 32)

func TestReadALine(t *testing.T) {
	for _, c := range []struct {
		name, line string
		want       Words
		talk       bool
		malformed  string
	}{
		{name: "metrics", line: `{"metrics": [{"name": "a", "value": 1}]}`, want: Words{Report: &Report{Metrics: []Value{{"a", 1}}, Progress: math.NaN(), Remaining: -1}}},
		{
			name: "data", line: `{"data": {"splits": {"train": {"count": 9, "digest": "` + some + `"}}, "accepted": 12, "refused": {"missing label": 3}}}`,
			want: Words{Data: &Data{Splits: map[string]Split{"train": {9, some}}, Accepted: 12, Refused: map[string]int{"missing label": 3}}},
		},
		{name: "a model", line: `{"model": {"digest": "` + some + `", "bytes": 12}}`, want: Words{Model: &Model{Digest: some, Bytes: 12}}},
		{name: "a validation", line: `{"validation": {"model": "` + some + `", "data": "` + some + `", "overlap": 1}}`, want: Words{Validation: &Validation{some, some, 1}}},
		{
			name: "two at once", line: `{"validation": {"model": "` + some + `", "overlap": 0}, "metrics": []}`,
			want: Words{Report: &Report{Progress: math.NaN(), Remaining: -1}, Validation: &Validation{Model: some}},
		},
		{name: "talk", line: "model: loaded", talk: true},
		{name: "a log in JSON", line: `{"model": "resnet", "data": [1, 2], "validation": true}`, talk: true},
		{name: "another object of that name", line: `{"model": {"layers": 3}}`, talk: true},
		{name: "cut", line: `{"model": {"digest": "`, malformed: "unexpected end"},
		{name: "no digest", line: `{"model": {"digest": "latest"}}`, malformed: `model.digest: "latest"`},
		{name: "less than nothing", line: `{"data": {"accepted": -1}}`, malformed: "data.accepted -1"},
		{name: "a split that is none", line: `{"data": {"splits": {"train": {"count": 1}}}}`, malformed: "data.splits.train.digest"},
		{name: "an overlap before there is a model", line: `{"validation": {"samples": {"train": 3}, "overlap": 2, "first": ["00"]}}`, want: Words{Validation: &Validation{Overlap: 2}}},
		{name: "an overlap that is none", line: `{"validation": {"model": "` + some + `", "overlap": NaN}}`, malformed: "validation"},
		{name: "an overlap below nothing", line: `{"validation": {"model": "` + some + `", "overlap": -1}}`, malformed: "validation.overlap"},
		{name: "good words beside bad metrics", line: `{"model": {"digest": "` + some + `"}, "metrics": 1}`, malformed: "metrics"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Read([]byte(c.line))
			var malformed *MalformedError
			if errors.Is(err, ErrTalk) != c.talk || errors.As(err, &malformed) != (c.malformed != "") || c.malformed != "" && !strings.Contains(err.Error(), c.malformed) {
				t.Fatalf("err = %v", err)
			}
			if diff := cmp.Diff(c.want, got, cmpopts.EquateNaNs()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(`{"data": {"splits": {"a": {"count": 1, "digest": "` + some + `"}}, "accepted": 1, "refused": {"x": 1}}, "metrics": []}`))
	f.Add([]byte(`{"model": {"digest": "` + some + `"}, "validation": {"model": "` + some + `", "overlap": 1e99}}`))
	f.Add([]byte(`{"validation": null, "model": NaN, "data": {}}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		w, err := Read(line)
		if (err == nil) == (w == Words{}) {
			t.Errorf("%+v and %v", w, err)
		}
		if w.Validation != nil && w.Validation.Overlap < 0 {
			t.Error("an overlap below nothing")
		}
	})
}
