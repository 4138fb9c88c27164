package term_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ai/kubectl-ai/plugin/term"
)

// answering is a person who types when he has read a question.
type answering struct {
	bytes.Buffer
	answer func()
}

func (a *answering) Write(b []byte) (int, error) {
	if strings.Contains(string(b), "[y/N]") {
		a.answer()
	}
	return a.Buffer.Write(b)
}

func TestWhatWasTypedBeforeAQuestionIsNoAnswer(t *testing.T) {
	keyboard, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = keyboard.Close(); _ = tty.Close() }()
	types := func(s string) {
		if _, err := keyboard.WriteString(s); err != nil {
			t.Error(err)
		}
	}
	person := &answering{answer: func() { types("n\n") }}
	streams := term.Streams{IOStreams: genericiooptions.IOStreams{In: tty, Out: person, ErrOut: person}}
	types("y\ny\n") // ahead
	for waiting := 0; waiting == 0; {
		if waiting, err = unix.IoctlGetInt(int(tty.Fd()), unix.TIOCINQ); err != nil {
			t.Fatal(err)
		}
	}
	if err := streams.Confirm(t.Context(), "Delete it?"); !errors.Is(err, term.ErrDeclined) {
		t.Errorf("err = %v: what was typed ahead answered", err)
	}
	person.answer = func() { types("y\n") }
	if err := streams.Confirm(t.Context(), "Delete it?"); err != nil {
		t.Errorf("err = %v", err)
	}
}
