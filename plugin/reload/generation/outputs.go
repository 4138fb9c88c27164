package generation

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"
)

// carry moves what programs wrote beside their code out of the current
// generation: from its top to the top of the volume, from deeper folders to
// data. A path that is written again replaces what was kept before.
func (s *Store) carry() error {
	top := s.openFolder(folder(s.number))
	defer closeFolder(top)
	return s.layout.walk(top, func(n *node, dir int) error {
		if dir < 0 || !n.stirred(dir) { // below 0: a program removed it
			return nil
		}
		names, err := list(dir)
		if err != nil {
			return err
		}
		for _, i := range n.files {
			delete(names, name(s.index[i]))
		}
		for _, sub := range n.subs {
			delete(names, path.Base(sub.path))
		}
		for extra := range names {
			p := path.Join(n.path, extra)
			if extra == "__pycache__" || s.kept(p) {
				continue
			}
			if err := s.moveOut(folder(s.number)+"/"+p, p); err != nil {
				return err
			}
		}
		return nil
	})
}

// kept tells whether a path of the current generation is a link of ours to
// what is kept already.
func (s *Store) kept(p string) bool {
	full := folder(s.number) + "/" + p
	target, err := s.root.Readlink(full)
	return err == nil && path.Join(path.Dir(full), target) == home(p)
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
	if err := s.makeRoom(path.Dir(to)); err != nil {
		return err
	}
	// A file that was written again replaces the one that was kept; a folder
	// of checkpoints is never removed.
	if info, err := s.root.Lstat(to); err == nil {
		if info.IsDir() {
			err = s.aside(to)
		} else {
			err = s.root.Remove(to)
		}
		if err != nil {
			return err
		}
	}
	if err := s.root.Rename(from, to); err != nil {
		return err
	}
	// If the flip fails, the old process goes on with what it wrote.
	return s.symlink(depth(from)+to, from)
}

// makeRoom makes a folder for outputs. An earlier output that stands in the
// way as a file or a link keeps its content under another name.
func (s *Store) makeRoom(dir string) error {
	if dir == "." {
		return nil
	}
	if err := s.makeRoom(path.Dir(dir)); err != nil {
		return err
	}
	info, err := s.root.Lstat(dir)
	if err == nil && info.IsDir() {
		return nil
	}
	if err == nil {
		if err := s.aside(dir); err != nil {
			return err
		}
	}
	return s.root.Mkdir(dir, 0o777)
}

// aside gives what was kept at a path another name.
func (s *Store) aside(p string) error {
	for n := 1; ; n++ {
		other := fmt.Sprintf("%s~%d", p, n)
		if _, err := s.root.Lstat(other); errors.Is(err, fs.ErrNotExist) {
			return s.root.Rename(p, other)
		} else if err != nil {
			return err
		}
	}
}

// expose links what is kept into next, which becomes the current tree, and
// the tree's top into the volume's. Code wins over an output of the same
// name, which moves to data.
func (s *Store) expose(p *plan) error {
	top := map[string]bool{}
	for _, i := range p.layout.files {
		top[p.index[i].Path] = true
	}
	for _, sub := range p.layout.subs {
		top[sub.path] = true
	}
	volume := s.openFolder(".")
	names, err := list(volume)
	closeFolder(volume)
	if err != nil {
		return err
	}
	delete(names, own)
	if _, cache := names["__pycache__"]; cache {
		// Bytecode of modules that were imported through the links: the next
		// generation's are checked against it by whole seconds and size.
		delete(names, "__pycache__")
		if err := s.root.RemoveAll("__pycache__"); err != nil {
			return err
		}
	}
	// A link in next has the same distance from the volume as in gen/<n>,
	// plus the folder gen.
	up := depth(folder(p.number) + "/x")
	for name := range names {
		target, err := s.root.Readlink(name)
		ours := err == nil && target == current+"/"+name
		switch {
		case ours && top[name]:
			delete(top, name)
			err = nil
		case ours:
			err = s.root.Remove(name)
		case top[name]:
			if err = s.root.RemoveAll(data + "/" + name); err == nil {
				err = s.root.Rename(name, data+"/"+name)
			}
		default:
			err = s.symlink(up+name, next+"/"+name)
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
	return s.exposeDeep(p)
}

// exposeDeep links kept outputs into the folders of code that hold them.
func (s *Store) exposeDeep(p *plan) error {
	folders := map[string]*node{}
	collect := func(n *node) error { folders[n.path] = n; return nil }
	var visit func(n *node) error
	visit = func(n *node) error {
		dir := s.openFolder(path.Join(data, n.path))
		if dir < 0 {
			return nil // no output in this folder
		}
		names, err := list(dir)
		closeFolder(dir)
		if err != nil {
			return err
		}
		if len(names) > 0 && len(folders) == 0 {
			_ = p.layout.each(collect)
		}
		for name := range names {
			at := path.Join(n.path, name)
			if sub, ok := folders[at]; ok {
				if err := visit(sub); err != nil {
					return err
				}
				continue
			}
			if n.path == "" {
				continue // an output at the top that code took the name of
			}
			if _, code := p.index.Find(at); code {
				continue
			}
			if err := s.symlink(depth(folder(p.number)+"/"+at)+data+"/"+at, next+"/"+at); err != nil {
				return err
			}
		}
		return nil
	}
	return visit(p.layout)
}

func (s *Store) symlink(target, at string) error {
	err := s.root.Symlink(target, at)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	return err
}
