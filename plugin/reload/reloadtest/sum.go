package reloadtest

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// Sum returns the digest of everything below dir. It is written from the
// documentation of package tree, so that the two can be told apart.
func Sum(dir string) (tree.Digest, error) {
	lines, err := Manifest(dir)
	if err != nil {
		return tree.Digest{}, err
	}
	return sha256.Sum256([]byte(strings.Join(lines, ""))), nil
}

// Manifest returns the lines that Sum is taken over. Folders called .git are
// left out, as every scan does.
func Manifest(dir string) ([]string, error) {
	type file struct{ path, line string }
	var files []file
	var visit func(rel string) error
	visit = func(rel string) error {
		entries, err := os.ReadDir(filepath.Join(dir, rel))
		if err != nil {
			return err
		}
		for _, e := range entries {
			p := filepath.Join(rel, e.Name())
			switch {
			case e.Name() == ".git":
			case e.IsDir():
				if err := visit(p); err != nil {
					return err
				}
			default:
				letter, sum, err := read(filepath.Join(dir, p))
				if err != nil {
					return err
				}
				escaped := strings.NewReplacer("\\", "\\\\", "\n", "\\n", "\r", "\\r").Replace(p)
				files = append(files, file{p, fmt.Sprintf("%c %x  %s\n", letter, sum, escaped)})
			}
		}
		return nil
	}
	if err := visit(""); err != nil {
		return nil, err
	}
	slices.SortFunc(files, func(a, b file) int { return strings.Compare(a.path, b.path) })
	lines := make([]string, len(files))
	for i, f := range files {
		lines[i] = f.line
	}
	return lines, nil
}

func read(full string) (letter byte, sum [32]byte, err error) {
	info, err := os.Lstat(full)
	if err != nil {
		return 0, sum, err
	}
	if info.Mode()&os.ModeSymlink != 0 {
		target, err := os.Readlink(full)
		return 'l', sha256.Sum256([]byte(target)), err
	}
	raw, err := os.ReadFile(full)
	letter = 'f'
	if info.Mode().Perm()&0o100 != 0 {
		letter = 'x'
	}
	return letter, sha256.Sum256(raw), err
}

// Snapshot describes everything below dir with modes, sizes and times of
// change: two equal snapshots are a folder that nobody wrote to.
func Snapshot(dir string) (string, error) {
	var b strings.Builder
	err := filepath.WalkDir(dir, func(full string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := os.Lstat(full)
		if err != nil {
			return err
		}
		var sum [32]byte
		if !info.IsDir() {
			if _, sum, err = read(full); err != nil {
				return err
			}
		}
		_, err = fmt.Fprintf(&b, "%q %v %d %d %x\n", full[len(dir):], info.Mode(), info.Size(), info.ModTime().UnixNano(), sum)
		return err
	})
	return b.String(), err
}

// Differ returns the lines that only one of two manifests has, at most a few.
func Differ(want, got []string) string {
	var b strings.Builder
	n := 0
	only := func(sign string, in, not []string) {
		for _, line := range in {
			if slices.Contains(not, line) {
				continue
			}
			if n++; n <= 10 {
				fmt.Fprintf(&b, "%s %s", sign, line)
			}
		}
	}
	only("-", want, got)
	only("+", got, want)
	if n > 10 {
		fmt.Fprintf(&b, "… and %d more\n", n-10)
	}
	return b.String()
}
