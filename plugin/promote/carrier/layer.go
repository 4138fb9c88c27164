// Package carrier packages a code tree for production: one deterministic
// layer on the runtime image (OCI image spec, layer.md), pinned by digest.
// The same tree on the same base is the same image, whoever builds it.
package carrier

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// DigestLabel is the image label that holds the digest of the code in it.
const DigestLabel = "dev.kubectl-ai.tree-digest"

// opaque hides what lower layers have in a folder (OCI image spec, "Opaque
// Whiteout"). In dev a volume hides it; an appended layer alone would merge.
const opaque = ".wh..wh..opq"

// Append returns base with one layer more, which holds the tree at mountPath
// and nothing else there.
func Append(base v1.Image, root string, index tree.Index, mountPath string) (v1.Image, error) {
	content, err := archive(root, index, mountPath)
	if err != nil {
		return nil, err
	}
	layer, err := layerOf(content)
	if err != nil {
		return nil, fmt.Errorf("make the code's layer: %w", err)
	}
	img, err := mutate.Append(base, mutate.Addendum{Layer: layer, History: v1.History{CreatedBy: "kubectl ai: code " + index.Digest().String(), Created: v1.Time{Time: epoch}}})
	if err != nil {
		return nil, fmt.Errorf("append the code's layer: %w", err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("read the image's configuration: %w", err)
	}
	next := config.DeepCopy()
	if next.Config.Labels == nil {
		next.Config.Labels = map[string]string{}
	}
	next.Config.Labels[DigestLabel] = index.Digest().String()
	return mutate.ConfigFile(img, next)
}

func layerOf(archive []byte) (v1.Layer, error) {
	return tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(archive)), nil })
}

var epoch = time.Unix(0, 0).UTC()

// archive writes the layer: sorted, without times and owners.
func archive(root string, index tree.Index, mountPath string) ([]byte, error) {
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	at := strings.Trim(mountPath, "/")
	folder := func(name string) error {
		return w.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: name + "/", Mode: 0o755, ModTime: epoch, Format: tar.FormatPAX})
	}
	if err := folder(at); err != nil {
		return nil, err
	}
	if err := w.WriteHeader(&tar.Header{Typeflag: tar.TypeReg, Name: path.Join(at, opaque), Mode: 0o644, ModTime: epoch, Format: tar.FormatPAX}); err != nil {
		return nil, err
	}
	made := map[string]bool{".": true}
	for _, e := range index {
		if err := parents(path.Dir(e.Path), made, func(dir string) error { return folder(path.Join(at, dir)) }); err != nil {
			return nil, err
		}
		if err := entry(w, root, path.Join(at, e.Path), e); err != nil {
			return nil, fmt.Errorf("package %s: %w", e.Path, err)
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// parents makes the folders above an entry, each once, from the top.
func parents(dir string, made map[string]bool, folder func(string) error) error {
	if made[dir] {
		return nil
	}
	if err := parents(path.Dir(dir), made, folder); err != nil {
		return err
	}
	made[dir] = true
	return folder(dir)
}

// ChangedError says that a file is not what the tree's index says: the code
// was saved while it was packaged.
type ChangedError struct{ Path string }

func (e *ChangedError) Error() string { return e.Path + " was saved while it was packaged" }

func entry(w *tar.Writer, root, name string, e tree.Entry) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, ModTime: epoch, Format: tar.FormatPAX}
	switch e.Kind {
	case tree.Link:
		h.Typeflag, h.Linkname, h.Mode = tar.TypeSymlink, e.Target, 0o777
		return w.WriteHeader(h)
	case tree.Executable:
		h.Mode = 0o755
	}
	content, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(e.Path)))
	if err != nil {
		return err
	}
	if sha256.Sum256(content) != e.Sum {
		return &ChangedError{Path: e.Path}
	}
	h.Size = int64(len(content))
	if err := w.WriteHeader(h); err != nil {
		return err
	}
	_, err = w.Write(content)
	return err
}
