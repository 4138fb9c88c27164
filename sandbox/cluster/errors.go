package cluster

import (
	"errors"
	"fmt"
	"strings"
)

// ErrExists says that a cluster of that name is there already.
var ErrExists = errors.New("exists already")

// ErrImageUnavailable says that the node image is neither on this machine nor
// to be had from its registry.
var ErrImageUnavailable = errors.New("node image unavailable")

// ExistsError is ErrExists with the name; Ours tells a sandbox from a kind
// cluster that somebody else made.
type ExistsError struct {
	Name   string
	Ours   bool
	Making bool // by another process, now
}

func (e *ExistsError) Error() string {
	if e.Making {
		return fmt.Sprintf("sandbox %q is being made by another kubectl ai", e.Name)
	}
	if e.Ours {
		return fmt.Sprintf("sandbox %q %v", e.Name, ErrExists)
	}
	return fmt.Sprintf("a kind cluster %q %v, and is no sandbox of kubectl ai", e.Name, ErrExists)
}

// Is makes errors.Is(err, ErrExists) true.
func (e *ExistsError) Is(target error) bool { return target == ErrExists }

// NotFoundError says that there is no cluster of that name.
type NotFoundError struct {
	Name  string
	Known []string
}

func (e *NotFoundError) Error() string {
	if len(e.Known) == 0 {
		return fmt.Sprintf("no sandbox %q; there is none on this machine", e.Name)
	}
	return fmt.Sprintf("no sandbox %q; there are: %s", e.Name, strings.Join(e.Known, ", "))
}

// NotOursError is a kind cluster without the mark of a sandbox.
type NotOursError struct{ Name string }

func (e *NotOursError) Error() string {
	return fmt.Sprintf("kind cluster %q was not made by kubectl ai and is left alone", e.Name)
}

// StoppedError says that an operation needs a sandbox that runs.
type StoppedError struct{ Name string }

func (e *StoppedError) Error() string { return fmt.Sprintf("sandbox %q does not run", e.Name) }

// NameError is a name that cannot be a sandbox's.
type NameError struct{ Name, Reason string }

func (e *NameError) Error() string { return fmt.Sprintf("sandbox name %q: %s", e.Name, e.Reason) }

// ImageError is ErrImageUnavailable with what the engine said.
type ImageError struct {
	Image string
	Err   error
}

func (e *ImageError) Error() string {
	return fmt.Sprintf("%v: %s: %v", ErrImageUnavailable, e.Image, e.Err)
}

func (e *ImageError) Unwrap() error { return e.Err }

// Is makes errors.Is(err, ErrImageUnavailable) true.
func (e *ImageError) Is(target error) bool { return target == ErrImageUnavailable }

// NotNodeImageError is an image that kind cannot make a node of.
type NotNodeImageError struct {
	Image   string
	Missing []string // files and programs
}

func (e *NotNodeImageError) Error() string {
	return fmt.Sprintf("image %s is no kind node image: it lacks %s", e.Image, strings.Join(e.Missing, ", "))
}

// CreateError is a sandbox that could not be made. Nothing of it is left
// unless Retained.
type CreateError struct {
	Name     string
	Phase    string   // the step that failed
	Lines    []string // what kubeadm, the kubelet or the node said, the lines that matter
	Hint     string   // one thing to try
	Retained bool
	Err      error
}

func (e *CreateError) Error() string {
	return fmt.Sprintf("create sandbox %q: %s: %v", e.Name, e.Phase, e.Err)
}

func (e *CreateError) Unwrap() error { return e.Err }

// NotReadyError says that nodes did not become ready in time.
type NotReadyError struct {
	Name    string
	Waiting string // for what
}

func (e *NotReadyError) Error() string {
	return fmt.Sprintf("sandbox %q did not become ready in time: %s", e.Name, e.Waiting)
}
