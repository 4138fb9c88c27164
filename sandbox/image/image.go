// Package image makes small images in this process and brings images into
// the nodes of a sandbox. No registry and no build daemon takes part: a
// static binary becomes an image of one layer, and an archive is streamed to
// all nodes at once.
package image

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Image is an image made here, with the reference it goes by.
type Image struct {
	v1.Image
	Ref string
}

// FromBinary makes an image that holds one static binary on an empty root:
// the binary at path, and /tmp. The digest depends on the arguments alone,
// not on the time, the user or the Go version: the layer is not compressed.
func FromBinary(binary io.Reader, arch, path string, entrypoint []string, tag string) (*Image, error) {
	ref, err := name.NewTag(tag)
	if err != nil {
		return nil, fmt.Errorf("name the image: %w", err)
	}
	content, err := io.ReadAll(binary)
	if err != nil {
		return nil, fmt.Errorf("read the program for image %s: %w", tag, err)
	}
	layer, err := binaryLayer(content, path)
	if err != nil {
		return nil, fmt.Errorf("make the layer of image %s: %w", tag, err)
	}
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.AppendLayers(base, static.NewLayer(layer, types.OCIUncompressedLayer))
	if err != nil {
		return nil, fmt.Errorf("make image %s: %w", tag, err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("make image %s: %w", tag, err)
	}
	config = config.DeepCopy()
	config.OS, config.Architecture = "linux", arch
	config.Created = v1.Time{Time: time.Unix(0, 0).UTC()}
	config.Config.Entrypoint = entrypoint
	config.Config.WorkingDir = "/"
	if img, err = mutate.ConfigFile(img, config); err != nil {
		return nil, fmt.Errorf("make image %s: %w", tag, err)
	}
	return &Image{Image: img, Ref: ref.String()}, nil
}

// binaryLayer is the tar of a binary, the folders above it, and /tmp.
func binaryLayer(content []byte, at string) ([]byte, error) {
	var buf bytes.Buffer
	archive := tar.NewWriter(&buf)
	at = strings.TrimPrefix(path.Clean("/"+at), "/")
	write := func(h *tar.Header, content []byte) error {
		h.ModTime, h.Format = time.Unix(0, 0), tar.FormatUSTAR
		if err := archive.WriteHeader(h); err != nil {
			return err
		}
		_, err := archive.Write(content)
		return err
	}
	if err := write(&tar.Header{Typeflag: tar.TypeDir, Name: "tmp/", Mode: 0o1777}, nil); err != nil {
		return nil, err
	}
	for i, r := range at {
		if r == '/' && at[:i] != "tmp" {
			if err := write(&tar.Header{Typeflag: tar.TypeDir, Name: at[:i+1], Mode: 0o755}, nil); err != nil {
				return nil, err
			}
		}
	}
	if err := write(&tar.Header{Typeflag: tar.TypeReg, Name: at, Mode: 0o755, Size: int64(len(content))}, content); err != nil {
		return nil, err
	}
	if err := archive.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// ID is the digest of the image's configuration, by which engines and nodes
// know it.
func (i *Image) ID() (string, error) {
	h, err := i.ConfigName()
	if err != nil {
		return "", fmt.Errorf("digest of image %s: %w", i.Ref, err)
	}
	return h.String(), nil
}

// Tarball streams the image as an archive that engines and containerd load.
// The caller closes it.
func (i *Image) Tarball() io.ReadCloser {
	reader, writer := io.Pipe()
	go func() {
		// The pipe joins the goroutine to its reader: closing one ends both.
		ref, err := name.NewTag(i.Ref)
		if err == nil {
			err = tarball.Write(ref, i.Image, writer)
		}
		_ = writer.CloseWithError(err) // never fails
	}()
	return reader
}
