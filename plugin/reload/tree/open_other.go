//go:build !unix

package tree

import "os"

func openFile(full string) (*os.File, error) { return os.Open(full) }

func isNotDir(error) bool { return false }
