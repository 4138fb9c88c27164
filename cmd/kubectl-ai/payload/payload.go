// Package payload carries the Linux programs that kubectl-ai puts into pods
// and nodes: an archive for each architecture, linux-<arch>.tar.zst. In one
// archive they are a third smaller than each by itself, as they share Go's
// runtime and most libraries. Beside them, in crds.tar.zst, are definitions
// that it brings into sandboxes. A source checkout holds none until `make
// build` has made them; the rest of the tool then says so.
package payload

import (
	"archive/tar"
	"bytes"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"time"

	"github.com/klauspost/compress/zstd"
)

//go:embed programs
var files embed.FS

// FS returns the programs, unpacked on opening: linux-<arch>/<program>, and
// crds/<file>.
func FS() fs.FS { return unpacked{files, "programs"} }

// unpacked reads archives of a folder as folders.
type unpacked struct {
	packed fs.FS
	dir    string
}

// Open implements fs.FS for the programs alone; a program that is not carried
// is fs.ErrNotExist. It reads as far as the program lies in the archive.
func (u unpacked) Open(name string) (fs.File, error) {
	missing := &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	packed, err := u.packed.Open(path.Join(u.dir, path.Dir(name)+".tar.zst"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missing
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = packed.Close() }()
	stream, err := zstd.NewReader(packed, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", name, err)
	}
	defer stream.Close()
	archive := tar.NewReader(stream)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return nil, missing
		}
		if err != nil {
			return nil, fmt.Errorf("unpack %s: %w", name, err)
		}
		if header.Name != path.Base(name) {
			continue
		}
		content := make([]byte, header.Size)
		if _, err := io.ReadFull(archive, content); err != nil {
			return nil, fmt.Errorf("unpack %s: %w", name, err)
		}
		return &program{Reader: bytes.NewReader(content), name: header.Name}, nil
	}
}

// program is an opened program.
type program struct {
	*bytes.Reader
	name string
}

func (p *program) Stat() (fs.FileInfo, error) { return info{p}, nil }
func (p *program) Close() error               { return nil }

type info struct{ p *program }

func (i info) Name() string       { return i.p.name }
func (i info) Size() int64        { return i.p.Reader.Size() }
func (i info) Mode() fs.FileMode  { return 0o755 }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return false }
func (i info) Sys() any           { return nil }
