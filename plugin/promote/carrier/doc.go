// Package carrier brings a code tree into the pods of another cluster, in one
// of two forms that carry the same digest:
//
//   - layer: one deterministic layer on the runtime image. It begins with an
//     opaque whiteout at the mount path, because in dev a volume hides what
//     the image has there, and an appended layer would merge with it. Images
//     are used by digest; the same tree on the same base has the same one.
//   - configMap: one immutable ConfigMap below 1 MiB, which needs no registry.
//     Keys are encoded; items[].path and mode restore the tree.
//
// Files are hashed again while they are packed, so that what is promoted is
// the tree that was scanned and never one that an editor changed in between.
//
// The layer's format is that of the OCI image layer specification
// (Whiteouts); nothing is written outside the user's cache before Push.
package carrier

import "fmt"

// Labels and variables that an image made here carries.
const (
	// DigestLabel is the label of image configurations that holds the tree
	// digest, for example sha256:9c1f….
	DigestLabel = "dev.kubectl-ai.tree-digest"
	// BaseLabel holds the digest of the runtime image below the code.
	BaseLabel = "org.opencontainers.image.base.digest"
	// DigestVariable tells a program which tree it runs.
	DigestVariable = "KUBECTL_AI_TREE_DIGEST"
)

// Reporter is told of steps; plugin/term shows them.
type Reporter interface {
	Start(step string)
	Note(format string, args ...any)
	End(err error)
}

// ChangedError says that a file is not what the scan saw: somebody saved
// while it was packed.
type ChangedError struct{ Path string }

func (e *ChangedError) Error() string {
	return fmt.Sprintf("%s changed while the code was packed", e.Path)
}

// CoveredError says that a volume of the bundle hides the place of the code.
type CoveredError struct {
	Target    string // Kind/name/container
	MountPath string
	Volume    string
}

func (e *CoveredError) Error() string {
	return fmt.Sprintf("%s: volume %s is mounted over the code at %s", e.Target, e.Volume, e.MountPath)
}

// NoRegistryError says that an image was to be pushed and nobody said where.
type NoRegistryError struct{ Environment string }

func (e *NoRegistryError) Error() string {
	return fmt.Sprintf("environment %s names no registry for images with the code", e.Environment)
}

// BaseError says that a runtime image is neither in its registry nor in the
// container engine of this machine.
type BaseError struct {
	Image    string
	Registry error
	Engine   error
}

func (e *BaseError) Error() string {
	return fmt.Sprintf("runtime image %s: its registry says: %v; the container engine says: %v", e.Image, e.Registry, e.Engine)
}

func (e *BaseError) Unwrap() []error { return []error{e.Registry, e.Engine} }

// PlatformError says that a runtime image does not exist for the nodes.
type PlatformError struct {
	Image string
	Want  []string
	Has   []string
}

func (e *PlatformError) Error() string {
	return fmt.Sprintf("runtime image %s is made for %v, nodes are %v", e.Image, e.Has, e.Want)
}

// PushError says that a registry did not take an image.
type PushError struct {
	Ref string
	Err error
}

func (e *PushError) Error() string { return fmt.Sprintf("push %s: %v", e.Ref, e.Err) }
func (e *PushError) Unwrap() error { return e.Err }

// TooLargeError says that code does not fit into a ConfigMap.
type TooLargeError struct {
	Size, Limit int64  // bytes
	Largest     string // the largest file
	LargestSize int64
}

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the code has %d bytes and a ConfigMap holds %d; its largest file is %s with %d", e.Size, e.Limit, e.Largest, e.LargestSize)
}

// UnfitError says that a ConfigMap cannot hold an entry of the tree.
type UnfitError struct {
	Path   string
	Reason string
}

func (e *UnfitError) Error() string { return fmt.Sprintf("%s %s", e.Path, e.Reason) }
