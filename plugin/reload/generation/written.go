package generation

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// Output is a file or link that programs wrote beside their code.
type Output struct {
	Path   string // as the program knows it, from the top of the code
	At     string // where it is on the volume
	Size   int64
	Time   time.Time // of the content
	Target string    // of a link
}

// Outputs lists what programs wrote on the volume mounted at dir, by path,
// while its agent and a program may work on it: nothing is changed. What a
// program has written again since it was kept is there once, as it is now.
func Outputs(dir string) ([]Output, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the code volume: %w", err)
	}
	defer func() { _ = root.Close() }()
	l := &lister{s: &Store{dir: dir, root: root, layout: &node{}}, found: map[string]Output{}}
	if err := l.all(); err != nil {
		return nil, err
	}
	list := make([]Output, 0, len(l.found))
	for _, o := range l.found {
		list = append(list, o)
	}
	slices.SortFunc(list, func(a, b Output) int { return strings.Compare(a.Path, b.Path) })
	return list, nil
}

type lister struct {
	s     *Store
	found map[string]Output
}

func (l *lister) all() error {
	s := l.s
	top, err := fs.ReadDir(s.root.FS(), ".")
	if err != nil {
		return err
	}
	for _, e := range top {
		at, _ := s.leads(e.Name())
		// Links to code, and to outputs that are where they were written.
		if e.Name() == own || strings.HasPrefix(at, own+"/") || e.Name() == "__pycache__" {
			continue
		}
		if err := l.add(e.Name(), e.Name()); err != nil {
			return err
		}
	}
	if err := l.below(data, ""); err != nil {
		return err
	}
	for _, n := range l.generations() {
		lines, err := s.root.ReadFile(manifest(n))
		if errors.Is(err, fs.ErrNotExist) {
			continue // it went meanwhile
		}
		if err != nil {
			return err
		}
		index, err := tree.ParseManifest(lines)
		if err != nil {
			return fmt.Errorf("generation %d: %w", n, err)
		}
		g := past{n, index, layOut(index)}
		_ = g.layout.each(func(n *node) error { n.racy = true; return nil })
		err = s.outputs(g, func(from, p string) error {
			if _, ok := s.elsewhere(from); ok {
				return nil
			}
			return l.add(from, p)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// generations returns those in which a process may have written since outputs
// were carried, the current one last.
func (l *lister) generations() (numbers []uint64) {
	raw, _ := l.s.root.ReadFile(lives)
	for line := range strings.Lines(string(raw)) {
		if n, err := strconv.ParseUint(strings.TrimSpace(line), 10, 64); err == nil {
			numbers = append(numbers, n)
		}
	}
	if target, err := l.s.root.Readlink(current); err == nil {
		if n, err := strconv.ParseUint(path.Base(target), 10, 64); err == nil {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// below adds what a folder of the volume holds.
func (l *lister) below(at, p string) error {
	entries, err := fs.ReadDir(l.s.root.FS(), at)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := l.add(at+"/"+e.Name(), path.Join(p, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func (l *lister) add(at, p string) error {
	info, err := l.s.root.Lstat(at)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
		return nil // a program works here
	}
	if err != nil {
		return err
	}
	o := Output{Path: p, At: at, Size: info.Size(), Time: info.ModTime()}
	switch info.Mode().Type() {
	case fs.ModeDir:
		return l.below(at, p)
	case fs.ModeSymlink:
		if o.Target, err = l.s.root.Readlink(at); err != nil {
			return nil
		}
	case 0:
	default:
		return nil // sockets and pipes are nothing to keep
	}
	if before, ok := l.found[p]; !ok || !o.Time.Before(before.Time) {
		l.found[p] = o
	}
	return nil
}
