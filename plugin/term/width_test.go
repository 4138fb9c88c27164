package term

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/charmbracelet/x/ansi"
)

func TestRowsAreCutOnATerminal(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	w := Cut(&out, 12)
	for _, part := range []string{"short\nmuch lon", "ger than twelve\n\x1b[31mred and too long\x1b[0m\n", "no end that is long"} {
		if n, err := fmt.Fprint(w, part); err != nil || n != len(part) {
			t.Fatalf("%d, %v", n, err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(out.String(), "\n")
	if lines[0] != "short" || lines[1] != "much longer…" || lines[3] != "no end that…" {
		t.Errorf("%q", lines)
	}
	if plain := ansi.Strip(lines[2]); utf8.RuneCountInString(plain) != 12 || !strings.HasSuffix(lines[2], "\x1b[0m") {
		t.Errorf("the colour goes on: %q", lines[2])
	}
	out.Reset()
	_, _ = fmt.Fprint(Cut(&out, 0), "as long as it is, for a pipe")
	if out.String() != "as long as it is, for a pipe" || Width(&out) != 0 {
		t.Errorf("%q", out.String())
	}
}
