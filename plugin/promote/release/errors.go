package release

import (
	"errors"
	"fmt"
	"time"
)

// ErrConcurrent says that another run wrote to the same release after this one
// had read it.
var ErrConcurrent = errors.New("another promotion of this project was done meanwhile")

// NotFoundError says that there is no release of that number; Revision 0 means
// that there is none at all.
type NotFoundError struct {
	Project, Namespace string
	Revision           int
}

func (e *NotFoundError) Error() string {
	if e.Revision == 0 {
		return fmt.Sprintf("no release of %s in namespace %s to go back to", e.Project, e.Namespace)
	}
	return fmt.Sprintf("no release %d of %s in namespace %s", e.Revision, e.Project, e.Namespace)
}

// TooLargeError says that the manifests of a release are more than is kept.
type TooLargeError struct{ Size, Limit int }

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the manifests have %d bytes, and a release keeps %d", e.Size, e.Limit)
}

// NewerError says that a newer kubectl-ai wrote what this one was to read.
type NewerError struct {
	Object  string // ConfigMap/name or Secret/name
	Version string // that it has
	Known   string // that this program knows
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("%s has format %s, and this kubectl-ai knows %s: a newer one wrote it", e.Object, e.Version, e.Known)
}

// DamagedError says that what was written of a release cannot be read.
type DamagedError struct {
	Object   string // ConfigMap/name or Secret/name
	Revision int    // 0: the state and its inventory
	Err      error
}

func (e *DamagedError) Error() string { return fmt.Sprintf("%s is damaged: %v", e.Object, e.Err) }
func (e *DamagedError) Unwrap() error { return e.Err }

// LockedError says that another run holds the lock and is alive.
type LockedError struct {
	Project, Namespace string
	Holder             Holder
	Since              time.Time
}

func (e *LockedError) Error() string {
	return fmt.Sprintf("%s has been at a %s of %s in namespace %s since %s, from %s",
		e.Holder.Who, e.Holder.Doing, e.Project, e.Namespace, e.Since.UTC().Format(time.RFC3339), e.Holder.Host)
}

// LostError says that the lock went to somebody else, or could not be renewed
// for so long that it may have: the run stopped writing.
type LostError struct {
	Lease string
	Err   error // why it could not be renewed; nil: somebody else has it
}

func (e *LostError) Error() string {
	if e.Err == nil {
		return fmt.Sprintf("the lock, Lease/%s, is held by somebody else now", e.Lease)
	}
	return fmt.Sprintf("the lock, Lease/%s, could not be renewed: %v", e.Lease, e.Err)
}

func (e *LostError) Unwrap() error { return e.Err }
