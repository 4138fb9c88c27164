package status

import (
	"bytes"
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"github.com/charmbracelet/x/ansi"
	"golang.org/x/term"
)

// ErrUnfit says that a status line cannot be kept here: the system's terminals
// are not known to this package, or another process has the terminal.
var ErrUnfit = errors.New("no status line on this terminal")

const (
	// between is the least time from one redraw to the next. What is written
	// meanwhile is drawn at once then, however many lines it is.
	between = 50 * time.Millisecond
	// maxPending is how many bytes wait to be drawn before writers wait: a
	// terminal that was halted with Ctrl-S must not fill the memory.
	maxPending = 1 << 20
	// maxPart bounds a line that does not end.
	maxPart = 64 << 10
)

// Line is the status line of a terminal. It is safe for concurrent use.
type Line struct {
	out   *os.File
	plain bool // neither dim nor bold
	keys  chan byte

	wake    chan struct{} // something is to be drawn
	stop    chan struct{}
	stopped sync.WaitGroup
	once    sync.Once
	tty     *tty

	mu      sync.Mutex
	room    *sync.Cond // pending was taken
	pending []byte     // whole lines
	strong  string
	text    string
	closed  bool

	drawing sync.Mutex // held while out is written to
	shown   bool       // the line is on the screen; under drawing
}

// Open takes over a terminal that in reads and out writes. Plain leaves out
// dim and bold. It returns ErrUnfit, and then has changed nothing.
func Open(in, out *os.File, plain bool) (*Line, error) {
	l := &Line{out: out, plain: plain, keys: make(chan byte, 8), wake: make(chan struct{}, 1), stop: make(chan struct{})}
	l.room = sync.NewCond(&l.mu)
	var err error
	if l.tty, err = openTTY(in); err != nil {
		return nil, err
	}
	open.Store(l, nil)
	l.stopped.Go(l.draws)
	l.stopped.Go(func() { l.tty.serve(l) })
	return l, nil
}

// open are the lines that hold a terminal.
var open sync.Map

// Abandon gives all terminals back, for a process that ends at once.
func Abandon() {
	open.Range(func(l, _ any) bool {
		l.(*Line).tty.restore()
		return true
	})
}

// Keys delivers keys that were pressed, one byte each. What came in one piece,
// as arrows and pasted text do, is left out; so is what nobody takes.
func (l *Line) Keys() <-chan byte { return l.keys }

// Set changes what the line says: strong first, which stands out, then text.
func (l *Line) Set(strong, text string) {
	l.mu.Lock()
	l.strong, l.text = strong, text
	l.mu.Unlock()
	l.redraw()
}

// Close takes the line away and gives the terminal back. What is written later
// goes straight to the terminal. It may be called again.
func (l *Line) Close() {
	l.once.Do(func() {
		l.mu.Lock()
		l.closed = true
		l.room.Broadcast()
		l.mu.Unlock()
		l.tty.restore()
		open.Delete(l)
		close(l.stop)
		_ = l.draw()
	})
	l.stopped.Wait()
}

// Writer returns a writer whose lines appear above the status line. A line
// that has not ended yet waits for its end. It is safe for concurrent use.
func (l *Line) Writer() io.Writer { return &above{line: l} }

type above struct {
	line *Line
	mu   sync.Mutex
	part []byte
}

func (a *above) Write(p []byte) (int, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	whole := append(a.part, p...)
	end := bytes.LastIndexByte(whole, '\n') + 1
	if end == 0 && len(whole) > maxPart {
		whole = append(whole, '\n')
		end = len(whole)
	}
	a.part = append([]byte(nil), whole[end:]...)
	if end > 0 {
		return len(p), a.line.add(cleanLines(whole[:end]))
	}
	return len(p), nil
}

func (l *Line) add(lines []byte) error {
	l.mu.Lock()
	for len(l.pending) > maxPending && !l.closed {
		l.room.Wait()
	}
	l.pending = append(l.pending, lines...)
	closed := l.closed
	l.mu.Unlock()
	if closed {
		return l.draw()
	}
	l.redraw()
	return nil
}

// redraw asks for a draw.
func (l *Line) redraw() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *Line) draws() {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-pause.C:
		}
		select {
		case <-l.stop:
			return
		case <-l.wake:
		}
		_ = l.draw() // a terminal that is gone takes the process with it
		pause.Reset(between)
	}
}

// draw writes what is pending and the line below it, in one piece.
func (l *Line) draw() error {
	l.drawing.Lock()
	defer l.drawing.Unlock()
	l.mu.Lock()
	lines, strong, text, closed := l.pending, l.strong, l.text, l.closed
	l.pending = nil
	l.room.Broadcast()
	l.mu.Unlock()
	var b bytes.Buffer
	if l.shown {
		b.WriteString("\r" + ansi.EraseScreenBelow)
	}
	b.Write(lines)
	l.shown = !closed && l.tty.ours()
	if l.shown {
		width, _, err := term.GetSize(int(l.out.Fd()))
		if err != nil || width <= 0 {
			width = 80
		}
		b.WriteString(l.fit(strong, text, width-1) + "\r")
	}
	_, err := l.out.Write(b.Bytes())
	return err
}

// fit returns the line for a width in cells, with its styles.
func (l *Line) fit(strong, text string, width int) string {
	strong = ansi.Truncate(Clean(strong), width, "…")
	text = ansi.Truncate(Clean(text), max(0, width-ansi.StringWidth(strong)), "…")
	if l.plain {
		return strong + text
	}
	style := func(s string, attribute ansi.Attr) string {
		if s == "" {
			return ""
		}
		return ansi.SGR(attribute) + s + ansi.ResetStyle
	}
	return style(strong, ansi.AttrBold) + style(text, ansi.AttrFaint)
}

// without calls do with the line off the screen; nothing is written meanwhile.
func (l *Line) without(do func()) {
	l.drawing.Lock()
	defer l.drawing.Unlock()
	if l.shown {
		_, _ = l.out.WriteString("\r" + ansi.EraseScreenBelow)
	}
	l.shown = false
	do()
}
