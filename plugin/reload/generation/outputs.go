package generation

import (
	"errors"
	"io/fs"
	"path"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// carry moves what programs wrote beside their code out of a generation:
// from its top to the top of the volume, from deeper folders to data. A path
// that is written again replaces what was kept before.
func (s *Store) carry(number uint64) error {
	tracked := map[string]bool{}
	for _, e := range s.index {
		tracked[e.Path] = true
		for dir := path.Dir(e.Path); dir != "."; dir = path.Dir(dir) {
			tracked[dir] = true
		}
	}
	leaf := map[string]bool{}
	for _, e := range s.index {
		leaf[e.Path] = true
	}
	gen := folder(number)
	var visit func(dir string) error
	visit = func(dir string) error {
		entries, err := fs.ReadDir(s.root.FS(), path.Join(gen, dir))
		if err != nil {
			return err
		}
		for _, e := range entries {
			p := path.Join(dir, e.Name())
			switch {
			case leaf[p]:
			case tracked[p] && e.IsDir():
				if err := visit(p); err != nil {
					return err
				}
			case e.Name() == "__pycache__", s.kept(gen + "/" + p):
			default:
				if err := s.moveOut(gen+"/"+p, p); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return visit(".")
}

// kept tells whether a path is a link of ours to what is kept already.
func (s *Store) kept(p string) bool {
	target, err := s.root.Readlink(p)
	return err == nil && path.Join(path.Dir(p), target) == home(strings.SplitN(p, "/", 4)[3])
}

// home is where an output lives for good.
func home(p string) string {
	if strings.Contains(p, "/") {
		return data + "/" + p
	}
	return p
}

func (s *Store) moveOut(from, p string) error {
	to := home(p)
	if err := s.root.MkdirAll(path.Dir(to), 0o777); err != nil {
		return err
	}
	if err := s.root.RemoveAll(to); err != nil {
		return err
	}
	return s.root.Rename(from, to)
}

// expose links what is kept into the staged tree, and the tree's top into
// the volume's. Code wins over an output of the same name, which moves to
// data.
func (s *Store) expose(p *plan) error {
	gen := folder(p.number)
	top := map[string]bool{}
	for _, e := range p.index {
		name, _, _ := strings.Cut(e.Path, "/")
		top[name] = true
	}
	entries, err := fs.ReadDir(s.root.FS(), ".")
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := e.Name()
		if name == own {
			continue
		}
		target, err := s.root.Readlink(name)
		ours := err == nil && target == current+"/"+name
		switch {
		case ours && top[name]:
			delete(top, name)
		case ours:
			err = s.root.Remove(name)
		case top[name]:
			if err = s.root.RemoveAll(data + "/" + name); err == nil {
				err = s.root.Rename(name, data+"/"+name)
			}
		default:
			err = s.link(depth(gen+"/"+name)+name, gen+"/"+name)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for name := range top {
		if err := s.root.Symlink(current+"/"+name, name); err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return s.exposeDeep(p, gen)
}

// exposeDeep links kept outputs into the folders of code that hold them.
func (s *Store) exposeDeep(p *plan, gen string) error {
	folders := map[string]bool{}
	leaf := map[string]bool{}
	for _, e := range p.index {
		leaf[e.Path] = true
		for dir := path.Dir(e.Path); dir != "."; dir = path.Dir(dir) {
			folders[dir] = true
		}
	}
	for dir := range folders {
		entries, err := fs.ReadDir(s.root.FS(), data+"/"+dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			at := dir + "/" + e.Name()
			if folders[at] || leaf[at] {
				continue
			}
			if err := s.link(depth(gen+"/"+at)+data+"/"+at, gen+"/"+at); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *Store) link(target, at string) error {
	err := s.root.Symlink(target, at)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}

// Difference is a path of the current tree that is not as it was committed.
type Difference struct{ Path, What string }

// Verify hashes the current tree from disk and returns its digest, with the
// paths that differ.
func (s *Store) Verify() (uint64, tree.Digest, []Difference, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.number == 0 {
		return 0, tree.Digest{}, nil, nil
	}
	var found tree.Index
	var differences []Difference
	for _, e := range s.index {
		sum, kind, err := s.hash(folder(s.number) + "/" + e.Path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			differences = append(differences, Difference{e.Path, "missing"})
			continue
		case err != nil:
			return 0, tree.Digest{}, nil, s.wrap("verify "+e.Path, err)
		case sum != e.Sum || kind != e.Kind:
			differences = append(differences, Difference{e.Path, "changed"})
			delete(s.written, e.Path) // the next generation must not link it
		}
		found = append(found, tree.Entry{Path: e.Path, Kind: kind, Sum: sum})
	}
	return s.number, found.Digest(), differences, nil
}
