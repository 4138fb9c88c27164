// Package payload carries the Linux programs that kubectl-ai puts into pods
// and nodes, under linux-<arch>/<program>.gz. A source checkout holds none
// until `make build` has made them; the rest of the tool then says so.
package payload

import (
	"bytes"
	"compress/gzip"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"
)

//go:embed all:*
var files embed.FS

// FS returns the programs, decompressed on opening: linux-<arch>/<program>.
func FS() fs.FS { return inflated{files} }

type inflated struct{ packed fs.FS }

// Open implements fs.FS for the programs alone; a program that is not
// carried is fs.ErrNotExist.
func (i inflated) Open(name string) (fs.File, error) {
	packed, err := i.packed.Open(name + ".gz")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	if err != nil {
		return nil, err
	}
	defer func() { _ = packed.Close() }()
	unpack, err := gzip.NewReader(packed)
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", name, err)
	}
	content, err := io.ReadAll(unpack)
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", name, err)
	}
	return &program{Reader: bytes.NewReader(content), name: name, size: int64(len(content))}, nil
}

// program is an opened program; it is its own fs.FileInfo.
type program struct {
	*bytes.Reader
	name string
	size int64
}

func (p *program) Stat() (fs.FileInfo, error) { return info{p}, nil }
func (p *program) Close() error               { return nil }

type info struct{ p *program }

func (i info) Name() string       { return i.p.name }
func (i info) Size() int64        { return i.p.size }
func (i info) Mode() fs.FileMode  { return 0o755 }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return false }
func (i info) Sys() any           { return nil }
