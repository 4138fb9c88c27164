package generation

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// node is a folder of a tree.
type node struct {
	path  string // "" for the top
	files []int  // in the index
	subs  []*node
	mtime int64 // when entries of it last changed, as of the commit
	racy  bool  // so shortly before that the clock may not show a later change
}

// layOut returns the folders of a tree.
func layOut(index tree.Index) *node {
	top := &node{}
	known := map[string]*node{".": top}
	var folder func(dir string) *node
	folder = func(dir string) *node {
		if n, ok := known[dir]; ok {
			return n
		}
		n := &node{path: dir}
		known[dir] = n
		parent := folder(path.Dir(dir))
		parent.subs = append(parent.subs, n)
		return n
	}
	last, at := ".", top
	for i, e := range index {
		dir := "."
		if cut := strings.LastIndexByte(e.Path, '/'); cut >= 0 {
			dir = e.Path[:cut]
		}
		if dir != last {
			last, at = dir, folder(dir)
		}
		at.files = append(at.files, i)
	}
	return top
}

// each calls visit for the folder and all below it.
func (n *node) each(visit func(*node) error) error {
	if err := visit(n); err != nil {
		return err
	}
	for _, sub := range n.subs {
		if err := sub.each(visit); err != nil {
			return err
		}
	}
	return nil
}

// walk is each with every folder open, -1 for one that is not there or has
// become something else. Links are not followed: a program may have put one
// where a folder was.
func (n *node) walk(dir int, visit func(n *node, dir int) error) error {
	if err := visit(n, dir); err != nil {
		return err
	}
	for _, sub := range n.subs {
		fd := openIn(dir, path.Base(sub.path))
		err := sub.walk(fd, visit)
		closeFolder(fd)
		if err != nil {
			return err
		}
	}
	return nil
}

// openIn opens a folder in a folder, -1 when there is none.
func openIn(dir int, name string) int {
	if dir < 0 {
		return -1
	}
	fd, err := unix.Openat(dir, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	return fd
}

func closeFolder(fd int) {
	if fd >= 0 {
		_ = unix.Close(fd)
	}
}

// name returns an entry's name in its folder.
func name(e tree.Entry) string { return e.Path[strings.LastIndexByte(e.Path, '/')+1:] }

// openFolder opens a folder of the volume, -1 when there is none; a link in
// its place is not followed.
func (s *Store) openFolder(p string) int {
	info, err := s.root.Lstat(p)
	if err != nil || !info.IsDir() {
		return -1
	}
	f, err := s.root.Open(p)
	if err != nil {
		return -1
	}
	defer func() { _ = f.Close() }()
	fd, err := unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return -1
	}
	return fd
}

// mirror makes next the same as the current tree, name by name and inode by
// inode, whatever it was before. Most of it is usually there already.
func (s *Store) mirror() error {
	if err := s.root.MkdirAll(next, 0o777); err != nil {
		return err
	}
	dst := s.openFolder(next)
	defer closeFolder(dst)
	if dst < 0 {
		return fmt.Errorf("%s is no folder", next)
	}
	src := -1
	if s.number != 0 {
		src = s.openFolder(folder(s.number))
		defer closeFolder(src)
	}
	return s.mirrorFolder(s.layout, src, dst)
}

func (s *Store) mirrorFolder(n *node, src, dst int) error {
	there, err := list(dst)
	if err != nil {
		return fmt.Errorf("list %s: %w", path.Join(next, n.path), err)
	}
	for _, i := range n.files {
		name := name(s.index[i])
		inode, ok := there[name]
		delete(there, name)
		if ok && inode == s.marks[i].inode {
			continue
		}
		if src < 0 {
			s.damaged[i] = true // a program removed the folder
			continue
		}
		if err := s.mirrorFile(i, name, src, dst, ok); err != nil {
			return err
		}
	}
	for _, sub := range n.subs {
		delete(there, path.Base(sub.path))
		if err := s.mirrorSub(sub, src, dst); err != nil {
			return err
		}
	}
	for extra := range there {
		if err := s.root.RemoveAll(path.Join(next, n.path, extra)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) mirrorSub(sub *node, src, dst int) error {
	name := path.Base(sub.path)
	to := openIn(dst, name)
	if to < 0 {
		// Nothing, or something else, has the name.
		if err := s.clear(path.Join(next, sub.path)); err != nil {
			return err
		}
		if err := s.root.Mkdir(path.Join(next, sub.path), 0o777); err != nil {
			return err
		}
		if to = openIn(dst, name); to < 0 {
			return fmt.Errorf("%s cannot be opened", path.Join(next, sub.path))
		}
	}
	defer closeFolder(to)
	from := openIn(src, name)
	defer closeFolder(from)
	return s.mirrorFolder(sub, from, to)
}

func (s *Store) mirrorFile(i int, name string, src, dst int, there bool) error {
	if there {
		var st unix.Stat_t
		// Some file systems list another number than they stat.
		if err := unix.Fstatat(dst, name, &st, unix.AT_SYMLINK_NOFOLLOW); err == nil && st.Ino == s.marks[i].inode {
			return nil
		}
		if err := s.clear(path.Join(next, s.index[i].Path)); err != nil {
			return err
		}
	}
	// Linking moves the file's change time; what moved it before is found now.
	var st unix.Stat_t
	if unix.Fstatat(src, name, &st, unix.AT_SYMLINK_NOFOLLOW) == nil {
		var now mark
		if now.of(&st); now != s.marks[i] {
			s.check(i, now)
		}
	}
	err := unix.Linkat(src, name, dst, name, 0)
	switch {
	case err == nil:
		s.marks[i].retime(src, name)
		return nil
	case errors.Is(err, unix.ENOENT):
		s.damaged[i] = true // a program removed it
		return nil
	}
	// Some volumes know no hard links; a copy does as well.
	e := s.index[i]
	from, to := folder(s.number)+"/"+e.Path, next+"/"+e.Path
	if e.Kind == tree.Link {
		target, err := s.root.Readlink(from)
		if err != nil {
			return err
		}
		return s.root.Symlink(target, to)
	}
	err = s.copy(from, to, e)
	var changed *DigestError
	if errors.As(err, &changed) {
		s.damaged[i] = true
		return nil
	}
	return err
}

// list returns the names in a folder with their inodes, which the kernel
// gives along: a stat of each file would cost ten times as much.
func list(dir int) (map[string]uint64, error) {
	names := map[string]uint64{}
	buf := make([]byte, 32<<10)
	for {
		n, err := unix.Getdents(dir, buf)
		if err != nil {
			return nil, err
		}
		if n == 0 {
			return names, nil
		}
		// struct linux_dirent64 (getdents64(2)): inode 8, offset 8, length 2,
		// type 1, name.
		for rest := buf[:n]; len(rest) > 19; {
			size := int(binary.NativeEndian.Uint16(rest[16:]))
			if size < 19 || size > len(rest) {
				return nil, fmt.Errorf("an entry of %d bytes", size)
			}
			text := rest[19:size]
			if end := bytes.IndexByte(text, 0); end >= 0 {
				text = text[:end]
			}
			if s := string(text); s != "." && s != ".." {
				names[s] = binary.NativeEndian.Uint64(rest)
			}
			rest = rest[size:]
		}
	}
}
