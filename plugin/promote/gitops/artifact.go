package gitops

import (
	"archive/tar"
	"bytes"
	"context"
	"fmt"
	"io"
	"path"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
)

// configType says to whoever looks at the artifact that it is no image to run.
// It is the type that Flux gives to its own.
const configType types.MediaType = "application/vnd.cncf.flux.config.v1+json"

// Artifact returns the files as an OCI artifact of one layer. The same files
// have the same digest. annotations describe it, such as
// org.opencontainers.image.revision.
func (f Files) Artifact(annotations map[string]string) (v1.Image, error) {
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, 6)
	if err != nil {
		return nil, fmt.Errorf("pack the files: %w", err)
	}
	if err := f.tar(z); err != nil {
		return nil, fmt.Errorf("pack the files: %w", err)
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("pack the files: %w", err)
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), configType)
	img, err = mutate.Append(img, mutate.Addendum{Layer: static.NewLayer(packed.Bytes(), types.OCILayer), MediaType: types.OCILayer})
	if err != nil {
		return nil, fmt.Errorf("make the artifact: %w", err)
	}
	described, ok := mutate.Annotations(img, annotations).(v1.Image)
	if !ok {
		return nil, fmt.Errorf("make the artifact: no image")
	}
	return described, nil
}

// tar writes the files in the order of their names, without times and owners,
// each folder before what is in it.
func (f Files) tar(w io.Writer) error {
	t := tar.NewWriter(w)
	made := map[string]bool{".": true}
	for _, name := range f.Names() {
		if dir := path.Dir(name); !made[dir] {
			made[dir] = true
			if err := t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755, ModTime: time.Unix(0, 0), Format: tar.FormatPAX}); err != nil {
				return err
			}
		}
		header := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(f[name])), ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
		if err := t.WriteHeader(header); err != nil {
			return err
		}
		if _, err := t.Write(f[name]); err != nil {
			return err
		}
	}
	return t.Close()
}

// PushError says that a registry did not take the artifact.
type PushError struct {
	Ref string
	Err error
}

func (e *PushError) Error() string { return fmt.Sprintf("push %s: %v", e.Ref, e.Err) }
func (e *PushError) Unwrap() error { return e.Err }

// Push sends an artifact under a tag and returns it by digest.
func Push(ctx context.Context, img v1.Image, tag name.Tag) (name.Digest, error) {
	digest, err := img.Digest()
	if err != nil {
		return name.Digest{}, fmt.Errorf("hash the artifact: %w", err)
	}
	if err := remote.Write(tag, img, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)); err != nil {
		if ctx.Err() != nil {
			return name.Digest{}, context.Cause(ctx)
		}
		return name.Digest{}, &PushError{Ref: tag.String(), Err: err}
	}
	return tag.Context().Digest(digest.String()), nil
}
