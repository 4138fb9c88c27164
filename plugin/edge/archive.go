package edge

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"
)

// configType says to whoever looks at the artifact that it is no image to run.
const configType types.MediaType = "application/vnd.kubectl-ai.edge.config.v1+json"

// Archive returns the folder as a .tar.gz: names in order, without times and
// owners.
func (b *Bundle) Archive() ([]byte, error) {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, 6)
	if err != nil {
		return nil, fmt.Errorf("pack the folder: %w", err)
	}
	if err := errors.Join(b.tar(z), z.Close()); err != nil {
		return nil, fmt.Errorf("pack the folder: %w", err)
	}
	return out.Bytes(), nil
}

func (b *Bundle) tar(w io.Writer) error {
	t := tar.NewWriter(w)
	made := map[string]bool{".": true}
	var folder func(dir string) error
	folder = func(dir string) error {
		if made[dir] {
			return nil
		}
		made[dir] = true
		if err := folder(path.Dir(dir)); err != nil {
			return err
		}
		return t.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir + "/", Mode: 0o755, ModTime: time.Unix(0, 0), Format: tar.FormatPAX})
	}
	for _, name := range b.Names() {
		f, at := b.files[name], path.Join(b.Name, name)
		if err := folder(path.Dir(at)); err != nil {
			return err
		}
		header := &tar.Header{Typeflag: tar.TypeReg, Name: at, Mode: f.mode, Size: int64(len(f.content)), ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
		if f.link != "" {
			header.Typeflag, header.Linkname, header.Mode = tar.TypeSymlink, f.link, 0o777
		}
		if err := t.WriteHeader(header); err != nil {
			return err
		}
		if _, err := t.Write(f.content); err != nil {
			return err
		}
	}
	return t.Close()
}

// Artifact returns the archive as an OCI artifact of one layer, which oras,
// crane and ctr unpack.
func (b *Bundle) Artifact() (v1.Image, error) {
	archive, err := b.Archive()
	if err != nil {
		return nil, err
	}
	img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), configType)
	img, err = mutate.Append(img, mutate.Addendum{
		Layer: static.NewLayer(archive, types.OCILayer), MediaType: types.OCILayer,
		Annotations: map[string]string{"org.opencontainers.image.title": b.Name + ".tar.gz"},
	})
	if err != nil {
		return nil, fmt.Errorf("make the artifact: %w", err)
	}
	described, ok := mutate.Annotations(img, map[string]string{
		"org.opencontainers.image.title": b.Name, "org.opencontainers.image.revision": b.Tree, "kubectl-ai.dev/model": b.Model,
	}).(v1.Image)
	if !ok {
		return nil, errors.New("make the artifact: no image")
	}
	return described, nil
}

// Write writes NAME/ and NAME.tar.gz below dir, which is made when missing, and
// returns their paths. What a former run wrote there is replaced; what
// somebody else did is a *ForeignError. The folder appears whole (rename(2)).
func (b *Bundle) Write(dir string) (folder, archive string, err error) {
	folder, archive = filepath.Join(dir, b.Name), filepath.Join(dir, b.Name+".tar.gz")
	if err := ours(folder, archive); err != nil {
		return "", "", err
	}
	packed, err := b.Archive()
	if err != nil {
		return "", "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", "", fmt.Errorf("make %s: %w", dir, err)
	}
	made, err := os.MkdirTemp(dir, "."+b.Name+"-")
	if err != nil {
		return "", "", fmt.Errorf("write %s: %w", folder, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(made)) }()
	next := filepath.Join(made, b.Name)
	if err := b.unpack(next); err != nil {
		return "", "", fmt.Errorf("write %s: %w", folder, err)
	}
	if err := os.WriteFile(next+".tar.gz", packed, 0o644); err != nil {
		return "", "", fmt.Errorf("write %s: %w", archive, err)
	}
	if _, err := os.Lstat(folder); err == nil {
		if err := os.Rename(folder, filepath.Join(made, "old")); err != nil {
			return "", "", fmt.Errorf("write %s: %w", folder, err)
		}
	}
	return folder, archive, errors.Join(os.Rename(next, folder), os.Rename(next+".tar.gz", archive))
}

func (b *Bundle) unpack(root string) error {
	for _, name := range b.Names() {
		f, at := b.files[name], filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			return err
		}
		if f.link != "" {
			if err := os.Symlink(f.link, at); err != nil {
				return err
			}
			continue
		}
		if err := os.WriteFile(at, f.content, fs.FileMode(f.mode)); err != nil {
			return err
		}
	}
	return nil
}

// ours returns a *ForeignError when the folder is there and is none of these,
// or when the archive is there without the folder that goes with it.
func ours(folder, archive string) error {
	raw, err := os.ReadFile(filepath.Join(folder, manifest))
	var r record
	if err == nil && json.Unmarshal(raw, &r) == nil && r.Kind == "EdgeBundle" {
		return nil
	}
	for _, place := range []string{folder, archive} {
		if _, err := os.Lstat(place); !errors.Is(err, fs.ErrNotExist) {
			return &ForeignError{Path: place}
		}
	}
	return nil
}
