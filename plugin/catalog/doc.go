// Package catalog brings components of the catalogue into a bundle and says
// which of them a cluster has.
//
// Invariants:
//   - Nothing is installed in a cluster: operators are their administrators'.
//   - A file that the user changed is never written over, and the overlays'
//     kustomizations keep every byte that was in them.
//   - Either all of a component is in the bundle and every overlay renders, or
//     the bundle is as it was.
package catalog

import (
	"fmt"
	"strings"
)

// ChangedError says that files of a component are in the bundle already, with
// other contents.
type ChangedError struct {
	Component string
	Files     []string // paths in the bundle
}

func (e *ChangedError) Error() string {
	return fmt.Sprintf("component %s is in the bundle with changes: %s", e.Component, strings.Join(e.Files, ", "))
}

// NoOverlayError says that a bundle has neither of the overlays that take
// components.
type NoOverlayError struct{ Dir string }

func (e *NoOverlayError) Error() string {
	return fmt.Sprintf("%s has no overlay for sandbox or production", e.Dir)
}

// BreaksError says that an overlay would not render with the component.
type BreaksError struct {
	Component, Overlay string
	Err                error
}

func (e *BreaksError) Error() string {
	return fmt.Sprintf("with component %s the overlay %s does not render: %v; nothing was changed", e.Component, e.Overlay, e.Err)
}

func (e *BreaksError) Unwrap() error { return e.Err }

// KustomizationError says that a kustomization cannot take a component.
type KustomizationError struct {
	File string
	Err  error
}

func (e *KustomizationError) Error() string { return fmt.Sprintf("%s: %v", e.File, e.Err) }
func (e *KustomizationError) Unwrap() error { return e.Err }
