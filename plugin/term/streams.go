// Package term is the one place that writes to the user: streams and what is
// known of them, questions, and the progress of long operations. stdout is
// data, stderr is talk; nothing outside this package decides how talk looks.
package term

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

// ErrNoTerminal is returned for a question that nobody is there to answer.
var ErrNoTerminal = errors.New("stdin is not a terminal, so nobody can answer")

// ErrDeclined is returned when the user answered no.
var ErrDeclined = errors.New("declined")

// Streams are a command's standard streams.
type Streams struct {
	genericiooptions.IOStreams
	// Events makes talk JSON lines (Event) in place of words.
	Events bool
	// Called is how the user called this program.
	Called Called
}

// System returns the streams of this process.
func System() Streams {
	return Streams{IOStreams: genericiooptions.IOStreams{In: os.Stdin, Out: os.Stdout, ErrOut: os.Stderr}}
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// IsTerminal says whether talk is read by a person on a terminal that can
// redraw a line.
func (s Streams) IsTerminal() bool {
	return !s.Events && isTerminal(s.ErrOut) && os.Getenv("TERM") != "dumb"
}

// InTerminal says whether somebody can answer a question.
func (s Streams) InTerminal() bool { return isTerminal(s.In) }

// Terminal returns where keys come from and where lines go, when one terminal
// that can redraw a line is all of stdin, stdout and stderr.
func (s Streams) Terminal() (in, out *os.File, ok bool) {
	if !s.InTerminal() || !isTerminal(s.Out) || !s.IsTerminal() {
		return nil, nil, false
	}
	in, stdout, out := s.In.(*os.File), s.Out.(*os.File), s.ErrOut.(*os.File)
	a, errA := stdout.Stat()
	b, errB := out.Stat()
	return in, out, errA == nil && errB == nil && os.SameFile(a, b)
}

// Color says whether talk may use colour (https://no-color.org).
func (s Streams) Color() bool { return s.IsTerminal() && os.Getenv("NO_COLOR") == "" }

// Colors says whether data may use colour where it is written to.
func (s Streams) Colors(w io.Writer) bool {
	return isTerminal(w) && os.Getenv("TERM") != "dumb" && os.Getenv("NO_COLOR") == ""
}

// Talk writes a line for people to stderr.
func (s Streams) Talk(format string, args ...any) {
	if s.Events {
		s.Emit(Event{Kind: "Note", Message: strings.TrimSpace(fmt.Sprintf(format, args...))})
		return
	}
	_, _ = fmt.Fprintf(s.Voice(), format+"\n", args...)
}

// Confirm asks a yes/no question and returns nil on yes, ErrDeclined on no
// and ErrNoTerminal where nobody can answer. The default is no.
func (s Streams) Confirm(ctx context.Context, question string) error {
	answer, err := s.Ask(ctx, question+" [y/N] ")
	if err != nil {
		return err
	}
	switch strings.ToLower(answer) {
	case "y", "yes":
		return nil
	}
	return ErrDeclined
}

// Ask prints a prompt and returns the line that was typed after it, without
// blanks around it: what was typed before answered a question that nobody had
// read. It returns ErrNoTerminal where nobody can type and the cause of
// ctx when that ends first.
func (s Streams) Ask(ctx context.Context, prompt string) (string, error) {
	if !s.InTerminal() {
		return "", ErrNoTerminal
	}
	drain(s.In.(*os.File))
	_, _ = fmt.Fprint(s.ErrOut, prompt)
	type reply struct {
		line string
		err  error
	}
	// The reader outlives a cancelled question: a read of a terminal cannot be
	// interrupted, and the process is about to end then.
	replies := make(chan reply, 1)
	go func() {
		line, err := bufio.NewReader(s.In).ReadString('\n')
		replies <- reply{line, err}
	}()
	select {
	case r := <-replies:
		if r.err != nil && !errors.Is(r.err, io.EOF) {
			return "", fmt.Errorf("read the answer: %w", r.err)
		}
		return strings.TrimSpace(r.line), nil
	case <-ctx.Done():
		_, _ = fmt.Fprintln(s.ErrOut)
		return "", context.Cause(ctx)
	}
}
