//go:build linux

package status

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// screen is a terminal with a person in front of it.
type screen struct {
	t      *testing.T
	master *os.File
	tty    *os.File

	mu       sync.Mutex
	emulator *vt.Emulator
}

func newScreen(t *testing.T, width, height int) *screen {
	t.Helper()
	master, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	s := &screen{t: t, master: master, tty: tty, emulator: vt.NewEmulator(width, height)}
	s.resize(width, height)
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		var p [4096]byte
		for {
			n, err := master.Read(p[:])
			if err != nil {
				return
			}
			s.mu.Lock()
			_, _ = s.emulator.Write(p[:n])
			s.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		_ = tty.Close() // Linux ends the read of the other side with it
		_ = master.Close()
		<-shown
	})
	return s
}

func (s *screen) resize(width, height int) {
	s.t.Helper()
	if err := pty.Setsize(s.master, &pty.Winsize{Cols: uint16(width), Rows: uint16(height)}); err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.emulator.Resize(width, height)
}

// rows returns what is on the screen, without what is empty below.
func (s *screen) rows() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := strings.TrimRight(strings.ReplaceAll(s.emulator.String(), "\r", ""), "\n ")
	rows := strings.Split(text, "\n")
	for i := range rows {
		rows[i] = strings.TrimRight(rows[i], " ")
	}
	return rows
}

// sees waits until the screen shows exactly these rows.
func (s *screen) sees(want ...string) {
	s.t.Helper()
	s.until(fmt.Sprintf("%q", want), func(rows []string) bool { return strings.Join(rows, "\n") == strings.Join(want, "\n") })
}

func (s *screen) until(what string, right func(rows []string) bool) {
	s.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	deadline := time.After(10 * time.Second)
	for !right(s.rows()) {
		select {
		case <-tick.C:
		case <-deadline:
			s.t.Fatalf("the screen does not show %s, but\n%s", what, strings.Join(s.rows(), "\n"))
		}
	}
}

func (s *screen) open() *Line {
	s.t.Helper()
	l, err := Open(s.tty, s.tty, false)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(l.Close)
	return l
}

func TestTheLineStaysBelowWhatIsWritten(t *testing.T) {
	s := newScreen(t, 40, 6)
	l := s.open()
	w := l.Writer()
	l.Set("", "2/2 ranks · gen 1")
	s.sees("2/2 ranks · gen 1")
	_, _ = fmt.Fprintln(w, "first")
	s.sees("first", "2/2 ranks · gen 1")
	l.Set("paused", " · 2/2 ranks · gen 2")
	s.sees("first", "paused · 2/2 ranks · gen 2")
	for i := range 9 {
		_, _ = fmt.Fprintln(w, "line", i)
	}
	s.sees("line 4", "line 5", "line 6", "line 7", "line 8", "paused · 2/2 ranks · gen 2")
	l.Close()
	s.sees("line 4", "line 5", "line 6", "line 7", "line 8")
	_, _ = fmt.Fprintln(w, "after")
	s.sees("line 5", "line 6", "line 7", "line 8", "after")
}

func TestWhatIsWrittenCannotGarbleTheLine(t *testing.T) {
	for _, test := range []struct {
		name, written string
		rows          []string
	}{
		{"a part of a line waits for its end", "whole\npart", []string{"whole"}},
		{"a progress bar is shown as it ended", "[rank 0] x\n\r 10%|#   |\r 90%|### |\n", []string{"[rank 0] x", " 90%|### |"}},
		{"carriage return before the newline", "dos\r\n", []string{"dos"}},
		{"a long line wraps, whole", strings.Repeat("a", 25) + "\n", []string{strings.Repeat("a", 20), "aaaaa"}},
		{"a line as wide as the screen", strings.Repeat("b", 20) + "\n", []string{strings.Repeat("b", 20)}},
		{"wide characters", strings.Repeat("界", 10) + "\n", []string{strings.Repeat("界", 10)}},
		{"the cursor is not moved", "up\x1b[A\x1b[2J\x1b[10;10Hhere\b\b\x07\n", []string{"uphere"}},
		{"a title is not set", "a\x1b]0;title\x07b\x1b]8;;http://x\x1b\\c\n", []string{"abc"}},
		{"an unfinished sequence", "a\x1b[31\nb\x1b\nc\n", []string{"a", "b", "c"}},
		{"bytes that are no text", "a\xff\x9bJ\x00b\n", nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := newScreen(t, 20, 8)
			l := s.open()
			l.Set("", "the line")
			_, _ = fmt.Fprint(l.Writer(), test.written)
			if test.rows == nil {
				s.until("the line as the last of two rows", func(rows []string) bool { return len(rows) == 2 && rows[1] == "the line" })
				return
			}
			s.sees(append(test.rows, "the line")...)
		})
	}
}

func TestColoursPassAndEndWithTheirLine(t *testing.T) {
	for _, test := range []struct{ line, want string }{
		{"plain\ttext", "plain\ttext"},
		{"\x1b[1;31mred", "\x1b[1;31mred\x1b[m"},
		{"\x1b[38:5:9mred\x1b[0m", "\x1b[38:5:9mred\x1b[0m\x1b[m"},
		{"\x1b[>4;2m\x1b[?25lx", "x"}, // these end in m and l, and are no colours
		{"0%\r50%\r100%\r", "100%"},
	} {
		if got := Clean(test.line); got != test.want {
			t.Errorf("Clean(%q) is %q, want %q", test.line, got, test.want)
		}
	}
}

func TestManyWritersLoseNothing(t *testing.T) {
	s := newScreen(t, 30, 5)
	s.emulator.SetScrollbackSize(20000)
	l := s.open()
	l.Set("", "the line")
	const writers, each = 4, 3000
	var all sync.WaitGroup
	for writer := range writers {
		all.Go(func() {
			w := l.Writer()
			for i := range each {
				_, _ = fmt.Fprintf(w, "%d:%d\n", writer, i)
			}
		})
	}
	all.Wait()
	l.Close()
	s.until("everything", func(rows []string) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.emulator.ScrollbackLen()+len(rows) >= writers*each
	})
	var next [writers]int
	count := func(row string) {
		var writer, i int
		if _, err := fmt.Sscanf(row, "%d:%d", &writer, &i); err != nil || i != next[writer] {
			t.Fatalf("the row %q, want %d to be next of its writer", row, next[writer])
		}
		next[writer]++
	}
	for i := range s.emulator.ScrollbackLen() {
		count(s.emulator.Scrollback().Line(i).String())
	}
	for _, row := range s.rows() {
		count(row)
	}
	if next != [writers]int{each, each, each, each} {
		t.Errorf("lines seen: %v, want %d of each writer", next, each)
	}
}

func TestTheLineFitsAWindowThatShrinks(t *testing.T) {
	s := newScreen(t, 60, 6)
	l := s.open()
	_, _ = fmt.Fprintln(l.Writer(), "first")
	l.Set("lost rank 1", " · 1/2 ranks · gen 12 · da7a0a0cbde9")
	s.sees("first", "lost rank 1 · 1/2 ranks · gen 12 · da7a0a0cbde9")
	s.resize(24, 6)
	l.Set("lost rank 1", " · 1/2 ranks · gen 13 · da7a0a0cbde9")
	s.sees("first", "lost rank 1 · 1/2 rank…")
	s.resize(80, 6)
	l.Set("", "2/2 ranks · gen 14")
	s.sees("first", "2/2 ranks · gen 14")
}

func TestKeysComeSingleAndTheTerminalComesBack(t *testing.T) {
	s := newScreen(t, 40, 6)
	before, err := unix.IoctlGetTermios(int(s.tty.Fd()), getTermios)
	if err != nil {
		t.Fatal(err)
	}
	l := s.open()
	_, _ = s.master.WriteString("\x1b[A") // an arrow; it ends in a letter
	for pressed := time.NewTicker(20 * time.Millisecond); ; {
		select {
		case <-pressed.C: // again, as one that comes together with the arrow is left out
			_, _ = s.master.WriteString("r")
			continue
		case key := <-l.Keys():
			if key != 'r' {
				t.Errorf("key %q, want r", key)
			}
		}
		pressed.Stop()
		break
	}
	l.Set("", "the line")
	s.sees("the line") // and no r, as nothing is echoed
	l.Close()
	l.Close()
	after, err := unix.IoctlGetTermios(int(s.tty.Fd()), getTermios)
	if err != nil {
		t.Fatal(err)
	}
	if *before != *after {
		t.Errorf("the terminal was %+v and is left as %+v", before, after)
	}
}

// A read of a terminal that has its own mode back ends with a line, which
// nobody may ever type.
func TestATerminalThatWasGivenBackIsNotRead(t *testing.T) {
	s := newScreen(t, 40, 6)
	keyboard, err := openTTY(s.tty)
	if err != nil {
		t.Fatal(err)
	}
	keyboard.restore()
	read := make(chan bool, 1)
	go func() { read <- keyboard.read(&Line{keys: make(chan byte, 1)}) }()
	select {
	case got := <-read:
		if got {
			t.Error("it was read")
		}
	case <-time.After(5 * time.Second):
		_, _ = s.master.WriteString("\n")
		t.Fatal("it waits for a line")
	}
}
