package generation

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"golang.org/x/sys/unix"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// Receive takes the content of an entry; close it when all was written.
func (s *Store) Receive(e tree.Entry) (*Incoming, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.plan == nil {
		return nil, ErrNotStaged
	}
	if err := tree.CheckPath(e.Path); err != nil {
		return nil, err
	}
	in := &Incoming{s: s, plan: s.plan, entry: e}
	if err := s.openNext(); err != nil {
		return nil, s.wrap("prepare for content", err)
	}
	if in.f = s.plan.create(s, e); in.f != nil {
		in.at = next + "/" + e.Path
		return in, nil
	}
	// Something is in the way until the difference is complete.
	in.at = fmt.Sprintf("%s/%x", incoming, e.Sum)
	var err error
	if in.f, err = s.root.OpenFile(in.at, os.O_RDWR|os.O_CREATE|os.O_TRUNC, mode(e.Kind)); err != nil {
		return nil, s.wrap("write content", err)
	}
	return in, nil
}

// openNext takes next for the plan: from now on it is no mirror any more.
func (s *Store) openNext() error {
	if s.plan.opened {
		return nil
	}
	if err := s.prepare(); err != nil {
		return err
	}
	s.plan.opened, s.ready = true, false
	return nil
}

// create makes the file of an entry in next, nil where that cannot be yet.
// Contents come in the order of their paths, so that the folder is mostly
// that of the one before.
func (p *plan) create(s *Store, e tree.Entry) *os.File {
	dir, name := path.Split(e.Path)
	if p.folder < 0 || p.dir != dir {
		p.closeFolder()
		// Where the current tree has a link or a file, next still has it too.
		for up := path.Dir(e.Path); up != "."; up = path.Dir(up) {
			if _, leaf := s.index.Find(up); leaf {
				return nil
			}
		}
		if s.root.MkdirAll(path.Join(next, dir), 0o777) != nil {
			return nil
		}
		if p.folder = s.openFolder(path.Join(next, dir)); p.folder < 0 {
			return nil
		}
		p.dir = dir
	}
	if err := unix.Unlinkat(p.folder, name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return nil
	}
	fd, err := unix.Openat(p.folder, name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, uint32(mode(e.Kind)))
	if err != nil {
		return nil
	}
	return os.NewFile(uintptr(fd), e.Path)
}

func (p *plan) closeFolder() {
	closeFolder(p.folder)
	p.folder = -1
}

// Incoming is a content on its way.
type Incoming struct {
	s     *Store
	plan  *plan
	entry tree.Entry
	at    string // on the volume
	f     *os.File
	size  int64
}

// Write appends to the content.
func (in *Incoming) Write(p []byte) (int, error) {
	n, err := in.f.Write(p)
	in.size += int64(n)
	return n, in.s.wrap("write content", err)
}

// Close hashes what is on disk. It returns a *DigestError when that is not
// the content that was announced.
func (in *Incoming) Close() error {
	defer func() { _ = in.f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(in.f, 0, in.size)); err != nil {
		return in.s.wrap("read content back", err)
	}
	if got := tree.Digest(h.Sum(nil)); got != in.entry.Sum {
		return &DigestError{Want: in.entry.Sum, Got: got}
	}
	// Whatever the umask: the mode is part of the tree.
	want := mode(in.entry.Kind)
	var st unix.Stat_t
	if err := unix.Fstat(int(in.f.Fd()), &st); err != nil || fs.FileMode(st.Mode)&fs.ModePerm != want {
		if err := in.f.Chmod(want); err != nil {
			return in.s.wrap("write content", err)
		}
	}
	in.s.mu.Lock()
	defer in.s.mu.Unlock()
	in.plan.came[in.entry.Sum] = in.at
	return nil
}

// Abort gives up on the content.
func (in *Incoming) Abort() { _ = in.f.Close() }

// Open returns a content of the current tree, to build another on. It looks
// before whether a program has written to it.
func (s *Store) Open(sum [32]byte) (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, e := range s.index {
		if e.Sum != sum || e.Kind == tree.Link {
			continue
		}
		p := folder(s.number) + "/" + e.Path
		var now mark
		if err := now.take(s.dir + "/" + p); err != nil {
			s.damaged[i] = true
			continue
		}
		if now != s.marks[i] {
			s.check(i, now)
		}
		if !s.damaged[i] {
			return s.root.Open(p)
		}
	}
	return nil, fmt.Errorf("content %x: %w", sum[:6], fs.ErrNotExist)
}
