package wire

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Refused says why an agent will not do what it was asked. Code and Fields
// cross the wire; Reason makes the same Go error of them on the laptop.
type Refused struct {
	Generation uint64 // 0: the connection as a whole
	Code       string
	Fields     map[string]string
}

// Codes of Refused.
const (
	codeBusy     = "busy"
	codeVersion  = "version"
	codeNoSpace  = "no-space"
	codeTree     = "tree"
	codeStaged   = "not-staged"
	codeOrder    = "order"
	codeSyntax   = "syntax"
	codeInternal = "internal"
)

// BusyError says that another session holds the rank.
type BusyError struct{ Owner string }

func (e *BusyError) Error() string { return "another kubectl ai dev is connected: " + e.Owner }

// VersionError says that agent and laptop share no version of the protocol.
type VersionError struct{ AgentMin, AgentMax, Min, Max uint64 }

func (e *VersionError) Error() string {
	return fmt.Sprintf("the agent speaks protocol versions %d to %d, this program %d to %d", e.AgentMin, e.AgentMax, e.Min, e.Max)
}

// NoSpaceError says that the volume for code is full. Sizes are bytes; -1 is
// unknown.
type NoSpaceError struct {
	Path string
	Need int64
	Free int64
}

func (e *NoSpaceError) Error() string {
	if e.Need < 0 || e.Free < 0 {
		return fmt.Sprintf("%s is full", e.Path)
	}
	return fmt.Sprintf("%s is full: %s needed, %s free", e.Path, megabytes(e.Need), megabytes(e.Free))
}

func megabytes(n int64) string {
	if n < 10<<20 {
		return fmt.Sprintf("%.1f MB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d MB", n>>20)
}

// TreeError says that the tree which was sent is not one, or not the one that
// its digest names.
type TreeError struct {
	Path   string // empty: the tree as a whole
	Reason string
}

func (e *TreeError) Error() string {
	if e.Path == "" {
		return e.Reason
	}
	return fmt.Sprintf("%q: %s", e.Path, e.Reason)
}

// NotStagedError says that a generation was to be committed that the pod does
// not hold.
type NotStagedError struct{ Generation uint64 }

func (e *NotStagedError) Error() string {
	return fmt.Sprintf("generation %d is not staged", e.Generation)
}

// OrderError says that a generation's number is not above those before it.
type OrderError struct{ Generation, Highest uint64 }

func (e *OrderError) Error() string {
	return fmt.Sprintf("generation %d comes after generation %d", e.Generation, e.Highest)
}

// SyntaxError says that a file of the generation cannot be run by the
// container's own interpreter. What ran before runs on.
type SyntaxError struct{ Text string } // such as train.py:12: invalid syntax

func (e *SyntaxError) Error() string { return e.Text }

// AgentError is any other error of an agent, as text.
type AgentError struct{ Text string }

func (e *AgentError) Error() string { return e.Text }

// Refuse makes the message for an error.
func Refuse(generation uint64, err error) *Refused {
	m := &Refused{Generation: generation, Fields: map[string]string{}}
	number := func(key string, n uint64) { m.Fields[key] = strconv.FormatUint(n, 10) }
	switch e := as(err).(type) { //nolint:errorlint // as has unwrapped it
	case *BusyError:
		m.Code = codeBusy
		m.Fields["owner"] = cut(e.Owner)
	case *VersionError:
		m.Code = codeVersion
		number("agent-min", e.AgentMin)
		number("agent-max", e.AgentMax)
		number("min", e.Min)
		number("max", e.Max)
	case *NoSpaceError:
		m.Code = codeNoSpace
		m.Fields["path"] = cut(e.Path)
		m.Fields["need"], m.Fields["free"] = strconv.FormatInt(e.Need, 10), strconv.FormatInt(e.Free, 10)
	case *TreeError:
		m.Code = codeTree
		m.Fields["path"], m.Fields["reason"] = cut(e.Path), cut(e.Reason)
	case *NotStagedError:
		m.Code = codeStaged
		number("generation", e.Generation)
	case *OrderError:
		m.Code = codeOrder
		number("generation", e.Generation)
		number("highest", e.Highest)
	case *SyntaxError:
		m.Code = codeSyntax
		m.Fields["text"] = cut(e.Text)
	default:
		m.Code = codeInternal
		m.Fields["text"] = cut(err.Error())
	}
	return m
}

// Reason returns the error that Refuse was given, as the same Go type.
func (m *Refused) Reason() error {
	number := func(key string) uint64 {
		n, _ := strconv.ParseUint(m.Fields[key], 10, 64)
		return n
	}
	signed := func(key string) int64 {
		n, err := strconv.ParseInt(m.Fields[key], 10, 64)
		if err != nil {
			return -1
		}
		return n
	}
	switch m.Code {
	case codeBusy:
		return &BusyError{m.Fields["owner"]}
	case codeVersion:
		return &VersionError{number("agent-min"), number("agent-max"), number("min"), number("max")}
	case codeNoSpace:
		return &NoSpaceError{m.Fields["path"], signed("need"), signed("free")}
	case codeTree:
		return &TreeError{m.Fields["path"], m.Fields["reason"]}
	case codeStaged:
		return &NotStagedError{number("generation")}
	case codeOrder:
		return &OrderError{number("generation"), number("highest")}
	case codeSyntax:
		return &SyntaxError{m.Fields["text"]}
	case codeInternal:
		return &AgentError{m.Fields["text"]}
	}
	return &AgentError{fmt.Sprintf("refused with code %q, which this program does not know", m.Code)}
}

// as returns the first error of this package in err's tree.
func as(err error) error {
	var (
		busy    *BusyError
		version *VersionError
		space   *NoSpaceError
		tree    *TreeError
		staged  *NotStagedError
		order   *OrderError
		syntax  *SyntaxError
	)
	switch {
	case errors.As(err, &busy):
		return busy
	case errors.As(err, &version):
		return version
	case errors.As(err, &space):
		return space
	case errors.As(err, &tree):
		return tree
	case errors.As(err, &staged):
		return staged
	case errors.As(err, &order):
		return order
	case errors.As(err, &syntax):
		return syntax
	}
	return err
}

// cut keeps a text within what a frame allows.
func cut(s string) string {
	if len(s) > maxText/2 {
		s = s[:maxText/2]
	}
	return strings.ToValidUTF8(s, "?")
}
