package setup

import (
	"errors"
	"fmt"
	"strings"
)

var errNotAFolder = errors.New("not a folder")

// NoFolderError says that files can be made nowhere where kubectl, or the
// shell, would find them.
type NoFolderError struct {
	Program string
	Folder  string // that would have been made
	Err     error
	Asked   bool // Folder is the only one that serves
}

func (e *NoFolderError) Error() string {
	if e.Asked {
		return fmt.Sprintf("no file can be made in %s: %v", e.Folder, e.Err)
	}
	return fmt.Sprintf("no folder of PATH can be written to, nor can ~/.local/bin: %v", e.Err)
}

func (e *NoFolderError) Unwrap() error { return e.Err }

// TakenError says that files which are not ours have the names of links.
// Nothing was written.
type TakenError struct{ Paths []string }

func (e *TakenError) Error() string {
	return fmt.Sprintf("%s: there already, and not of this program; nothing was changed", strings.Join(e.Paths, ", "))
}

// ForeignError says that another plugin of this name comes first on PATH.
type ForeignError struct{ Path, Name string }

func (e *ForeignError) Error() string {
	return fmt.Sprintf("%s comes first on PATH and is another plugin: kubectl %s runs that one", e.Path, strings.TrimPrefix(e.Name, "kubectl-"))
}

// NotAPluginError says that the program's file has no name that kubectl looks
// for.
type NotAPluginError struct{ Program string }

func (e *NotAPluginError) Error() string {
	return fmt.Sprintf("%s has no name that kubectl takes for a plugin", e.Program)
}
