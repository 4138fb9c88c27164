// Package agentimage makes the image that brings the agent into pods: one
// static program on an empty root. A build of kubectl ai makes the same image
// everywhere, byte for byte, so that its digest tells whether nodes and
// registries have it, and whether what a project names is of this build.
//
// Sandboxes get it by hand (Build); the nodes of other clusters pull it from a
// registry of the user's (Index, Push).
package agentimage

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

// Program is where the image holds the agent.
const Program = "/ai-agent"

// Arches are the architectures of nodes that the agent is built for.
var Arches = []string{"amd64", "arm64"}

// MissingError says that nodes would have to pull the agent and nobody said
// from where.
type MissingError struct{ Context string }

func (e *MissingError) Error() string {
	return fmt.Sprintf("the nodes of %s pull the agent, and kubectl-ai.yaml names no agent.image", e.Context)
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

// Content returns the agent's program for an architecture. It returns
// *image.NoPayloadError.
func Content(payload fs.FS, arch string) ([]byte, error) {
	program, err := image.Payload(payload, arch, "ai-agent")
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(program)
	if err = errors.Join(err, program.Close()); err != nil {
		return nil, fmt.Errorf("read the agent: %w", err)
	}
	return content, nil
}

// Build returns the image for one architecture. Its tag is made of the
// program's digest, so that another build is another image. It returns
// *image.NoPayloadError.
func Build(payload fs.FS, arch string) (*image.Image, error) {
	content, err := Content(payload, arch)
	if err != nil {
		return nil, err
	}
	tag := fmt.Sprintf("kubectl-ai/agent:%x", sha256.Sum256(content))[:len("kubectl-ai/agent:")+12]
	return image.FromBinary(bytes.NewReader(content), arch, Program, []string{Program}, tag)
}

// Index returns the images for all architectures as one. It returns
// *image.NoPayloadError.
func Index(payload fs.FS) (v1.ImageIndex, error) {
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, arch := range Arches {
		img, err := Build(payload, arch)
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
func Push(ctx context.Context, payload fs.FS, ref string) (Pushed, error) {
	repository, tag, err := destination(ref)
	if err != nil {
		return Pushed{}, err
	}
	index, err := Index(payload)
	if err != nil {
		return Pushed{}, err
	}
	digest, err := index.Digest()
	if err != nil {
		return Pushed{}, fmt.Errorf("hash the agent's image: %w", err)
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
		return name.Repository{}, "", &NameError{ref, "is no name of an image such as registry.example/kubectl-ai/agent"}
	}
	if tag.RegistryStr() == name.DefaultRegistry && !strings.HasPrefix(ref, "docker.io/") && !strings.HasPrefix(ref, name.DefaultRegistry+"/") {
		return name.Repository{}, "", &NameError{ref, "names no registry: want HOST/" + ref}
	}
	if repository, err := name.NewRepository(ref); err == nil {
		return repository, "", nil
	}
	return tag.Repository, tag.TagStr(), nil
}
