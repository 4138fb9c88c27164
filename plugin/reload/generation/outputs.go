package generation

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// carry moves what programs wrote beside their code out of the current
// generation, and of those before it that a process has lived through: from
// the top to the top of the volume, from deeper folders to data. A path that
// is written again replaces what was kept before.
func (s *Store) carry() error {
	for _, g := range append(slices.Clone(s.lived), past{s.number, s.index, s.layout}) {
		if err := s.carryFrom(g); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) carryFrom(g past) error {
	return s.outputs(g, func(from, p string) error {
		if other, ok := s.elsewhere(from); ok {
			return s.settleLink(from, other, p)
		}
		if err := s.keep(from, p); err != nil {
			return err
		}
		// If the flip fails, the old process goes on with what it wrote.
		return s.symlink(depth(from)+home(p), from)
	})
}

// settleLink makes a link of share's one to what is kept. The output it leads
// to was carried before, from an earlier generation; a program that has given
// the link another name meant the output.
func (s *Store) settleLink(from, other, p string) error {
	if err := s.root.Remove(from); err != nil {
		return err
	}
	kept, ok := s.leads(other)
	if !ok {
		return nil // the program has removed it
	}
	if kept != home(p) {
		if err := s.keep(kept, p); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return s.symlink(depth(from)+home(p), from)
}

// outputs calls visit with what programs wrote into a generation: where it is
// on the volume, and its path as the program knows it. Links to what is kept
// for good are left out.
func (s *Store) outputs(g past, visit func(from, p string) error) error {
	top := s.openFolder(folder(g.number))
	defer closeFolder(top)
	return g.layout.walk(top, func(n *node, dir int) error {
		if dir < 0 || !n.stirred(dir) { // below 0: a program removed it
			return nil
		}
		names, err := list(dir)
		if err != nil {
			return err
		}
		for _, i := range n.files {
			delete(names, name(g.index[i]))
		}
		for _, sub := range n.subs {
			delete(names, path.Base(sub.path))
		}
		for extra := range names {
			p := path.Join(n.path, extra)
			from := folder(g.number) + "/" + p
			if at, _ := s.leads(from); extra == "__pycache__" || at == home(p) {
				continue
			}
			if err := visit(from, p); err != nil {
				return err
			}
		}
		return nil
	})
}

// leads returns where on the volume a relative link leads.
func (s *Store) leads(from string) (string, bool) {
	target, err := s.root.Readlink(from)
	if err != nil || path.IsAbs(target) {
		return "", false
	}
	return path.Join(path.Dir(from), target), true
}

// elsewhere returns the output of an earlier generation that a link of share
// leads to.
func (s *Store) elsewhere(from string) (string, bool) {
	at, ok := s.leads(from)
	return at, ok && strings.HasPrefix(at, gens+"/")
}

// home is where an output lives for good.
func home(p string) string {
	if strings.Contains(p, "/") {
		return data + "/" + p
	}
	return p
}

// keep moves an output home.
func (s *Store) keep(from, p string) error {
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
	return s.root.Rename(from, to)
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

// exposure is what is left to do at the volume's top once a plan's tree is the
// current one.
type exposure struct {
	gone  []string // links to what is no code any more
	taken []string // outputs whose name code has taken
}

// expose links what is kept into a plan's tree, mostly next, which becomes the
// current one, and what is new at the tree's top into the volume's. Nothing
// that a program of the current tree sees goes away: the flip may still fail.
func (s *Store) expose(p *plan, into string) (after exposure, err error) {
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
		return after, err
	}
	delete(names, own)
	if _, cache := names["__pycache__"]; cache {
		// Bytecode of modules that were imported through the links: the next
		// generation's are checked against it by whole seconds and size.
		delete(names, "__pycache__")
		if err := s.root.RemoveAll("__pycache__"); err != nil {
			return after, err
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
		case ours:
			after.gone = append(after.gone, name)
		case top[name]:
			delete(top, name)
			after.taken = append(after.taken, name)
		default:
			if err := s.symlink(up+name, into+"/"+name); err != nil {
				return after, err
			}
		}
	}
	for name := range top {
		if err := s.symlink(current+"/"+name, name); err != nil {
			return after, err
		}
	}
	return after, s.exposeDeep(p, into)
}

// finish does at the volume's top what waits for the flip, and returns what
// could not be done yet. Code wins over an output of the same name, which
// moves to data.
func (s *Store) finish(e exposure) (left exposure) {
	for _, name := range e.gone {
		if err := s.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			left.gone = append(left.gone, name)
		}
	}
	for _, name := range e.taken {
		err := s.root.RemoveAll(data + "/" + name)
		if err == nil {
			err = s.root.Rename(name, data+"/"+name)
		}
		if err == nil || errors.Is(err, fs.ErrNotExist) {
			err = s.symlink(current+"/"+name, name)
		}
		if err != nil {
			left.taken = append(left.taken, name)
		}
	}
	return left
}

// exposeDeep links kept outputs into the folders of code that hold them.
func (s *Store) exposeDeep(p *plan, into string) error {
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
			if err := s.symlink(depth(folder(p.number)+"/"+at)+data+"/"+at, into+"/"+at); err != nil {
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
