// Package promote takes a rendered bundle to another cluster: it names the
// runs, asks whether it can work, shows what would change, applies, waits,
// prunes and records. This package owns the order of the steps; what each
// step does is in packages of its own.
//
// Invariants:
//   - Plan writes nothing. All objections come before the first write.
//   - Nothing is written when nothing differs from the current release.
//   - A Job never changes: another template is another Job, <name>-<h8>, and
//     the same template is the same Job, also when it is finished. A running
//     Job is never deleted unasked.
//   - A failed promotion never becomes the current release, and what it
//     applied stays in the inventory.
//   - Writes happen under the project's lock. A run that dies at any point
//     leaves an inventory that holds all it may have made; the next run of
//     promote, rollback or uninstall goes on from there.
//   - What is deleted is in the inventory, has our label and the recorded UID,
//     and is deleted in exactly the version that was looked at.
//
// Finished Jobs stay while they belong to one of the last two releases, for
// their logs, and are pruned after that.
package promote

import (
	"errors"
	"fmt"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
)

// Manager is the field manager of promotions.
const Manager = "kubectl-ai"

// Annotations that a promotion sets or heeds.
const (
	// DigestAnnotation is on pod templates: the digest of the code tree, for
	// example sha256:9c1f….
	DigestAnnotation = "kubectl-ai.dev/tree-digest"
	// ContainersAnnotation is on pod templates: the containers that run the
	// code, separated by commas.
	ContainersAnnotation = "kubectl-ai.dev/code-containers"
	// KeepAnnotation on a live object with the value "keep" saves it from
	// prune.
	KeepAnnotation = "kubectl-ai.dev/prune"
)

// ErrEmpty says that a bundle renders nothing: taken at its word it would
// delete everything that the last release brought.
var ErrEmpty = errors.New("the bundle renders no objects, and an empty bundle prunes nothing")

// SandboxTargetError says that the target of a promotion is the cluster that
// the sandbox environment runs on.
type SandboxTargetError struct{ Environment, Context, Sandbox string }

func (e *SandboxTargetError) Error() string {
	return fmt.Sprintf("environment %s is the sandbox itself: contexts %s and %s are one cluster", e.Environment, e.Context, e.Sandbox)
}

// NoContextError says that an environment names no cluster. The current
// context is never taken for production.
type NoContextError struct{ Environment string }

func (e *NoContextError) Error() string {
	return fmt.Sprintf("environment %s names no kubeconfig context", e.Environment)
}

// UnreachableError says that the target cluster does not answer.
type UnreachableError struct {
	Context, Server string
	Err             error
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("context %s: %s does not answer: %v", e.Context, e.Server, e.Err)
}

func (e *UnreachableError) Unwrap() error { return e.Err }

// CarrierError says that a release cannot go from one environment to another
// as it is: the code is carried in another form there.
type CarrierError struct {
	From, To string
	Form     string   // of the release
	Formats  []string // that the other environment takes
}

func (e *CarrierError) Error() string {
	return fmt.Sprintf("the release of %s carries the code as %s, and %s takes %s", e.From, e.Form, e.To, strings.Join(e.Formats, ", "))
}

// NeverDeployedError says that a release to go back to had failed itself.
type NeverDeployedError struct {
	Revision int
	Reason   string
}

func (e *NeverDeployedError) Error() string {
	return fmt.Sprintf("release %d failed itself: %s", e.Revision, e.Reason)
}

// FailedError says that a promotion was tried and did not come up. The
// current release stays the last good one.
type FailedError struct {
	Revision int // of the failed release
	Current  int // the last good one, 0: none
	Err      error
}

func (e *FailedError) Error() string { return fmt.Sprintf("release %d failed: %v", e.Revision, e.Err) }
func (e *FailedError) Unwrap() error { return e.Err }

// PruneError says that objects of a former release could not be deleted. The
// release is deployed; they stay in the inventory and are tried again.
type PruneError struct {
	Refs []apply.Ref
	Err  error
}

func (e *PruneError) Error() string { return fmt.Sprintf("prune: %v", e.Err) }
func (e *PruneError) Unwrap() error { return e.Err }

// Reporter is told of steps; plugin/term shows them.
type Reporter interface {
	Start(step string)
	Note(format string, args ...any)
	End(err error)
}
