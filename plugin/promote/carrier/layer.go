package carrier

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"path"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/gzip"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// opaque is the entry that hides what lower layers have in its folder.
const opaque = ".wh..wh..opq"

// layer is the code as an image layer. The compressor is the one that go.mod
// pins, so that two machines make the same bytes.
type layer struct {
	compressed   []byte
	digest, diff v1.Hash
	mediaType    types.MediaType
}

// newLayer packs the code for a mount path.
func newLayer(code Code, mountPath string) (*layer, error) {
	var out bytes.Buffer
	compressed, diff := sha256.New(), sha256.New()
	z, err := gzip.NewWriterLevel(io.MultiWriter(&out, compressed), 6)
	if err != nil {
		return nil, fmt.Errorf("pack the code: %w", err)
	}
	if err := writeTar(io.MultiWriter(z, diff), code, mountPath); err != nil {
		return nil, err
	}
	if err := z.Close(); err != nil {
		return nil, fmt.Errorf("pack the code: %w", err)
	}
	hash := func(sum []byte) v1.Hash { return v1.Hash{Algorithm: "sha256", Hex: fmt.Sprintf("%x", sum)} }
	return &layer{compressed: out.Bytes(), digest: hash(compressed.Sum(nil)), diff: hash(diff.Sum(nil)), mediaType: types.OCILayer}, nil
}

// writeTar writes the tree below mountPath: the folder, its whiteout, then
// folders and files in path order, without times and owners. Folders above
// mountPath are left out, so that those of the runtime image keep their modes.
// With "/" the tree is all that there is: no folder, and nothing to hide.
func writeTar(w io.Writer, code Code, mountPath string) error {
	t := tar.NewWriter(w)
	root := strings.TrimPrefix(path.Clean(mountPath), "/")
	if root != "" {
		root += "/"
	}
	write := func(h *tar.Header, content []byte) error {
		h.ModTime, h.Format = time.Unix(0, 0), tar.FormatPAX
		h.Size = int64(len(content))
		if err := t.WriteHeader(h); err != nil {
			return fmt.Errorf("pack %s: %w", h.Name, err)
		}
		if _, err := t.Write(content); err != nil {
			return fmt.Errorf("pack %s: %w", h.Name, err)
		}
		return nil
	}
	if root != "" {
		if err := write(&tar.Header{Typeflag: tar.TypeDir, Name: root, Mode: 0o755}, nil); err != nil {
			return err
		}
		if err := write(&tar.Header{Typeflag: tar.TypeReg, Name: root + opaque, Mode: 0o644}, nil); err != nil {
			return err
		}
	}
	made := map[string]bool{".": true}
	for _, e := range code.Index {
		if err := checkName(e.Path); err != nil {
			return err
		}
		for _, dir := range parents(e.Path) {
			if made[dir] {
				continue
			}
			made[dir] = true
			if err := write(&tar.Header{Typeflag: tar.TypeDir, Name: root + dir + "/", Mode: 0o755}, nil); err != nil {
				return err
			}
		}
		h := &tar.Header{Typeflag: tar.TypeReg, Name: root + e.Path, Mode: 0o644}
		var content []byte
		switch e.Kind {
		case tree.Link:
			h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, e.Target, 0o777
		default:
			if e.Kind == tree.Executable {
				h.Mode = 0o755
			}
			var err error
			if content, err = code.Read(e); err != nil {
				return err
			}
		}
		if err := write(h, content); err != nil {
			return err
		}
	}
	if err := t.Close(); err != nil {
		return fmt.Errorf("pack the code: %w", err)
	}
	return nil
}

// checkName refuses names that a layer would not carry but act on.
func checkName(p string) error {
	for part := range strings.SplitSeq(p, "/") {
		if strings.HasPrefix(part, ".wh.") {
			return &UnfitError{Path: p, Reason: "has a name that deletes files in an image layer (.wh.)"}
		}
	}
	return nil
}

// parents returns the folders above a path, the highest first.
func parents(p string) []string {
	var out []string
	for i, c := range p {
		if c == '/' {
			out = append(out, p[:i])
		}
	}
	return out
}

// as returns the layer with the media type that goes with a base image's.
func (l *layer) as(base types.MediaType) *layer {
	out := *l
	if base == types.DockerManifestSchema2 {
		out.mediaType = types.DockerLayer
	}
	return &out
}

// The methods of v1.Layer.

func (l *layer) Digest() (v1.Hash, error)            { return l.digest, nil }
func (l *layer) DiffID() (v1.Hash, error)            { return l.diff, nil }
func (l *layer) Size() (int64, error)                { return int64(len(l.compressed)), nil }
func (l *layer) MediaType() (types.MediaType, error) { return l.mediaType, nil }
func (l *layer) Compressed() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(l.compressed)), nil
}

func (l *layer) Uncompressed() (io.ReadCloser, error) {
	return gzip.NewReader(bytes.NewReader(l.compressed))
}
