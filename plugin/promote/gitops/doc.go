// Package gitops writes what a promotion would apply as files, for Flux, Argo
// CD or a person with kubectl to apply: a folder for Git, or the same folder
// as one layer of an OCI artifact.
//
// Invariants:
//   - The same objects are the same bytes: a file an object, keys sorted, no
//     times. What did not change is not written, so a commit shows what did.
//   - A file is removed only when a former run wrote it. A folder with a
//     kustomization that is not ours is refused.
//   - Nothing is written while one object cannot be.
//
// The folder holds a kustomization.yaml that lists the files in the order of a
// promotion's stages; Flux's Kustomization and Argo CD both build it. The
// artifact has one layer, application/vnd.oci.image.layer.v1.tar+gzip, which
// is what Argo CD accepts by itself and what Flux's OCIRepository extracts
// without a layer selector.
package gitops

import (
	"fmt"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
)

// ForeignError says that a folder holds a kustomization that was not written
// by a promotion.
type ForeignError struct{ Path string }

func (e *ForeignError) Error() string {
	return fmt.Sprintf("%s was not written by a promotion", e.Path)
}

// SecretError says that the values of a Secret would be written in plain.
type SecretError struct{ Refs []apply.Ref }

func (e *SecretError) Error() string {
	if len(e.Refs) == 1 {
		return fmt.Sprintf("%s would be written in plain", e.Refs[0].Short())
	}
	return fmt.Sprintf("%s and %d more Secrets would be written in plain", e.Refs[0].Short(), len(e.Refs)-1)
}
