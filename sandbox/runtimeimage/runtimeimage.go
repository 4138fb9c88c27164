// Package runtimeimage builds images that training code runs in, from
// Debian's packages, where no registry can be reached: a Python with its whole
// standard library, under the name of the image that a bundle asks for.
// A label says that it is not the published one.
package runtimeimage

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
	"github.com/kubectl-ai/kubectl-ai/sandbox/nodeimage/child"
	"github.com/kubectl-ai/kubectl-ai/sandbox/nodeimage/debian"
	"github.com/kubectl-ai/kubectl-ai/sandbox/nodeimage/layer"
)

// Python is the name of the image that bundles of ours ask for. Debian 12 has
// the same Python, 3.11.
const Python = "docker.io/library/python:3.11-slim"

// Labels of an image that was built here.
const (
	LabelFrom = "dev.kubectl-ai.built-from"   // "debian"
	LabelKey  = "dev.kubectl-ai.runtimeimage" // its content key
)

// Reporter is told of the steps of a build.
type Reporter interface {
	Start(step string)
	Note(format string, args ...any)
	End(err error)
}

// Builder builds runtime images for an engine.
type Builder struct {
	Engine *engine.Engine
	// Cache is the folder that keeps Debian roots.
	Cache string
	// Mirror is Debian's; "" is debootstrap's choice.
	Mirror   string
	Reporter Reporter
}

// root is a Debian with Python and more packages. Published Python images
// have their programs in /usr/local/bin; commands that name them are met.
func root(arch string, packages []string) debian.Root {
	return debian.Root{
		Name: "python", Suite: "bookworm", Arch: arch,
		Packages: append([]string{"python3", "ca-certificates"}, packages...),
		Links: map[string]string{
			"usr/local/bin/python":  "/usr/bin/python3",
			"usr/local/bin/python3": "/usr/bin/python3",
		},
	}
}

// Build makes sure that the engine has an image with Python and more Debian
// packages under a tag, and says whether it had to be built. An image of that
// name that was not built here is left as it is. It returns
// *child.MissingError and *child.Error.
func (b *Builder) Build(ctx context.Context, tag string, packages ...string) (built bool, err error) {
	r := root(b.Engine.Arch, packages)
	there, ours, err := b.find(ctx, tag, r.Key())
	if err != nil || ours || there != "" && !strings.Contains(there, LabelFrom) {
		return false, err
	}
	roots := debian.Cache{Dir: filepath.Join(b.Cache, "roots"), Mirror: b.Mirror}
	if !roots.Has(r) {
		if needs := debian.Needs(); len(needs) > 0 {
			return false, &child.MissingError{Needs: needs}
		}
	}
	b.Reporter.Start("Build " + tag)
	err = b.build(ctx, tag, roots, r)
	b.Reporter.End(err)
	return err == nil, err
}

// find returns the labels of the image under a tag, and whether it is the one
// of that key.
func (b *Builder) find(ctx context.Context, tag, key string) (labels string, ours bool, err error) {
	id, err := b.Engine.ImageID(ctx, tag)
	if err != nil || id == "" {
		return "", false, err
	}
	out, err := b.Engine.Run(ctx, nil, "image", "inspect", "--format", "{{json .Config.Labels}}", tag)
	if err != nil {
		return "", false, fmt.Errorf("inspect %s: %w", tag, err)
	}
	return string(out), strings.Contains(string(out), key), nil
}

func (b *Builder) build(ctx context.Context, tag string, roots debian.Cache, r debian.Root) error {
	packed, err := roots.Make(ctx, r)
	if err != nil {
		return err
	}
	l, err := layer.Open(packed)
	if err != nil {
		return err
	}
	img, err := layer.NewImage(r.Arch, config(r), time.Now(), l)
	if err != nil {
		return err
	}
	return layer.Load(ctx, b.Engine, img, tag)
}

// config is that of the published image, as far as programs can tell.
func config(r debian.Root) v1.Config {
	return v1.Config{
		Cmd:    []string{"python3"},
		Env:    []string{"PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG=C.UTF-8"},
		Labels: map[string]string{LabelFrom: "debian", LabelKey: r.Key(), "dev.kubectl-ai.packages": strings.Join(slices.Sorted(slices.Values(r.Packages)), " ")},
	}
}
