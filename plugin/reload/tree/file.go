package tree

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// identity is what a file's metadata say about its content: as long as none
// of it moves, neither has the content, but for the racy window below.
type identity struct {
	size         int64
	mode         fs.FileMode
	mtime, ctime int64
	inode        uint64
}

func identify(info fs.FileInfo) identity {
	id := identity{size: info.Size(), mode: info.Mode(), mtime: info.ModTime().UnixNano()}
	id.inode, id.ctime = platformIdentity(info)
	return id
}

// racyWindow is the time in which a second write may leave the same
// timestamps as the first: coarse file systems keep whole seconds.
const racyWindow = 2 * time.Second

// racy tells whether content read at the given time may have changed since
// without a trace in the identity.
func (id identity) racy(read time.Time) bool {
	near := func(stamp int64) bool {
		return stamp != 0 && read.Sub(time.Unix(0, stamp)).Abs() < racyWindow
	}
	return near(id.mtime) || near(id.ctime)
}

// file is an entry with what was known of its file when it was read.
type file struct {
	Entry
	id   identity
	read time.Time // zero: not read yet
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 128<<10); return &b }}

const attempts = 8

// load fills the entry from the file at full, again when the file changes
// meanwhile, and hands its content to keep if that is not nil. It returns
// fs.ErrNotExist when the file is gone.
func (f *file) load(full string, keep func(Entry, []byte)) error {
	for range attempts {
		before, err := os.Lstat(full)
		if err != nil {
			return err
		}
		id := identify(before)
		entry := Entry{Path: f.Path}
		var content *[]byte
		switch {
		case before.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(full)
			if err != nil {
				if errors.Is(err, fs.ErrNotExist) {
					return err
				}
				continue // no longer a link
			}
			entry.Kind, entry.Target = Link, filepath.ToSlash(target)
			entry.Size, entry.Sum = int64(len(entry.Target)), sha256.Sum256([]byte(entry.Target))
		case before.Mode().IsRegular():
			entry.Kind = File
			if before.Mode()&0o100 != 0 {
				entry.Kind = Executable
			}
			if keep != nil && before.Size() <= ReadBytes {
				content = new([]byte)
			}
			if entry.Sum, entry.Size, err = hash(full, before, content); err != nil {
				if errors.Is(err, errMoved) {
					continue
				}
				return err
			}
		default:
			return fs.ErrNotExist // became something else; the listing decides again
		}
		after, err := os.Lstat(full)
		if err != nil {
			return err
		}
		if identify(after) == id {
			f.Entry, f.id, f.read = entry, id, time.Now()
			if content != nil {
				keep(entry, *content)
			}
			return nil
		}
	}
	return &ChangingError{f.Path}
}

var errMoved = errors.New("another file took the name")

// hash reads the regular file that want describes, into content if that is
// not nil.
func hash(full string, want fs.FileInfo, content *[]byte) (sum [32]byte, size int64, err error) {
	f, err := openFile(full)
	if err != nil {
		return sum, 0, err
	}
	defer func() { _ = f.Close() }()
	got, err := f.Stat()
	if err != nil {
		return sum, 0, err
	}
	if !os.SameFile(want, got) {
		return sum, 0, errMoved
	}
	if content != nil {
		all := bytes.NewBuffer(make([]byte, 0, want.Size()+bytes.MinRead))
		size, err = all.ReadFrom(f)
		*content = all.Bytes()
		return sha256.Sum256(*content), size, err
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	h := sha256.New()
	size, err = io.CopyBuffer(struct{ io.Writer }{h}, struct{ io.Reader }{f}, *buf)
	return [32]byte(h.Sum(nil)), size, err
}
