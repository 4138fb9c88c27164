package carrier

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

// Engine is the container engine of this machine, for images that no
// registry has.
type Engine interface {
	ImageID(ctx context.Context, ref string) (string, error)
	Stream(ctx context.Context, stdin io.Reader, stdout io.Writer, args ...string) error
}

// Builder makes and pushes images.
type Builder struct {
	Engine Engine // nil: registries only
	Cache  string // folder for images that came from the engine
	Arch   string // of the target's nodes
}

// BaseError says that a runtime image is nowhere to be found.
type BaseError struct {
	Ref                string
	Registry, InEngine error
}

func (e *BaseError) Error() string {
	return fmt.Sprintf("runtime image %s: not in its registry (%v), nor in the container engine (%v)", e.Ref, e.Registry, e.InEngine)
}

// PushError says that the registry did not take an image.
type PushError struct {
	Repository string
	Err        error
}

func (e *PushError) Error() string { return fmt.Sprintf("push to %s: %v", e.Repository, e.Err) }
func (e *PushError) Unwrap() error { return e.Err }

// once keeps a registry that does not answer from costing minutes.
var once = remote.WithRetryBackoff(remote.Backoff{Duration: time.Second, Factor: 1, Steps: 1})

func options(ctx context.Context) []remote.Option {
	return []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain), once}
}

// Resolve returns a runtime image: from its registry, else from the engine.
func (b *Builder) Resolve(ctx context.Context, ref string) (v1.Image, error) {
	parsed, err := name.ParseReference(ref)
	if err != nil {
		return nil, fmt.Errorf("image %q: %w", ref, err)
	}
	quick, cancel := context.WithTimeout(ctx, 15*time.Second)
	defer cancel()
	platform := v1.Platform{OS: "linux", Architecture: b.Arch}
	if _, registryErr := remote.Head(parsed, options(quick)...); registryErr == nil {
		return remote.Image(parsed, append(options(ctx), remote.WithPlatform(platform))...)
	} else if img, engineErr := b.fromEngine(ctx, ref); engineErr == nil {
		return img, nil
	} else if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	} else {
		return nil, &BaseError{Ref: ref, Registry: registryErr, InEngine: engineErr}
	}
}

var errNotInEngine = errors.New("no such image")

// fromEngine saves an image of the engine once as an OCI layout, keyed by its
// ID, so that its layers are compressed once.
func (b *Builder) fromEngine(ctx context.Context, ref string) (v1.Image, error) {
	if b.Engine == nil {
		return nil, errNotInEngine
	}
	id, err := b.Engine.ImageID(ctx, ref)
	if err != nil {
		return nil, err
	}
	if id == "" {
		return nil, errNotInEngine
	}
	dir := filepath.Join(b.Cache, "runtime", strings.ReplaceAll(id, ":", "-"))
	if img, err := open(dir); err == nil {
		return img, nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return nil, err
	}
	making, err := os.MkdirTemp(filepath.Dir(dir), ".making")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(making) }()
	archive := filepath.Join(making, "image.tar")
	f, err := os.Create(archive)
	if err != nil {
		return nil, err
	}
	err = b.Engine.Stream(ctx, nil, f, "save", ref)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("save image %s: %w", ref, err)
	}
	img, err := tarball.ImageFromPath(archive, nil)
	if err != nil {
		return nil, fmt.Errorf("read image %s: %w", ref, err)
	}
	l, err := layout.Write(filepath.Join(making, "layout"), empty.Index)
	if err != nil {
		return nil, err
	}
	if err := l.AppendImage(img); err != nil {
		return nil, fmt.Errorf("keep image %s: %w", ref, err)
	}
	_ = os.RemoveAll(dir)
	if err := os.Rename(filepath.Join(making, "layout"), dir); err != nil {
		return nil, err
	}
	return open(dir)
}

func open(dir string) (v1.Image, error) {
	index, err := layout.ImageIndexFromPath(dir)
	if err != nil {
		return nil, err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return nil, err
	}
	if len(manifest.Manifests) != 1 {
		return nil, fmt.Errorf("%s holds %d images", dir, len(manifest.Manifests))
	}
	return index.Image(manifest.Manifests[0].Digest)
}

// Repository returns where an image goes: registry/project/last part of the
// runtime image's name.
func Repository(registry, project, runtime string) (string, error) {
	ref, err := name.ParseReference(runtime)
	if err != nil {
		return "", fmt.Errorf("image %q: %w", runtime, err)
	}
	return strings.TrimSuffix(registry, "/") + "/" + project + "/" + path.Base(ref.Context().RepositoryStr()), nil
}

// Push brings an image, its base layers too, to a repository and returns its
// reference by digest. What is there already is not sent.
func (b *Builder) Push(ctx context.Context, img v1.Image, repository string) (ref string, pushed bool, err error) {
	repo, err := name.NewRepository(repository)
	if err != nil {
		return "", false, fmt.Errorf("repository %q: %w", repository, err)
	}
	digest, err := img.Digest()
	if err != nil {
		return "", false, fmt.Errorf("digest of the image: %w", err)
	}
	to := repo.Digest(digest.String())
	if _, err := remote.Head(to, options(ctx)...); err == nil {
		return to.String(), false, nil
	}
	if err := remote.Write(to, img, append(options(ctx), remote.WithJobs(4))...); err != nil {
		return "", false, &PushError{Repository: repository, Err: err}
	}
	return to.String(), true, nil
}
