package tree

import "fmt"

// RootError says that the folder to scan is not there or is no folder.
type RootError struct {
	Root string
	Err  error
}

func (e *RootError) Error() string { return fmt.Sprintf("scan %s: %v", e.Root, e.Err) }
func (e *RootError) Unwrap() error { return e.Err }

// ReadError says that a file or folder of the tree cannot be read.
type ReadError struct {
	Path string // relative to the tree
	Err  error
}

func (e *ReadError) Error() string { return fmt.Sprintf("read %s: %v", e.Path, e.Err) }
func (e *ReadError) Unwrap() error { return e.Err }

// ChangingError says that a file or folder never held still long enough to be
// read as a whole.
type ChangingError struct{ Path string }

func (e *ChangingError) Error() string {
	return fmt.Sprintf("read %s: it changes faster than it can be read", e.Path)
}

// Warning is a thing in the folder that cannot be part of a tree and was left
// out.
type Warning struct {
	Path string
	What string // socket, device, pipe
}

func (w Warning) String() string { return fmt.Sprintf("%s is a %s and was left out", w.Path, w.What) }

// GitError says that a folder lies in a git repository and git does not say
// which files it tracks there.
type GitError struct {
	Dir string // the top of the working tree
	Err error
}

func (e *GitError) Error() string {
	return fmt.Sprintf("ask git for the tracked files of %s: %v", e.Dir, e.Err)
}
func (e *GitError) Unwrap() error { return e.Err }
