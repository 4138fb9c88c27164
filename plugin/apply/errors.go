package apply

import (
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// FieldConflict is a field that somebody else owns with another value.
type FieldConflict struct {
	Field   string // .spec.replicas
	Manager string // "kubectl" using apps/v1
}

// ConflictError says that other field managers own what an object wants to
// set. Nothing was written.
type ConflictError struct {
	Ref    Ref
	Fields []FieldConflict
	Err    error
}

func (e *ConflictError) Error() string {
	parts := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		parts[i] = fmt.Sprintf("%s belongs to %s", f.Field, f.Manager)
	}
	return fmt.Sprintf("%s: %s", e.Ref, strings.Join(parts, ", "))
}

func (e *ConflictError) Unwrap() error { return e.Err }

// ForeignError says that an object exists already and belongs to someone else.
type ForeignError struct {
	Ref      Ref
	Managers []string // field managers that wrote it
}

func (e *ForeignError) Error() string {
	if len(e.Managers) == 0 {
		return fmt.Sprintf("%s exists already and is not ours", e.Ref)
	}
	return fmt.Sprintf("%s exists already and is not ours: written by %s", e.Ref, strings.Join(e.Managers, ", "))
}

// ImmutableError says that a change cannot be made to a live object, only to
// a new one.
type ImmutableError struct {
	Ref    Ref
	Fields []string
}

func (e *ImmutableError) Error() string {
	return fmt.Sprintf("%s: %s cannot change in place", e.Ref, strings.Join(e.Fields, ", "))
}

// ObjectError is what the server said of one object.
type ObjectError struct {
	Action string // dry run, apply, delete, …
	Ref    Ref
	Err    error
	text   string // Err without secrets
}

func (e *ObjectError) Error() string {
	text := e.text
	if text == "" {
		text = e.Err.Error()
	}
	return fmt.Sprintf("%s %s: %s", e.Action, e.Ref, text)
}

func (e *ObjectError) Unwrap() error { return e.Err }

func isUnserved(err error) bool {
	var unserved *UnservedError
	return errors.As(err, &unserved)
}

// conflictOf returns the conflict that a server-side apply met, or nil.
func conflictOf(r Ref, err error) *ConflictError {
	var status apierrors.APIStatus
	if !apierrors.IsConflict(err) || !errors.As(err, &status) || status.Status().Details == nil {
		return nil
	}
	conflict := &ConflictError{Ref: r, Err: err}
	for _, cause := range status.Status().Details.Causes {
		if cause.Type != metav1.CauseTypeFieldManagerConflict {
			continue
		}
		conflict.Fields = append(conflict.Fields, FieldConflict{
			Field:   cause.Field,
			Manager: strings.TrimPrefix(cause.Message, "conflict with "),
		})
	}
	if len(conflict.Fields) == 0 {
		return nil
	}
	return conflict
}

// immutableFields returns the fields of an object that may not change in
// place, when that is all the server objects to. Kubernetes has no reason of
// its own for it, only words, and they differ by kind; a manifest with any
// other mistake is not taken for an immutable one.
func immutableFields(err error) []string {
	var status apierrors.APIStatus
	if !apierrors.IsInvalid(err) || !errors.As(err, &status) || status.Status().Details == nil {
		return nil
	}
	var fields []string
	for _, cause := range status.Status().Details.Causes {
		if !saysImmutable(cause.Message) {
			return nil
		}
		fields = append(fields, cause.Field)
	}
	return fields
}

func saysImmutable(message string) bool {
	for _, words := range []string{
		"field is immutable",
		"updates to statefulset spec for fields other than",
		"pod updates may not change fields other than",
	} {
		if strings.Contains(message, words) {
			return true
		}
	}
	return false
}
