package nodeimage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"

	"github.com/kubectl-ai/kubectl-ai/sandbox/nodeimage/child"
	"github.com/kubectl-ai/kubectl-ai/sandbox/nodeimage/layer"
)

// storeConfig is a containerd that only keeps images. It has nothing to do
// with the one that may run on this machine.
const storeConfig = `version = 3
root = %q
state = %q
disabled_plugins = [
  "io.containerd.grpc.v1.cri", "io.containerd.cri.v1.images", "io.containerd.cri.v1.runtime",
  "io.containerd.nri.v1.nri", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp",
]
[grpc]
  address = %q
[ttrpc]
  address = %q
`

// pinned keeps the kubelet from removing the image when disk is short.
const pinned = "io.cri-containerd.pinned=pinned"

// packStore writes the layer that holds a containerd content store with the
// images in it, at the place where the node's containerd looks. The node's
// own containerd makes it, here and now, so that it fits; nothing is
// unpacked, which only the node can do.
func packStore(ctx context.Context, p programs, images map[string]v1.Image, work, to string) (err error) {
	root, archive := filepath.Join(work, "root"), filepath.Join(work, "oci")
	if err := writeLayout(archive, images); err != nil {
		return err
	}
	// A socket's path is short by law; the cache folder's may be long.
	state, err := os.MkdirTemp("", "kubectl-ai-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(state) }()
	socket := filepath.Join(state, "c.sock")
	config := filepath.Join(state, "config.toml")
	content := fmt.Sprintf(storeConfig, root, filepath.Join(state, "state"), socket, socket+".ttrpc")
	if err := os.WriteFile(config, []byte(content), 0o600); err != nil {
		return err
	}
	end, err := child.Command{Name: p["containerd"], Args: []string{"--config", config}}.Start(ctx)
	if err != nil {
		return fmt.Errorf("start containerd: %w", err)
	}
	stop := sync.OnceValue(end)
	defer func() { err = errors.Join(err, stop()) }()
	if err := awaitSocket(ctx, socket); err != nil {
		return err
	}
	if err := importLayout(ctx, p["ctr"], socket, archive); err != nil {
		return err
	}
	if err := stop(); err != nil { // the database is whole once it has ended
		return fmt.Errorf("stop containerd: %w", err)
	}
	return packStoreFolder(root, to)
}

// storeAt is where a node's containerd keeps its data.
const storeAt = "var/lib/containerd"

// packStoreFolder packs the content and its index; what else containerd made
// is made anew in each node.
func packStoreFolder(root, to string) error {
	var entries []layer.Entry
	for _, part := range []string{"io.containerd.content.v1.content/blobs", "io.containerd.metadata.v1.bolt"} {
		err := filepath.WalkDir(filepath.Join(root, part), func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			info, err := d.Info()
			if err != nil {
				return err
			}
			entries = append(entries, layer.Entry{
				Path: storeAt + strings.TrimPrefix(filepath.ToSlash(path), filepath.ToSlash(root)),
				Mode: info.Mode().Perm(), From: path,
			})
			return nil
		})
		if err != nil {
			return fmt.Errorf("pack the images: %w", err)
		}
	}
	_, err := layer.Create(to, entries)
	return err
}

// writeLayout writes an OCI layout; containerd takes the names from it.
func writeLayout(dir string, images map[string]v1.Image) error {
	index, err := layout.Write(dir, empty.Index)
	if err != nil {
		return fmt.Errorf("collect the images: %w", err)
	}
	for ref, img := range images {
		err := index.AppendImage(img, layout.WithAnnotations(map[string]string{"io.containerd.image.name": ref}))
		if err != nil {
			return fmt.Errorf("collect the image %s: %w", ref, err)
		}
	}
	return nil
}

// importLayout streams a layout to containerd as one archive.
func importLayout(ctx context.Context, ctr, socket, dir string) error {
	var entries []layer.Entry
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		relative, err := filepath.Rel(dir, path)
		entries = append(entries, layer.Entry{Path: filepath.ToSlash(relative), Mode: 0o644, From: path})
		return err
	})
	if err != nil {
		return fmt.Errorf("collect the images: %w", err)
	}
	reader, writer := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := layer.Write(writer, entries)
		_ = writer.CloseWithError(err)
		packed <- err
	}()
	err = child.Command{
		Name:  ctr,
		Args:  []string{"--address", socket, "--namespace", "k8s.io", "images", "import", "--label", pinned, "--all-platforms", "--no-unpack", "--digests", "-"},
		Stdin: reader,
	}.Run(ctx)
	_ = reader.Close()
	if packErr := <-packed; err == nil {
		err = packErr
	}
	if err != nil {
		return fmt.Errorf("import the images: %w", err)
	}
	return nil
}

// awaitSocket waits until somebody listens.
func awaitSocket(ctx context.Context, socket string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, 30*time.Second, errors.New("containerd did not answer within 30 s"))
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := (&net.Dialer{}).DialContext(ctx, "unix", socket)
		if err == nil {
			return conn.Close()
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
