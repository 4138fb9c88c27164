package generation

import (
	"crypto/sha256"
	"io"
	"io/fs"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// hash returns what a path on the volume is, by tree's definition.
func (s *Store) hash(p string) (sum [32]byte, kind tree.Kind, err error) {
	info, err := s.root.Lstat(p)
	if err != nil {
		return sum, 0, err
	}
	if info.Mode()&fs.ModeSymlink != 0 {
		target, err := s.root.Readlink(p)
		return sha256.Sum256([]byte(target)), tree.Link, err
	}
	if !info.Mode().IsRegular() {
		return sum, 0, nil // a folder, or a pipe that nobody writes to
	}
	f, err := s.root.Open(p)
	if err != nil {
		return sum, 0, err
	}
	defer func() { _ = f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return sum, 0, err
	}
	kind = tree.File
	if info.Mode()&0o100 != 0 {
		kind = tree.Executable
	}
	h.Sum(sum[:0])
	return sum, kind, nil
}
