package server

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/google/go-containerregistry/pkg/registry"
)

// blobs is a folder of files named by the SHA-256 of their content, checked
// when they came.
type blobs struct{ dir string }

func (b blobs) path(h v1.Hash) string { return filepath.Join(b.dir, h.Hex) }

// Get opens a blob; registry.ErrNotFound when there is none.
func (b blobs) Get(_ context.Context, _ string, h v1.Hash) (io.ReadCloser, error) {
	f, err := os.Open(b.path(h))
	if errors.Is(err, fs.ErrNotExist) || h.Algorithm != "sha256" {
		return nil, registry.ErrNotFound
	}
	return f, err
}

// Stat returns the size of a blob; registry.ErrNotFound when there is none.
func (b blobs) Stat(_ context.Context, _ string, h v1.Hash) (int64, error) {
	info, err := os.Stat(b.path(h))
	if errors.Is(err, fs.ErrNotExist) || h.Algorithm != "sha256" {
		return 0, registry.ErrNotFound
	}
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}

// Delete removes a blob.
func (b blobs) Delete(_ context.Context, _ string, h v1.Hash) error {
	err := os.Remove(b.path(h))
	if errors.Is(err, fs.ErrNotExist) {
		return registry.ErrNotFound
	}
	return err
}

// errDigest says that content is not what its digest promised.
var errDigest = errors.New("content does not match its digest")

// adopt moves an uploaded file to its place among the blobs, if its content
// has the digest.
func (b blobs) adopt(file string, h v1.Hash) (err error) {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	sum := sha256.New()
	if _, err := io.Copy(sum, f); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); h.Algorithm != "sha256" || got != h.Hex {
		return fmt.Errorf("%w: sha256:%s instead of %s", errDigest, got, h)
	}
	return os.Rename(file, b.path(h))
}
