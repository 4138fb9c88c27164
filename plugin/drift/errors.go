package drift

import "strings"

// ExceededError says that a model drifted: what passed which threshold.
type ExceededError struct{ Exceeded []string }

func (e *ExceededError) Error() string {
	return "the served model drifted: " + strings.Join(e.Exceeded, "; ")
}

// UndecidedError says that there is too little to judge by.
type UndecidedError struct{ Undecided []string }

func (e *UndecidedError) Error() string {
	return "not judged: " + strings.Join(e.Undecided, "; ")
}

// Err is the verdict as an error: an *ExceededError, an *UndecidedError where
// nothing was exceeded as far as is known, or nil.
func (v Verdict) Err() error {
	switch {
	case len(v.Exceeded) > 0:
		return &ExceededError{v.Exceeded}
	case len(v.Undecided) > 0:
		return &UndecidedError{v.Undecided}
	}
	return nil
}
