package carrier

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// errNotThere says that the engine does not have an image.
var errNotThere = errors.New("no such image")

// errNoEngine says that there is no engine to ask.
var errNoEngine = errors.New("there is none")

// fromEngine returns an image of the engine. Its layers are compressed once
// and kept as an OCI layout under the image's ID: the digest stays the same,
// and a second promotion needs neither `save` nor gzip.
func (r *Resolver) fromEngine(ctx context.Context, image string) (Base, error) {
	if r.Engine == nil {
		return Base{}, errNoEngine
	}
	id, err := r.Engine.ImageID(ctx, image)
	if err != nil {
		return Base{}, err
	}
	if id == "" {
		return Base{}, errNotThere
	}
	dir := filepath.Join(r.Cache, "images", strings.TrimPrefix(id, "sha256:"))
	img, err := openLayout(dir)
	if err != nil {
		if err := r.save(ctx, image, dir); err != nil {
			return Base{}, fmt.Errorf("keep image %s in the cache: %w", image, err)
		}
		if img, err = openLayout(dir); err != nil {
			return Base{}, fmt.Errorf("read image %s from the cache: %w", image, err)
		}
	}
	return Base{Images: []v1.Image{img}, From: "the container engine, " + id}, nil
}

// openLayout opens the one image of a layout and looks whether its blobs are
// all there.
func openLayout(dir string) (v1.Image, error) {
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	if len(manifest.Manifests) != 1 {
		return nil, fmt.Errorf("%d images in a layout for one", len(manifest.Manifests))
	}
	img, err := index.Image(manifest.Manifests[0].Digest)
	if err != nil {
		return nil, err
	}
	m, err := img.Manifest()
	if err != nil {
		return nil, err
	}
	for _, l := range append(m.Layers, m.Config) {
		info, err := os.Stat(filepath.Join(dir, "blobs", l.Digest.Algorithm, l.Digest.Hex))
		if err != nil {
			return nil, err
		}
		if info.Size() != l.Size {
			return nil, fmt.Errorf("blob %s has %d of %d bytes", l.Digest, info.Size(), l.Size)
		}
	}
	return img, nil
}

// save writes an image of the engine as a layout at dir. A reader sees all of
// it or nothing.
func (r *Resolver) save(ctx context.Context, image, dir string) (err error) {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp(filepath.Dir(dir), ".new-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	archive := filepath.Join(work, "image.tar")
	if err := r.export(ctx, image, archive); err != nil {
		return err
	}
	img, err := tarball.Image(func() (io.ReadCloser, error) { return os.Open(archive) }, nil)
	if err != nil {
		return err
	}
	path, err := layout.Write(filepath.Join(work, "layout"), empty.Index)
	if err != nil {
		return err
	}
	if err := path.AppendImage(img); err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if _, err := openLayout(dir); err == nil {
		return nil // another promotion was quicker, and may be reading it
	}
	if err := os.RemoveAll(dir); err != nil { // what openLayout found wanting
		return err
	}
	err = os.Rename(filepath.Join(work, "layout"), dir)
	if _, openErr := openLayout(dir); openErr == nil {
		return nil
	}
	return err
}

func (r *Resolver) export(ctx context.Context, image, archive string) (err error) {
	f, err := os.Create(archive)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	return r.Engine.Stream(ctx, nil, f, "save", image)
}
