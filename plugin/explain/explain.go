// Package explain turns an error into what the user needs: a stable ID, the
// cause in a line, the command that helps next, and the exit code. Domain
// packages return typed errors and know nothing of this catalogue; every
// area of the tool has its entries in a file of its own here.
package explain

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
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
	// First returns the first of several errors that this one sums up: its ID
	// is named as the cause, and what helps it is said.
	First func(error) error
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
	r := ReportOf(err)
	event := term.Event{Kind: "Failed", ID: r.ID, Message: r.Message, Cause: r.Cause, Next: r.Next, ExitCode: r.ExitCode}
	s.Emit(event)
	return &ToldError{err}
}

// Report is an error as JSON, for programs. Its form is stable.
type Report struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	ID         string `json:"id,omitempty"` // as `explain` takes it; none: it is not known
	Message    string `json:"message"`
	Cause      string `json:"cause,omitempty"`
	Next       string `json:"next,omitempty"`
	ExitCode   int    `json:"exitCode"`
}

// ReportOf returns what is known of an error.
func ReportOf(err error) Report {
	r := Report{APIVersion: "kubectl-ai.dev/v1alpha1", Kind: "Error", Message: strings.TrimRight(err.Error(), "\n")}
	if errors.Is(err, Interrupted) || errors.Is(err, context.Canceled) {
		r.Message, r.ExitCode = "interrupted", ExitInterrupted
		return r
	}
	e := Find(err)
	r.ID, r.ExitCode = e.ID, e.Exit
	if e.Cause != nil {
		r.Cause = e.Cause(err)
	}
	if e.Next != nil {
		r.Next = e.Next(err)
	}
	if e.First != nil {
		first := ReportOf(e.First(err))
		r.Cause = first.ID + ": " + cmp.Or(first.Cause, first.Message)
		r.Next = cmp.Or(first.Next, r.Next)
	}
	return r
}

// Print writes an error as the user sees it, once, and returns the exit code.
// With asJSON that is a Report in one line, the last one of stderr.
func Print(w io.Writer, err error, asJSON bool) int {
	if err == nil {
		return 0
	}
	r := ReportOf(err)
	var told *ToldError
	switch {
	case errors.As(err, &told):
	case asJSON:
		encoder := json.NewEncoder(w)
		encoder.SetEscapeHTML(false)
		_ = encoder.Encode(r)
	case r.ExitCode == ExitInterrupted:
		_, _ = fmt.Fprintln(w, r.Message)
	default:
		r.print(w)
	}
	return r.ExitCode
}

func (r Report) print(w io.Writer) {
	head := "error"
	if r.ID != "" {
		head = "error[" + r.ID + "]"
	}
	_, _ = fmt.Fprintf(w, "%s: %s\n", head, r.Message)
	for _, line := range [][2]string{{"cause:", r.Cause}, {"next: ", r.Next}} {
		if line[1] != "" {
			_, _ = fmt.Fprintf(w, "  %s %s\n", line[0], strings.ReplaceAll(line[1], "\n", "\n         "))
		}
	}
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
		Next: Text("repeat the command when it is meant; --yes answers beforehand"),
		Long: "The question before a change was answered with no. Nothing was changed.",
	},
	{
		ID: "GEN-124", Exit: ExitTimeout, Match: Is(context.DeadlineExceeded),
		Cause: From(func(e *url.Error) string { return "the server was asked and did not answer in that time" }),
		Next:  Text("kubectl cluster-info tells whether the server answers; or repeat the command with a longer --timeout, or --request-timeout where that was given"),
		Long:  "The time given by --timeout, or for one request by --request-timeout, ran out before the cluster was where it should be.",
	},
}
