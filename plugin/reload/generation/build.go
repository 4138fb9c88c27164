package generation

import (
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"strings"
	"syscall"

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
	b := &builder{s: s, p: p}
	touched := map[string]bool{}
	for _, e := range changes.Puts {
		if err := b.place(e); err != nil {
			return err
		}
		touched[e.Path] = true
	}
	p.layout = layOut(p.index)
	p.marks = make([]mark, len(p.index))
	j := 0
	for i, e := range p.index {
		for j < len(s.index) && s.index[j].Path < e.Path {
			j++
		}
		if !touched[e.Path] && j < len(s.index) && s.index[j].Path == e.Path {
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
	s    *Store
	p    *plan
	held map[[32]byte]int
}

func (b *builder) place(e tree.Entry) error {
	s, to := b.s, next+"/"+e.Path
	came := b.p.came[e.Sum]
	if came == to { // it was written where it belongs
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
		if e.Target == "" {
			return ErrBase // restored from a manifest, which has no targets
		}
		return s.root.Symlink(e.Target, to)
	}
	// Two paths never share an inode, or a program that writes to one of them
	// would write to the other; nor does a changed mode.
	if came != "" {
		return s.copy(came, to, e)
	}
	if b.held == nil {
		b.held = s.held()
	}
	i, ok := b.held[e.Sum]
	if !ok {
		return &MissingError{[][32]byte{e.Sum}}
	}
	err := s.copy(folder(s.number)+"/"+s.index[i].Path, to, e)
	var changed *DigestError
	if errors.As(err, &changed) || errors.Is(err, fs.ErrNotExist) {
		s.damaged[i] = true // a program has written to it
		return &MissingError{[][32]byte{e.Sum}}
	}
	return err
}

// clear removes whatever has a name in next.
func (s *Store) clear(p string) error {
	err := s.root.Remove(p)
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	return s.root.RemoveAll(p)
}

// copy makes an inode of its own. It returns a *DigestError when what is
// copied is not the entry's content.
func (s *Store) copy(from, to string, e tree.Entry) error {
	in, err := s.root.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := s.root.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	h := sha256.New()
	_, err = io.Copy(io.MultiWriter(out, h), in)
	if err = errors.Join(err, out.Chmod(mode(e.Kind)), out.Close()); err != nil {
		return err
	}
	if got := tree.Digest(h.Sum(nil)); got != e.Sum {
		_ = s.root.Remove(to)
		return &DigestError{Want: e.Sum, Got: got}
	}
	return nil
}

func mode(kind tree.Kind) fs.FileMode {
	if kind == tree.Executable {
		return 0o755
	}
	return 0o644
}

// depth returns the way up from a path's folder to the volume.
func depth(p string) string { return strings.Repeat("../", strings.Count(p, "/")) }
