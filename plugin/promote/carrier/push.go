package carrier

import (
	"context"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// pushable is an image or an index.
type pushable interface {
	Digest() (v1.Hash, error)
	Size() (int64, error)
	MediaType() (types.MediaType, error)
}

type push struct {
	ref  name.Digest
	tag  name.Tag
	what pushable
}

// Layers carries code as image layers.
type Layers struct {
	Resolver *Resolver
	// Registry is host[:port][/path]; images go to Registry/Project/name.
	Registry    string
	Project     string
	Environment string // for messages
}

// Format implements Carrier.
func (*Layers) Format() string { return FormatLayer }

// Able implements Carrier. It returns a *NoRegistryError, a *CoveredError or an
// *UnfitError.
func (l *Layers) Able(_ context.Context, code Code, targets []workload.Target) error {
	if l.Registry == "" {
		return &NoRegistryError{Environment: l.Environment}
	}
	for _, e := range code.Index {
		if err := checkName(e.Path); err != nil {
			return err
		}
	}
	return uncovered(targets)
}

// Carry gives the targets the runtime image with the code, by digest. It
// returns a *BaseError for a runtime image that nobody has.
func (l *Layers) Carry(ctx context.Context, code Code, targets []workload.Target, r Reporter) (*Result, error) {
	layers := map[string]*layer{}
	made := map[[2]string]carried{}
	result := &Result{Format: l.Format()}
	for _, t := range targets {
		runtime := t.Container.Image()
		key := [2]string{runtime, t.MountPath}
		with, ok := made[key]
		if !ok {
			packed := layers[t.MountPath]
			if packed == nil {
				var err error
				if packed, err = newLayer(code, t.MountPath); err != nil {
					return nil, err
				}
				layers[t.MountPath] = packed
			}
			base, err := l.Resolver.Base(ctx, runtime)
			if err != nil {
				return nil, err
			}
			r.Note("runtime image %s: %s", runtime, base.From)
			p, err := l.prepare(runtime, base, packed, code)
			if err != nil {
				return nil, err
			}
			result.pushes = append(result.pushes, p)
			result.Code = append(result.Code, p.ref.String())
			with = carried{p.ref.String(), &base}
			made[key] = with
		}
		t.Container.SetImage(with.ref)
		result.keep(t, runtime, with.base)
	}
	return result, nil
}

// carried is a runtime image and what was made of it.
type carried struct {
	ref  string
	base *Base
}

func (l *Layers) prepare(runtime string, base Base, packed *layer, code Code) (push, error) {
	what, err := onto(base, packed, code.Digest())
	if err != nil {
		return push{}, err
	}
	digest, err := what.Digest()
	if err != nil {
		return push{}, fmt.Errorf("hash the image for %s: %w", runtime, err)
	}
	return newPush(fmt.Sprintf("%s/%s/%s", strings.TrimRight(l.Registry, "/"), l.Project, lastPart(runtime)), digest, code.Digest(), what)
}

// newPush names what is to be pushed to a repository.
func newPush(repo string, digest v1.Hash, code tree.Digest, what pushable) (push, error) {
	ref, err := name.NewDigest(repo + "@" + digest.String())
	if err != nil {
		return push{}, fmt.Errorf("name the image with the code: %w", err)
	}
	// A tag keeps registries that sweep untagged images from taking it.
	tag, err := name.NewTag(fmt.Sprintf("%s:%s-%s", repo, code.Short(), digest.Hex[:12]))
	if err != nil {
		return push{}, fmt.Errorf("name the image with the code: %w", err)
	}
	return push{ref: ref, tag: tag, what: what}, nil
}

// lastPart is the last part of an image's name without tag and digest.
func lastPart(image string) string {
	image, _, _ = strings.Cut(image, "@")
	image = image[strings.LastIndex(image, "/")+1:]
	image, _, _ = strings.Cut(image, ":")
	return image
}

// Push sends the images that their registry does not have yet, base layers
// too, and what is attached to them, and says how many that were. It returns a
// *PushError.
func (r *Result) Push(ctx context.Context, report Reporter) (int, error) {
	sent := 0
	for _, p := range r.pushes {
		if _, err := remote.Head(p.ref, auth(ctx)...); err == nil {
			continue
		}
		report.Start("Push " + p.ref.Context().String())
		err := p.send(ctx)
		report.End(err)
		if err != nil {
			if ctx.Err() != nil {
				return sent, context.Cause(ctx)
			}
			return sent, &PushError{Ref: p.ref.String(), Err: err}
		}
		sent++
	}
	more, err := r.pushAttached(ctx, report)
	return sent + more, err
}

func (p push) send(ctx context.Context) error {
	switch what := p.what.(type) {
	case v1.Image:
		return remote.Write(p.tag, what, auth(ctx)...)
	case v1.ImageIndex:
		return remote.WriteIndex(p.tag, what, auth(ctx)...)
	}
	return fmt.Errorf("%T is neither an image nor an index", p.what)
}
