// Package programimage makes the images that bring programs of ours into pods:
// each one static program on an empty root. A build of kubectl ai makes the
// same images everywhere, byte for byte, so that a digest tells whether nodes
// and registries have it, and whether what a project names is of this build.
//
// Sandboxes get them by hand (Build); the nodes of other clusters pull them
// from a registry of the user's (Index, Push).
package programimage

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kubectl-ai/kubectl-ai/sandbox/image"
)

// Program is one of ours that pods run from an image.
type Program struct {
	Name       string // of the file in the payload, and in the image's root
	Repository string // what the image is called on nodes
	Tag        string // "": one made of the program's digest, so that another build is another image
}

var (
	// Agent receives code in pods. Those that run keep theirs when another
	// build comes, so each build's has a name of its own.
	Agent = Program{Name: "ai-agent", Repository: "kubectl-ai/agent"}
	// Services is what the local twins of a bundle's services run. Manifests
	// name it, so its name is the same in every build.
	Services = Program{Name: "ai-services", Repository: "kubectl-ai/services", Tag: "local"}
)

// Arches are the architectures of nodes that programs are built for.
var Arches = []string{"amd64", "arm64"}

// Path is where the image holds the program.
func (p Program) Path() string { return "/" + p.Name }

// Names says whether a reference in a manifest means the image under its
// constant name.
func (p Program) Names(ref string) bool {
	return p.Tag != "" && strings.TrimPrefix(ref, "docker.io/") == p.Repository+":"+p.Tag
}

// MissingError says that nodes would have to pull the agent and nobody said
// from where.
type MissingError struct{ Context string }

func (e *MissingError) Error() string {
	return fmt.Sprintf("the nodes of %s pull the agent, and kubectl-ai.yaml names no agent.image", e.Context)
}

// LocalError says that nodes would have to pull an image that is in no
// registry under this name: kubectl ai loads it into sandboxes alone. Asking
// Docker Hub for it would run what a stranger put there.
type LocalError struct{ Image, Context string }

func (e *LocalError) Error() string {
	return fmt.Sprintf("the bundle runs %s, which the nodes of %s have no registry for", e.Image, e.Context)
}

// NameError is a reference that an image cannot be pushed to.
type NameError struct{ Ref, Reason string }

func (e *NameError) Error() string { return fmt.Sprintf("%q %s", e.Ref, e.Reason) }

// PushError says that a registry did not take the image.
type PushError struct {
	Ref string
	Err error
}

func (e *PushError) Error() string { return fmt.Sprintf("push %s: %v", e.Ref, e.Err) }
func (e *PushError) Unwrap() error { return e.Err }

// Content returns the program for an architecture. It returns
// *image.NoPayloadError.
func (p Program) Content(payload fs.FS, arch string) ([]byte, error) {
	program, err := image.Payload(payload, arch, p.Name)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(program)
	if err = errors.Join(err, program.Close()); err != nil {
		return nil, fmt.Errorf("read %s: %w", p.Name, err)
	}
	return content, nil
}

// Build returns the image for one architecture. It returns
// *image.NoPayloadError.
func (p Program) Build(payload fs.FS, arch string) (*image.Image, error) {
	content, err := p.Content(payload, arch)
	if err != nil {
		return nil, err
	}
	tag := p.Tag
	if tag == "" {
		tag = fmt.Sprintf("%x", sha256.Sum256(content))[:12]
	}
	return image.FromBinary(bytes.NewReader(content), arch, p.Path(), []string{p.Path()}, p.Repository+":"+tag)
}

// Index returns the images for all architectures as one. It returns
// *image.NoPayloadError.
func (p Program) Index(payload fs.FS) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range Arches {
		img, err := p.Build(payload, arch)
		if err != nil {
			return nil, err
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: arch}},
		})
	}
	return index, nil
}

// Pushed is an image in a registry.
type Pushed struct {
	Image name.Digest
	Tag   name.Tag
	Sent  bool // false: it was there
}

// Push brings the image for all architectures to a registry,
// HOST[:PORT]/PATH[:TAG], and nothing to one that has it under that tag.
// Without a tag it gets one of its digest: registries sweep what has none. It
// returns *image.NoPayloadError, *NameError or *PushError.
func (p Program) Push(ctx context.Context, payload fs.FS, ref string) (Pushed, error) {
	repository, tag, err := destination(ref)
	if err != nil {
		return Pushed{}, err
	}
	index, err := p.Index(payload)
	if err != nil {
		return Pushed{}, err
	}
	digest, err := index.Digest()
	if err != nil {
		return Pushed{}, fmt.Errorf("hash the image of %s: %w", p.Name, err)
	}
	if tag == "" {
		tag = digest.Hex[:12]
	}
	pushed := Pushed{Image: repository.Digest(digest.String()), Tag: repository.Tag(tag)}
	options := []remote.Option{remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain)}
	if there, err := remote.Head(pushed.Tag, options...); err == nil && there.Digest == digest {
		return pushed, nil
	}
	if err := remote.WriteIndex(pushed.Tag, index, options...); err != nil {
		if ctx.Err() != nil {
			return Pushed{}, context.Cause(ctx)
		}
		return Pushed{}, &PushError{Ref: pushed.Tag.String(), Err: err}
	}
	pushed.Sent = true
	return pushed, nil
}

// destination reads where an image goes. A name without a registry would mean
// Docker Hub to the library, and is most likely a mistake.
func destination(ref string) (name.Repository, string, error) {
	tag, err := name.NewTag(ref)
	if err != nil {
		return name.Repository{}, "", &NameError{ref, "is no name of an image such as registry.example/kubectl-ai/image"}
	}
	if tag.RegistryStr() == name.DefaultRegistry && !strings.HasPrefix(ref, "docker.io/") && !strings.HasPrefix(ref, name.DefaultRegistry+"/") {
		return name.Repository{}, "", &NameError{ref, "names no registry: want HOST/" + ref}
	}
	if repository, err := name.NewRepository(ref); err == nil {
		return repository, "", nil
	}
	return tag.Repository, tag.TagStr(), nil
}
