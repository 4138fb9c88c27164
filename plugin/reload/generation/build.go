package generation

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// puts returns what next has to get: what differs from the current tree, and
// the files of it that programs have written to.
func (s *Store) puts(p *plan) tree.Changes {
	c := p.index.Diff(s.index)
	for i := range s.damaged {
		old := s.index[i]
		if e, ok := p.index.Find(old.Path); ok && e.Kind == old.Kind && e.Sum == old.Sum {
			c.Puts = append(c.Puts, e)
		}
	}
	return c
}

// missing returns the contents without which the plan cannot be built.
func (s *Store) missing(p *plan) [][32]byte {
	var sums [][32]byte
	asked := map[[32]byte]bool{}
	var held map[[32]byte]int
	for _, e := range s.puts(p).Puts {
		if e.Kind == tree.Link || p.came[e.Sum] != "" || asked[e.Sum] {
			continue
		}
		if held == nil {
			held = s.held()
		}
		if _, ok := held[e.Sum]; !ok {
			sums, asked[e.Sum] = append(sums, e.Sum), true
		}
	}
	return sums
}

// held finds intact files of the current tree by content.
func (s *Store) held() map[[32]byte]int {
	m := make(map[[32]byte]int, len(s.index))
	for i, e := range s.index {
		if e.Kind != tree.Link && !s.damaged[i] {
			m[e.Sum] = i
		}
	}
	return m
}

// build turns next, which is the current tree, into the plan's.
func (s *Store) build(p *plan) error {
	changes := s.puts(p)
	p.repaired = maps.Clone(s.damaged)
	for _, gone := range changes.Deletes {
		if err := s.clear(next + "/" + gone); err != nil {
			return err
		}
		// Folders that hold nothing any more are not part of a tree.
		for dir := path.Dir(gone); dir != "."; dir = path.Dir(dir) {
			if s.root.Remove(next+"/"+dir) != nil {
				break
			}
		}
	}
	b := &builder{s: s, p: p, placed: map[string]string{}, touched: map[string]bool{}}
	for _, e := range changes.Puts {
		if err := b.place(e); err != nil {
			return err
		}
		b.touched[e.Path] = true
	}
	p.layout = layOut(p.index)
	p.marks = make([]mark, len(p.index))
	j := 0
	for i, e := range p.index {
		for j < len(s.index) && s.index[j].Path < e.Path {
			j++
		}
		if !b.touched[e.Path] && j < len(s.index) && s.index[j].Path == e.Path {
			p.marks[i] = s.marks[j]
			continue
		}
		if err := p.marks[i].take(s.dir + "/" + next + "/" + e.Path); err != nil {
			return err
		}
	}
	return nil
}

// builder places entries into next.
type builder struct {
	s       *Store
	p       *plan
	placed  map[string]string // kind and content → a path of the volume that has it
	touched map[string]bool   // paths of the new tree whose inode is not the old one's, or has another time
	held    map[[32]byte]int
}

func key(kind tree.Kind, sum [32]byte) string { return string(append([]byte{byte(kind)}, sum[:]...)) }

func (b *builder) place(e tree.Entry) error {
	s, to, k := b.s, next+"/"+e.Path, key(e.Kind, e.Sum)
	came := b.p.came[e.Sum]
	if came == to { // it was written where it belongs
		b.placed[k] = to
		return nil
	}
	if dir := path.Dir(e.Path); dir != "." {
		if err := s.root.MkdirAll(next+"/"+dir, 0o777); err != nil {
			return err
		}
	}
	if err := s.clear(to); err != nil {
		return err
	}
	if e.Kind == tree.Link {
		return s.root.Symlink(e.Target, to)
	}
	if from, ok := b.placed[k]; ok {
		if s.link(from, to) == nil {
			return nil
		}
		return s.copy(from, to, e.Kind)
	}
	b.placed[k] = to
	if came != "" {
		// For another path or as another kind: an inode of its own.
		return s.copy(came, to, e.Kind)
	}
	if b.held == nil {
		b.held = s.held()
	}
	i, ok := b.held[e.Sum]
	if !ok {
		return &MissingError{[][32]byte{e.Sum}}
	}
	old := s.index[i]
	from := folder(s.number) + "/" + old.Path
	// A changed mode is a new inode, or the old generation would change too.
	if old.Kind == e.Kind && s.link(from, to) == nil {
		b.touched[old.Path] = true // its inode has a new time
		return s.marks[i].take(s.dir + "/" + from)
	}
	return s.copy(from, to, e.Kind)
}

// clear removes whatever has a name in next.
func (s *Store) clear(p string) error {
	err := s.root.Remove(p)
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	return s.root.RemoveAll(p)
}

func (s *Store) link(from, to string) error {
	// Not through the root, which would open every folder on the way: both
	// paths were checked, and lie in trees that this store made.
	return unix.Linkat(unix.AT_FDCWD, s.dir+"/"+from, unix.AT_FDCWD, s.dir+"/"+to, 0)
}

// copy makes an inode of its own.
func (s *Store) copy(from, to string, kind tree.Kind) error {
	in, err := s.root.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := s.root.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Chmod(mode(kind)), out.Close())
}

func mode(kind tree.Kind) fs.FileMode {
	if kind == tree.Executable {
		return 0o755
	}
	return 0o644
}

// depth returns the way up from a path's folder to the volume.
func depth(p string) string { return strings.Repeat("../", strings.Count(p, "/")) }
