// Package layer makes image layers of files and images of layers, in this
// process: no build daemon and no container takes part. The same files give
// the same bytes, whenever and by whomever they are packed, so an engine that
// has a layer already keeps it.
package layer

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
)

// Entry is one file of a layer: a folder, a symbolic link to Target, or a
// regular file with Content or, where that is nil, with the content of the
// file From on this machine. It belongs to root.
type Entry struct {
	Path    string // relative, slashes, no symbolic link on the way
	Mode    fs.FileMode
	Target  string
	Content []byte
	From    string
}

// epoch is the time of every file that is packed from entries.
var epoch = time.Unix(0, 0).UTC()

// Write writes entries as a tar archive, sorted, with the folders above them.
// Of two entries with one path the later counts.
func Write(w io.Writer, entries []Entry) error {
	archive := tar.NewWriter(w)
	for _, e := range complete(entries) {
		if err := writeEntry(archive, e); err != nil {
			return fmt.Errorf("pack %s: %w", e.Path, err)
		}
	}
	return archive.Close()
}

// complete adds missing folders and sorts, so that a folder comes before what
// is in it.
func complete(entries []Entry) []Entry {
	all := map[string]Entry{}
	for _, e := range entries {
		e.Path = strings.Trim(path.Clean("/"+e.Path), "/")
		all[e.Path] = e
	}
	for _, e := range entries {
		for dir := path.Dir(strings.Trim(path.Clean("/"+e.Path), "/")); dir != "." && dir != "/"; dir = path.Dir(dir) {
			if _, ok := all[dir]; !ok {
				all[dir] = Entry{Path: dir, Mode: fs.ModeDir | 0o755}
			}
		}
	}
	sorted := make([]Entry, 0, len(all))
	for _, e := range all {
		sorted = append(sorted, e)
	}
	slices.SortFunc(sorted, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	return sorted
}

func writeEntry(archive *tar.Writer, e Entry) error {
	h := &tar.Header{Name: e.Path, Mode: tarMode(e.Mode), ModTime: epoch}
	switch {
	case e.Mode.IsDir():
		h.Typeflag, h.Name = tar.TypeDir, e.Path+"/"
		return archive.WriteHeader(h)
	case e.Mode&fs.ModeSymlink != 0:
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, e.Target, 0o777
		return archive.WriteHeader(h)
	case e.Content != nil || e.From == "":
		h.Typeflag, h.Size = tar.TypeReg, int64(len(e.Content))
		if err := archive.WriteHeader(h); err != nil {
			return err
		}
		_, err := archive.Write(e.Content)
		return err
	}
	f, err := os.Open(e.From)
	if err != nil {
		return err
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	h.Typeflag, h.Size = tar.TypeReg, info.Size()
	if err := archive.WriteHeader(h); err != nil {
		return err
	}
	_, err = io.Copy(archive, f)
	return err
}

// tarMode keeps the permissions and the set-ID and sticky bits.
func tarMode(m fs.FileMode) int64 {
	mode := int64(m.Perm())
	for bit, value := range map[fs.FileMode]int64{fs.ModeSetuid: 0o4000, fs.ModeSetgid: 0o2000, fs.ModeSticky: 0o1000} {
		if m&bit != 0 {
			mode |= value
		}
	}
	return mode
}

// file is a layer whose archive lies in a file.
type file struct {
	path           string
	size           int64
	digest, diffID v1.Hash
	mediaType      types.MediaType
}

// Create packs entries into a file, which is the layer.
func Create(name string, entries []Entry) (v1.Layer, error) {
	if err := create(name, func(w io.Writer) error { return Write(w, entries) }); err != nil {
		return nil, err
	}
	return Open(name)
}

// CreateCompressed is Create for a layer that is kept compressed (zstd).
func CreateCompressed(name string, entries []Entry) (v1.Layer, error) {
	plain := sha256.New()
	err := create(name, func(w io.Writer) error {
		z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedDefault))
		if err != nil {
			return err
		}
		if err := Write(io.MultiWriter(z, plain), entries); err != nil {
			return err
		}
		return z.Close()
	})
	if err != nil {
		return nil, err
	}
	l, err := open(name)
	if err != nil {
		return nil, err
	}
	l.diffID, l.mediaType = v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(plain.Sum(nil))}, types.OCILayerZStd
	return l, nil
}

// Open returns the layer whose uncompressed archive is a file.
func Open(name string) (v1.Layer, error) { return open(name) }

func open(name string) (*file, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open layer: %w", err)
	}
	defer func() { _ = f.Close() }()
	sum := sha256.New()
	size, err := io.Copy(sum, f)
	if err != nil {
		return nil, fmt.Errorf("hash layer: %w", err)
	}
	hash := v1.Hash{Algorithm: "sha256", Hex: hex.EncodeToString(sum.Sum(nil))}
	return &file{path: name, size: size, digest: hash, diffID: hash, mediaType: types.DockerUncompressedLayer}, nil
}

// create writes a file whole or not at all.
func create(name string, fill func(io.Writer) error) (err error) {
	f, err := os.Create(name + ".new")
	if err != nil {
		return fmt.Errorf("create layer: %w", err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if err = fill(f); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return fmt.Errorf("write layer: %w", err)
	}
	return os.Rename(f.Name(), name)
}

func (l *file) Digest() (v1.Hash, error)            { return l.digest, nil }
func (l *file) DiffID() (v1.Hash, error)            { return l.diffID, nil }
func (l *file) Size() (int64, error)                { return l.size, nil }
func (l *file) MediaType() (types.MediaType, error) { return l.mediaType, nil }
func (l *file) Compressed() (io.ReadCloser, error)  { return os.Open(l.path) }
func (l *file) Uncompressed() (io.ReadCloser, error) {
	f, err := os.Open(l.path)
	if err != nil || l.mediaType != types.OCILayerZStd {
		return f, err
	}
	z, err := zstd.NewReader(f)
	if err != nil {
		_ = f.Close()
		return nil, err
	}
	return &unpacking{z, f}, nil
}

// unpacking closes the file under a decoder.
type unpacking struct {
	*zstd.Decoder
	file io.Closer
}

func (u *unpacking) Close() error {
	u.Decoder.Close()
	return u.file.Close()
}
