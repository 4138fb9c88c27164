package term

import (
	"strings"
	"testing"

	"github.com/charmbracelet/x/vt"
)

// screen is what a terminal shows, without blanks at the ends of rows.
func screen(e *vt.Emulator) []string {
	var rows []string
	for y := range e.Height() {
		row := ""
		for x := range e.Width() {
			cell := e.CellAt(x, y)
			if cell == nil || cell.Content == "" {
				row += " "
				continue
			}
			row += cell.Content
		}
		rows = append(rows, strings.TrimRight(row, " "))
	}
	return rows
}

func TestABlockIsDrawnOverItself(t *testing.T) {
	emulator := vt.NewEmulator(20, 6)
	b := &Block{out: emulator, size: func() (int, int) { return 20, 6 }}
	for _, test := range []struct {
		name  string
		lines []string
		want  string
	}{
		{"the first time", []string{"one", "two", "three"}, "one|two|three|||"},
		{"with fewer lines", []string{"four"}, "four|||||"},
		{"with a line that is too wide", []string{"0123456789012345678901234", "end"}, "0123456789012345678…|end||||"},
		{"with more lines than rows", strings.Split("a b c d e f g h", " "), "a|b|c|d|…|"},
		{"and back", []string{"x", "y"}, "x|y||||"},
	} {
		if err := b.Draw(test.lines); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(screen(emulator), "|"); got != test.want {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

// A terminal that is made narrower wraps what it shows: as many rows go as that
// takes, and nothing above them.
func TestABlockKnowsHowManyRowsItTakesAfterAResize(t *testing.T) {
	var out strings.Builder
	width := 20
	b := &Block{out: &out, size: func() (int, int) { return width, 24 }}
	_ = b.Draw([]string{strings.Repeat("x", 20), "short"})
	out.Reset()
	width = 8
	_ = b.Draw([]string{"now"})
	if !strings.HasPrefix(out.String(), "\r\x1b[4A\x1b[J") { // 3 rows and 1
		t.Errorf("%q", out.String())
	}
}
