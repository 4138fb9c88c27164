package carrier

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
)

// Engine is what is needed of the container engine of this machine.
type Engine interface {
	// ImageID returns the ID of an image, "" when it is not there.
	ImageID(ctx context.Context, ref string) (string, error)
	Stream(ctx context.Context, stdin io.Reader, stdout io.Writer, args ...string) error
}

// Resolver finds runtime images: in their registry, else in the engine.
type Resolver struct {
	// Engine is the container engine of this machine; nil for none.
	Engine Engine
	// Cache is a folder that keeps images of the engine.
	Cache string
	// Arches are the architectures of the nodes; none: all that there are.
	Arches []string
	// Patience is how long a registry may take to say whether it has an
	// image. 0: 10 s.
	Patience time.Duration
}

// Base finds a runtime image. It returns a *BaseError or a *PlatformError.
func (r *Resolver) Base(ctx context.Context, image string) (Base, error) {
	ref, err := name.ParseReference(image)
	if err != nil {
		return Base{}, fmt.Errorf("runtime image %q: %w", image, err)
	}
	base, registryErr := r.fromRegistry(ctx, ref)
	if registryErr == nil {
		return r.fitting(image, base)
	}
	if ctx.Err() != nil {
		return Base{}, context.Cause(ctx)
	}
	base, engineErr := r.fromEngine(ctx, image)
	if engineErr == nil {
		return r.fitting(image, base)
	}
	if ctx.Err() != nil {
		return Base{}, context.Cause(ctx)
	}
	return Base{}, &BaseError{Image: image, Registry: registryErr, Engine: engineErr}
}

func (r *Resolver) fromRegistry(ctx context.Context, ref name.Reference) (Base, error) {
	patience := r.Patience
	if patience == 0 {
		patience = 10 * time.Second
	}
	// The first question is asked once and with little patience: where there
	// is no registry, the engine is asked next. What follows may take long.
	first, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	head, err := remote.Get(ref, append(auth(first), remote.WithRetryBackoff(remote.Backoff{Steps: 1}))...)
	if err != nil {
		return Base{}, err
	}
	pinned := ref.Context().Digest(head.Digest.String())
	found := Base{From: pinned.String(), Ref: pinned.String()}
	if !head.MediaType.IsIndex() {
		img, err := remote.Image(pinned, auth(ctx)...)
		if err != nil {
			return Base{}, err
		}
		found.Images = []v1.Image{img}
		return found, nil
	}
	index, err := remote.Index(pinned, auth(ctx)...)
	if err != nil {
		return Base{}, err
	}
	manifest, err := index.IndexManifest()
	if err != nil {
		return Base{}, err
	}
	for _, d := range manifest.Manifests {
		if d.Platform == nil || d.Platform.OS != "linux" || d.MediaType.IsIndex() {
			continue // another system, or no image at all: an attestation
		}
		if len(r.Arches) > 0 && !slices.Contains(r.Arches, d.Platform.Architecture) {
			continue
		}
		img, err := index.Image(d.Digest)
		if err != nil {
			return Base{}, err
		}
		found.Images = append(found.Images, img)
	}
	return found, nil
}

// fitting returns the images for the nodes' architectures.
func (r *Resolver) fitting(image string, base Base) (Base, error) {
	out := Base{From: base.From, Ref: base.Ref}
	var has []string
	for _, img := range base.Images {
		config, err := img.ConfigFile()
		if err != nil {
			return Base{}, fmt.Errorf("read the configuration of %s: %w", image, err)
		}
		has = append(has, config.Architecture)
		if len(r.Arches) == 0 || slices.Contains(r.Arches, config.Architecture) {
			out.Images = append(out.Images, img)
		}
	}
	for _, arch := range r.Arches {
		if !slices.Contains(has, arch) {
			return Base{}, &PlatformError{Image: image, Want: r.Arches, Has: has}
		}
	}
	if len(out.Images) == 0 {
		return Base{}, &PlatformError{Image: image, Want: r.Arches, Has: has}
	}
	if err := out.identify(); err != nil {
		return Base{}, fmt.Errorf("read %s: %w", image, err)
	}
	return out, nil
}

// pin finds the runtime image of a container and names it by digest where its
// registry has it. nil stands for an image that only the nodes can tell of.
func (r *Resolver) pin(ctx context.Context, c workload.Container, report Reporter) (*Base, error) {
	image := c.Image()
	base, err := r.Base(ctx, image)
	var absent *BaseError
	switch {
	case errors.As(err, &absent):
		report.Note("runtime image %s stays as the bundle names it: it is not found from here", image)
		return nil, nil
	case err != nil:
		return nil, err
	case base.Ref == "":
		report.Note("runtime image %s stays as the bundle names it: no registry has it", image)
		return &base, nil
	}
	c.SetImage(base.Ref)
	return &base, nil
}

func auth(ctx context.Context) []remote.Option {
	return []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)}
}
