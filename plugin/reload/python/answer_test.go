package python

import (
	"errors"
	"io"
	"strings"
	"testing"
)

func TestAnswersThatAreNoneAreRefused(t *testing.T) {
	paths := []string{"a.py", "b.py"}
	for _, c := range []struct {
		name, said string
		found      int
		talk       bool // errTalk, else io.EOF
	}{
		{"cut off", "1 0 3 4 bad\n1 1", 1, false},
		{"nothing", "", 0, false},
		{"another request", "2 end\n", 0, true},
		{"no number", "x end\n", 0, true},
		{"unknown file", "1 2 1 1 bad\n", 0, true},
		{"negative file", "1 -1 1 1 bad\n", 0, true},
		{"no line", "1 0 x 1 bad\n", 0, true},
		{"too few", "1 0 1\n", 0, true},
		{"more than files", "1 0 1 1 a\n1 1 1 1 b\n1 1 2 1 c\n1 end\n", 2, true},
		{"a long line", "1 0 1 1 " + strings.Repeat("x", longest) + "\n1 end\n", 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			found, err := answers(newLines(strings.NewReader(c.said)), 1, paths)
			if len(found) != c.found || errors.Is(err, errTalk) != c.talk || (!c.talk && !errors.Is(err, io.EOF)) {
				t.Errorf("found %v, %v", found, err)
			}
		})
	}
}

func FuzzAnswers(f *testing.F) {
	f.Add("1 0 3 4 invalid syntax\n1 end\n")
	f.Add("1 0 -3 -4 \xff\n1 end\n")
	f.Add("no why\n")
	f.Fuzz(func(t *testing.T, said string) {
		paths := []string{"a.py", "b.py"}
		found, err := answers(newLines(strings.NewReader(said)), 1, paths)
		if len(found) > len(paths) {
			t.Errorf("%d errors of %d files", len(found), len(paths))
		}
		for _, e := range found {
			if e.Line < 1 || e.Column < 0 || len(e.Message) > 3*longest || (e.Path != "a.py" && e.Path != "b.py") {
				t.Errorf("found %+v", e)
			}
		}
		if err == nil && !strings.Contains(said, "1 end\n") {
			t.Error("an end that was not said")
		}
	})
}
