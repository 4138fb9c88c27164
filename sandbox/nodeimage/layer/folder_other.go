//go:build !linux

package layer

import (
	"errors"
	"io/fs"
)

// PackFolder works on Linux only, where owners and devices mean something.
func PackFolder(string, string, func(string, fs.DirEntry) bool) error { return errors.ErrUnsupported }
