// Package carrier brings a code tree into the pods of another cluster, in one
// of three forms that carry the same digest:
//
//   - layer: one deterministic layer on the runtime image. It begins with an
//     opaque whiteout at the mount path, because in dev a volume hides what
//     the image has there, and an appended layer would merge with it. Images
//     are used by digest; the same tree on the same base has the same one.
//   - imageVolume: an image of the code alone, which pods mount beside the
//     runtime image (KEP-4639). It is read-only.
//   - configMap: immutable ConfigMaps in one projected volume, which need no
//     registry and are read-only too. Keys are encoded; items[].path and mode
//     restore the tree.
//
// In all three the mount path holds the code and nothing else, as in dev: what
// the runtime image has there is hidden. Files that vanish so are looked for
// and named (Hidden).
//
// Files are hashed again while they are packed, so that what is promoted is
// the tree that was asked for and never one that somebody changed in between.
//
// The layer's format is that of the OCI image layer specification
// (Whiteouts); nothing is written outside the user's cache before Push.
package carrier

import (
	"fmt"
	"slices"
	"strings"
)

// Formats, as the project file names them.
const (
	FormatLayer       = "layer"
	FormatImageVolume = "imageVolume"
	FormatConfigMap   = "configMap"
)

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

// TooLargeError says that code does not fit into ConfigMaps: its bytes, or the
// list of its files.
type TooLargeError struct {
	Size, Limit int64  // bytes
	Largest     string // the largest file
	LargestSize int64
	Files       int // how many, where these are too many to list in a pod template; else 0
}

func (e *TooLargeError) Error() string {
	if e.Files > 0 {
		return fmt.Sprintf("the code has %d files, too many to list them in a pod template", e.Files)
	}
	return fmt.Sprintf("the code has %d bytes and %d ConfigMaps hold %d; its largest file is %s with %d", e.Size, chunks, e.Limit, e.Largest, e.LargestSize)
}

// UnfitError says that a carrier cannot hold an entry of the tree.
type UnfitError struct {
	Path   string
	Reason string
}

func (e *UnfitError) Error() string { return fmt.Sprintf("%s %s", e.Path, e.Reason) }

// NoImageVolumesError says that the target does not mount images as volumes.
type NoImageVolumesError struct {
	API   []string // what the API server would do, a line a kind
	Nodes []string // what nodes lack, a line a node
}

func (e *NoImageVolumesError) Error() string {
	return "images cannot be mounted as volumes: " + strings.Join(slices.Concat(e.API, e.Nodes), "; ")
}

// WrittenError says that the program writes where production is read-only.
type WrittenError struct {
	Format string
	Paths  []string // relative to the mount path
}

func (e *WrittenError) Error() string {
	return fmt.Sprintf("the program wrote beside its code under dev (%s), and %s is read-only", some(e.Paths), e.Format)
}

// UnaskedError says that no rank of dev could be asked what the program
// writes.
type UnaskedError struct {
	Format string
	Err    error
}

func (e *UnaskedError) Error() string {
	return fmt.Sprintf("%s is read-only, and no rank of the sandbox says whether the program writes beside its code: %v", e.Format, e.Err)
}

func (e *UnaskedError) Unwrap() error { return e.Err }

// Inability is why one format cannot carry the code.
type Inability struct {
	Format string
	Err    error
}

// UnableError says that none of the formats that an environment allows can
// carry the code.
type UnableError struct{ Inabilities []Inability }

func (e *UnableError) Error() string {
	lines := []string{"no way of bringing the code there:"}
	for _, i := range e.Inabilities {
		lines = append(lines, fmt.Sprintf("%s: %v", i.Format, i.Err))
	}
	return strings.Join(lines, "\n")
}

// HiddenError says that files of a runtime image vanish where the code goes.
type HiddenError struct {
	Image     string
	MountPath string
	Paths     []string // relative to the mount path; a folder ends in a slash and stands for what is in it
	Files     int
}

func (e *HiddenError) Error() string {
	return fmt.Sprintf("%s has %d files below %s that the code hides, under dev and in production: %s", e.Image, e.Files, e.MountPath, some(e.Paths))
}

// some names the first few of a list.
func some(names []string) string {
	const shown = 8
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
}
