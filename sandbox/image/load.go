package image

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
)

// NotFoundError says that the engine has no image of that name.
type NotFoundError struct{ Ref string }

func (e *NotFoundError) Error() string {
	return fmt.Sprintf("no image %s in the container engine", e.Ref)
}

// importScript loads an archive from stdin with the snapshotter that the
// node's entry point chose: not the default on ZFS and without root.
const importScript = `s=$(sed -n 's/^ *snapshotter = ["'\'']\(.*\)["'\'']$/\1/p' /etc/containerd/config.toml 2>/dev/null | head -n 1)
exec ctr --namespace=k8s.io images import --all-platforms --digests --snapshotter="${s:-overlayfs}" -`

// Load imports an image archive into all nodes in parallel; write writes the
// archive once for each. When one node fails, all do.
//
// A node waits with a layer that somebody else is importing there. Nodes that
// shared one stream would wait for each other: two loads that each hold a
// layer of another node would never end.
func Load(ctx context.Context, nodes []cluster.Node, write func(context.Context, io.Writer) error) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, n := range nodes {
		reader, writer := io.Pipe()
		var ended atomic.Bool // the node's import; what the writer says afterwards is no cause
		group.Go(func() error {
			err := write(ctx, writer)
			_ = writer.CloseWithError(err) // never fails; nil is the end of the archive
			if err != nil && !ended.Load() {
				return fmt.Errorf("read the image archive: %w", err)
			}
			return nil
		})
		group.Go(func() error {
			_, err := n.Run(ctx, reader, "sh", "-c", importScript)
			ended.Store(true)
			_ = reader.Close() // never fails
			if err != nil {
				return fmt.Errorf("load the image into node %s: %w", n.Name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// LoadImage imports an image that was made here into the nodes that do not
// have it yet.
func LoadImage(ctx context.Context, nodes []cluster.Node, img *Image) error {
	id, err := img.ID()
	if err != nil {
		return err
	}
	missing, err := lacking(ctx, nodes, img.Ref, id)
	if err != nil || len(missing) == 0 {
		return err
	}
	return Load(ctx, missing, func(_ context.Context, w io.Writer) error {
		archive := img.Tarball()
		_, err := io.Copy(w, archive)
		return errors.Join(err, archive.Close())
	})
}

// LoadFromEngine imports an image of the engine into the nodes that do not
// have it under that name yet. It returns *NotFoundError.
func LoadFromEngine(ctx context.Context, e *engine.Engine, nodes []cluster.Node, ref string) error {
	id, err := e.ImageID(ctx, ref)
	if err != nil {
		return err
	}
	if id == "" {
		return &NotFoundError{Ref: ref}
	}
	missing, err := lacking(ctx, nodes, ref, id)
	if err != nil || len(missing) == 0 {
		return err
	}
	args := []string{"save"}
	if savesOnePlatform(e) {
		// An engine with containerd's image store would name platforms in the
		// archive whose content it never pulled; the import then fails.
		args = append(args, "--platform", "linux/"+e.Arch)
	}
	args = append(args, ref)
	return Load(ctx, missing, func(ctx context.Context, w io.Writer) error {
		return e.Stream(ctx, nil, w, args...)
	})
}

// savesOnePlatform says whether `save --platform` is known: Docker API 1.48.
func savesOnePlatform(e *engine.Engine) bool {
	major, minor, ok := strings.Cut(e.APIVersion, ".")
	if e.Name != "docker" || !ok {
		return false
	}
	a, errA := strconv.Atoi(major)
	b, errB := strconv.Atoi(minor)
	return errA == nil && errB == nil && (a > 1 || b >= 48)
}

// Present says whether a node has an image of that name.
func Present(ctx context.Context, node cluster.Node, ref string) bool {
	id, _, err := describe(ctx, node, ref)
	return err == nil && id != ""
}

// Config returns the digest of the configuration of a node's image, by the
// name that pods' statuses give it (imageID): that of a manifest, or that of
// the configuration itself. An image that was loaded has a manifest of the
// node's own making, and the configuration of the image that was loaded.
// Config returns "" when the node has no such image.
func Config(ctx context.Context, node cluster.Node, imageID string) (string, error) {
	// inspecti does not find imported images by their digest.
	out, err := node.Run(ctx, nil, "crictl", "images", "-o", "json")
	if err != nil {
		return "", fmt.Errorf("list the images of node %s: %w", node.Name, err)
	}
	var list struct {
		Images []struct {
			ID          string   `json:"id"`
			RepoDigests []string `json:"repoDigests"`
		} `json:"images"`
	}
	if err := json.Unmarshal(out, &list); err != nil {
		return "", fmt.Errorf("read the images of node %s: %w", node.Name, err)
	}
	for _, i := range list.Images {
		if i.ID == imageID || slices.Contains(i.RepoDigests, imageID) {
			return i.ID, nil
		}
	}
	return "", nil
}

// lacking returns the nodes whose image of that name is another one or none.
func lacking(ctx context.Context, nodes []cluster.Node, ref, id string) ([]cluster.Node, error) {
	has := make([]bool, len(nodes))
	group, gctx := errgroup.WithContext(ctx)
	for i, n := range nodes {
		group.Go(func() error {
			got, digests, err := describe(gctx, n, ref)
			// An engine with containerd's store knows an image by its
			// manifest, which the node lists beside the configuration.
			has[i] = got == id || slices.ContainsFunc(digests, func(d string) bool { return strings.HasSuffix(d, "@"+id) })
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var missing []cluster.Node
	for i, n := range nodes {
		if !has[i] {
			missing = append(missing, n)
		}
	}
	return missing, nil
}

// describe returns the ID and the digests of a node's image, "" for none.
func describe(ctx context.Context, node cluster.Node, ref string) (string, []string, error) {
	out, err := node.Run(ctx, nil, "crictl", "inspecti", "-o", "json", ref)
	var failed *engine.CommandError
	if errors.As(err, &failed) {
		return "", nil, nil // crictl says unknown images so
	}
	if err != nil {
		return "", nil, err
	}
	var image struct {
		Status struct {
			ID          string   `json:"id"`
			RepoDigests []string `json:"repoDigests"`
		} `json:"status"`
	}
	if err := json.Unmarshal(out, &image); err != nil {
		return "", nil, fmt.Errorf("read image %s of node %s: %w", ref, node.Name, err)
	}
	return image.Status.ID, image.Status.RepoDigests, nil
}
