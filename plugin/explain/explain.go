// Package explain turns an error into what the user needs: a stable ID, the
// cause in a line, the command that helps next, and the exit code. Domain
// packages return typed errors and know nothing of this catalogue; every
// area of the tool has its entries in a file of its own here.
package explain

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/plugin/term"
)

// Exit codes of every command. They are a contract: kubectl passes a plugin's
// exit status through.
const (
	ExitFailed       = 1   // the work was tried and failed
	ExitUsage        = 2   // the command line or a file it names is wrong
	ExitPrecondition = 3   // something that must be there first is not
	ExitPermission   = 4   // the cluster does not permit it
	ExitGate         = 5   // a gate refused, or --exit-code found a difference
	ExitTimeout      = 124 // --timeout ran out
	ExitInterrupted  = 130 // Ctrl-C
)

// Entry is one known error. Match decides by errors.Is or errors.As, never by
// text. The functions may be nil.
type Entry struct {
	ID    string
	Exit  int
	Match func(error) bool
	Cause func(error) string
	Next  func(error) string
	Long  string
}

// UsageError is a mistake on the command line.
type UsageError struct{ Err error }

func (e *UsageError) Error() string { return e.Err.Error() }
func (e *UsageError) Unwrap() error { return e.Err }

// Usagef makes a UsageError.
func Usagef(format string, args ...any) error {
	return &UsageError{fmt.Errorf(format, args...)}
}

// Interrupted is the cause of a context that Ctrl-C ended.
var Interrupted = errors.New("interrupted")

// Is returns a Match for a sentinel.
func Is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

// As returns a Match for an error type.
func As[T error]() func(error) bool {
	return func(err error) bool {
		var target T
		return errors.As(err, &target)
	}
}

// Text returns a Cause or Next that does not depend on the error.
func Text(s string) func(error) string { return func(error) string { return s } }

// From returns a Cause or Next made from the error's own type.
func From[T error](f func(T) string) func(error) string {
	return func(err error) string {
		var target T
		if !errors.As(err, &target) {
			return ""
		}
		return f(target)
	}
}

// Catalogue returns every entry, the more specific areas first.
func Catalogue() []Entry { return slices.Concat(catalogues...) }

// Find returns the first entry that matches, or the one for unknown errors.
func Find(err error) Entry {
	for _, e := range Catalogue() {
		if e.Match(err) {
			return e
		}
	}
	return Entry{ID: "", Exit: ExitFailed}
}

// ByID returns the entry with that ID.
func ByID(id string) (Entry, bool) {
	for _, e := range Catalogue() {
		if strings.EqualFold(e.ID, id) {
			return e, true
		}
	}
	return Entry{}, false
}

// ToldError is an error that the user was told already.
type ToldError struct{ Err error }

func (e *ToldError) Error() string { return e.Err.Error() }
func (e *ToldError) Unwrap() error { return e.Err }

// Tell reports an error as a line of --events json, and returns it so that it
// is not printed again.
func Tell(s term.Streams, err error) error {
	if err == nil || errors.Is(err, Interrupted) || errors.Is(err, context.Canceled) {
		return err
	}
	e := Find(err)
	event := term.Event{Kind: "Failed", ID: e.ID, Message: err.Error(), ExitCode: e.Exit}
	if e.Cause != nil {
		event.Cause = e.Cause(err)
	}
	if e.Next != nil {
		event.Next = e.Next(err)
	}
	s.Emit(event)
	return &ToldError{err}
}

// Print writes an error as the user sees it, once, and returns the exit code.
func Print(w io.Writer, err error) int {
	if err == nil {
		return 0
	}
	if errors.Is(err, Interrupted) || errors.Is(err, context.Canceled) {
		_, _ = fmt.Fprintln(w, "interrupted")
		return ExitInterrupted
	}
	e := Find(err)
	var told *ToldError
	if errors.As(err, &told) {
		return e.Exit
	}
	head := "error"
	if e.ID != "" {
		head = "error[" + e.ID + "]"
	}
	_, _ = fmt.Fprintf(w, "%s: %s\n", head, strings.TrimRight(err.Error(), "\n"))
	line := func(label string, f func(error) string) {
		if f == nil {
			return
		}
		if s := f(err); s != "" {
			_, _ = fmt.Fprintf(w, "  %s %s\n", label, strings.ReplaceAll(s, "\n", "\n         "))
		}
	}
	line("cause:", e.Cause)
	line("next: ", e.Next)
	return e.Exit
}

var generalEntries = []Entry{
	{
		ID: "USE-001", Exit: ExitUsage, Match: As[*UsageError](),
		Long: "The command line is not one that this command understands. --help shows the flags, their units and defaults.",
	},
	{
		ID: "USE-002", Exit: ExitUsage, Match: Is(term.ErrNoTerminal),
		Next: Text("repeat the command with --yes, or run it on a terminal"),
		Long: "The command wants an answer before it changes something, and standard input is not a terminal. Scripts say yes beforehand with --yes.",
	},
	{
		ID: "USE-003", Exit: ExitFailed, Match: Is(term.ErrDeclined), Cause: Text("the question was answered with no; nothing was changed"),
		Long: "The question before a change was answered with no. Nothing was changed.",
	},
	{
		ID: "GEN-124", Exit: ExitTimeout, Match: Is(context.DeadlineExceeded),
		Next: Text("repeat the command with a longer --timeout"),
		Long: "The time given by --timeout ran out before the cluster was where it should be.",
	},
}
