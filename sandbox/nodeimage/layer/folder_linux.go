package layer

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// PackFolder packs what is under root as it is: owners, modes, times, hard
// links, devices and file capabilities. keep says which paths, relative to
// root, go in; a folder that does not leaves out everything in it.
func PackFolder(name, root string, keep func(path string, d fs.DirEntry) bool) error {
	return create(name, func(w io.Writer) error {
		archive := tar.NewWriter(w)
		seen := map[inode]string{}
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || path == root {
				return err
			}
			relative := strings.TrimPrefix(path, root+string(filepath.Separator))
			if !keep(relative, d) {
				if d.IsDir() {
					return fs.SkipDir
				}
				return nil
			}
			return packFile(archive, path, relative, seen)
		})
		if err != nil {
			return err
		}
		return archive.Close()
	})
}

type inode struct{ device, number uint64 }

func packFile(archive *tar.Writer, path, relative string, seen map[inode]string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	if info.Mode()&fs.ModeSocket != 0 { // means nothing to another process
		return nil
	}
	target := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		if target, err = os.Readlink(path); err != nil {
			return err
		}
	}
	h, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return fmt.Errorf("pack %s: %w", relative, err)
	}
	h.Name = relative
	if info.IsDir() {
		h.Name += "/"
	}
	h.Uname, h.Gname = "", "" // names of this machine's users
	h.AccessTime, h.ChangeTime = time.Time{}, time.Time{}
	h.ModTime = h.ModTime.Truncate(time.Second)
	stat, ok := info.Sys().(*syscall.Stat_t)
	if ok && stat.Nlink > 1 && info.Mode().IsRegular() {
		id := inode{uint64(stat.Dev), stat.Ino} //nolint:unconvert // Dev is narrower on some architectures
		if first, again := seen[id]; again {
			h.Typeflag, h.Linkname, h.Size = tar.TypeLink, first, 0
		} else {
			seen[id] = relative
		}
	}
	if h.Typeflag == tar.TypeReg {
		if h.PAXRecords, err = capabilities(path); err != nil {
			return fmt.Errorf("pack %s: %w", relative, err)
		}
	}
	if err := archive.WriteHeader(h); err != nil {
		return fmt.Errorf("pack %s: %w", relative, err)
	}
	if h.Typeflag != tar.TypeReg {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	_, err = io.Copy(archive, f)
	return err
}

// capabilities returns a file's capabilities as engines read them from a
// layer.
func capabilities(path string) (map[string]string, error) {
	const attribute = "security.capability"
	value := make([]byte, 64)
	n, err := unix.Lgetxattr(path, attribute, value)
	switch {
	case errors.Is(err, unix.ENODATA), errors.Is(err, unix.ENOTSUP):
		return nil, nil
	case err != nil:
		return nil, err
	}
	return map[string]string{"SCHILY.xattr." + attribute: string(value[:n])}, nil
}
