package generation

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// mark recognises a file that something else wrote to: as long as none of it
// moves, neither has the content.
type mark struct {
	inode        uint64
	size         int64
	mtime, ctime int64 // ns
}

func (m *mark) of(st *unix.Stat_t) {
	*m = mark{inode: st.Ino, size: st.Size, mtime: st.Mtim.Nano(), ctime: st.Ctim.Nano()}
}

// take marks the file at a path.
func (m *mark) take(full string) error {
	var st unix.Stat_t
	if err := unix.Lstat(full, &st); err != nil {
		return &fs.PathError{Op: "lstat", Path: full, Err: err}
	}
	m.of(&st)
	return nil
}

// retime takes over the change time that another link to the same untouched
// file has caused.
func (m *mark) retime(dir int, name string) {
	var st unix.Stat_t
	if unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return
	}
	if now := m; now.inode == st.Ino && now.size == st.Size && now.mtime == st.Mtim.Nano() {
		m.ctime = st.Ctim.Nano()
	}
}

// stats calls visit with the state on disk of each file of the current tree;
// a nil state is a file that is gone.
func (s *Store) stats(visit func(i int, dir int, name string, st *unix.Stat_t)) {
	top := s.openFolder(folder(s.number))
	defer closeFolder(top)
	var st unix.Stat_t
	_ = s.layout.walk(top, func(n *node, dir int) error {
		for _, i := range n.files {
			name := name(s.index[i])
			if dir < 0 || unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW) != nil {
				visit(i, dir, name, nil)
				continue
			}
			visit(i, dir, name, &st)
		}
		return nil
	})
}

// sweep looks at every file of the current tree and notes those that are not
// as they were written. Only files whose times moved are read.
func (s *Store) sweep() {
	s.stats(func(i, _ int, _ string, st *unix.Stat_t) {
		if st == nil {
			s.damaged[i] = true
			return
		}
		var now mark
		now.of(st)
		if now == s.marks[i] {
			return
		}
		s.check(i, now)
	})
}

// check hashes a file of the current tree and notes whether it is intact.
func (s *Store) check(i int, now mark) {
	e := s.index[i]
	sum, kind, err := s.hash(folder(s.number) + "/" + e.Path)
	if err != nil || sum != e.Sum || kind != e.Kind {
		s.damaged[i] = true
		return
	}
	s.marks[i] = now
	delete(s.damaged, i)
}

// rehash looks at every file by its content.
func (s *Store) rehash() {
	s.stats(func(i, _ int, _ string, st *unix.Stat_t) {
		if st == nil {
			s.damaged[i] = true
			return
		}
		var now mark
		now.of(st)
		s.check(i, now)
	})
}

// refresh takes over the change times that removing other links has caused.
func (s *Store) refresh() {
	s.stats(func(i, dir int, name string, st *unix.Stat_t) {
		if st != nil {
			s.marks[i].retime(dir, name)
		}
	})
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
	found := make(tree.Index, 0, len(s.index))
	var differences []Difference
	for i, e := range s.index {
		sum, kind, err := s.hash(folder(s.number) + "/" + e.Path)
		switch {
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
			differences = append(differences, Difference{e.Path, "missing"})
			s.damaged[i] = true
			continue
		case err != nil:
			return 0, tree.Digest{}, nil, s.wrap("verify "+e.Path, err)
		case sum != e.Sum || kind != e.Kind:
			differences = append(differences, Difference{e.Path, "changed"})
			s.damaged[i] = true
		}
		found = append(found, tree.Entry{Path: e.Path, Kind: kind, Sum: sum})
	}
	return s.number, found.Digest(), differences, nil
}

// inUse tells whether a process of this container works in a generation.
func (s *Store) inUse(number uint64) bool {
	processes, err := os.ReadDir("/proc")
	if err != nil {
		return false
	}
	gen := s.Path(number)
	for _, p := range processes {
		if c := p.Name()[0]; c < '0' || c > '9' {
			continue
		}
		cwd, err := os.Readlink(fmt.Sprintf("/proc/%s/cwd", p.Name()))
		if err == nil && (cwd == gen || strings.HasPrefix(cwd, gen+"/")) {
			return true
		}
	}
	return false
}

// coarse covers a tick of the clock that file systems stamp with.
const coarse = 20 * time.Millisecond

// stamp notes when entries of each folder last changed. Programs that start
// later and write there move it.
func (n *node) stamp(top int) {
	now := time.Now()
	_ = n.walk(top, func(n *node, dir int) error {
		var st unix.Stat_t
		n.racy = true
		if dir >= 0 && unix.Fstat(dir, &st) == nil {
			n.mtime = st.Mtim.Nano()
			n.racy = now.Sub(time.Unix(0, n.mtime)) < coarse
		}
		return nil
	})
}

// stirred tells whether entries of the folder may have changed since stamp.
func (n *node) stirred(dir int) bool {
	var st unix.Stat_t
	return n.racy || unix.Fstat(dir, &st) != nil || st.Mtim.Nano() != n.mtime
}
