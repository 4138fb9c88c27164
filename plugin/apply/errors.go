package apply

import (
	"errors"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

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

// objectionTo is an *ObjectError, unless the error names the object itself.
func objectionTo(action string, ref Ref, err error) error {
	var conflict *ConflictError
	var object *ObjectError
	if err == nil || errors.As(err, &conflict) || errors.As(err, &object) || isUnserved(err) {
		return err
	}
	return &ObjectError{Action: action, Ref: ref, Err: err}
}

func isUnserved(err error) bool {
	var unserved *UnservedError
	return errors.As(err, &unserved)
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

// immutableWords are those of Kubernetes' own validation, and "is immutable",
// which is also what the transition rules of CRDs say (JobSet, TrainJob).
var immutableWords = []string{
	"is immutable",
	"are immutable",
	"updates to statefulset spec for fields other than",
	"pod updates may not change fields other than",
	"may not change once set",              // Service
	"cannot change roleRef",                // RoleBinding
	"may not be changed in an update",      // PriorityClass
	"updates to parameters are forbidden",  // StorageClass
	"updates to provisioner are forbidden", // StorageClass
}

func saysImmutable(message string) bool {
	for _, words := range immutableWords {
		if strings.Contains(message, words) {
			return true
		}
	}
	return false
}
