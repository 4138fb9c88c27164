package carrier

import (
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// Base is a runtime image: one image a platform, one or more of them.
type Base struct {
	Images []v1.Image
	// From says where it was found, for people.
	From string
	// Ref is the image by digest in its registry, "" when it is not in one.
	Ref string
	// Digests are all that identify it: of its index, of the images' manifests
	// and of their configurations.
	Digests []string
	// Versions are the variables of its configuration that name versions of
	// what is in it, such as PYTHON_VERSION, PYTORCH_VERSION, CUDA_VERSION.
	Versions map[string]string
}

// identify fills Digests and Versions from the images.
func (b *Base) identify() error {
	if b.Ref != "" {
		b.Digests = append(b.Digests, b.Ref[strings.LastIndex(b.Ref, "@")+1:])
	}
	b.Versions = map[string]string{}
	for _, img := range b.Images {
		manifest, err := img.Digest()
		if err != nil {
			return err
		}
		name, err := img.ConfigName()
		if err != nil {
			return err
		}
		for _, digest := range []string{name.String(), manifest.String()} {
			if !slices.Contains(b.Digests, digest) {
				b.Digests = append(b.Digests, digest)
			}
		}
		config, err := img.ConfigFile()
		if err != nil {
			return err
		}
		for _, variable := range config.Config.Env {
			if name, version, _ := strings.Cut(variable, "="); slices.Contains(versioned, name) {
				b.Versions[name] = version
			}
		}
	}
	return nil
}

// versioned are the variables by which the images of Docker's Python, of
// PyTorch and of NVIDIA say what is in them.
var versioned = []string{"PYTHON_VERSION", "PYTORCH_VERSION", "CUDA_VERSION", "NCCL_VERSION", "NV_CUDNN_VERSION", "NVIDIA_PYTORCH_VERSION"}

// onto returns the runtime image with the code: an image for one platform, an
// index for several.
func onto(base Base, l *layer, digest tree.Digest) (pushable, error) {
	var made []v1.Image
	for _, img := range base.Images {
		with, err := appendCode(img, l, digest)
		if err != nil {
			return nil, fmt.Errorf("add the code to the runtime image: %w", err)
		}
		made = append(made, with)
	}
	if len(made) == 1 {
		return made[0], nil
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for _, img := range made {
		config, err := img.ConfigFile()
		if err != nil {
			return nil, fmt.Errorf("read the configuration of the runtime image: %w", err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{Platform: config.Platform()}})
	}
	return index, nil
}

func appendCode(base v1.Image, l *layer, digest tree.Digest) (v1.Image, error) {
	baseDigest, err := base.Digest()
	if err != nil {
		return nil, err
	}
	mediaType, err := base.MediaType()
	if err != nil {
		return nil, err
	}
	l = l.as(mediaType)
	img, err := mutate.Append(base, mutate.Addendum{
		Layer:     l,
		MediaType: l.mediaType,
		History:   v1.History{CreatedBy: "kubectl ai promote", Comment: "code " + digest.String()},
	})
	if err != nil {
		return nil, err
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	if config.Config.Labels == nil {
		config.Config.Labels = map[string]string{}
	}
	config.Config.Labels[DigestLabel] = digest.String()
	config.Config.Labels[BaseLabel] = baseDigest.String()
	config.Config.Env = setEnv(config.Config.Env, DigestVariable, digest.String())
	return mutate.ConfigFile(img, config)
}

func setEnv(env []string, name, value string) []string {
	out := make([]string, 0, len(env)+1)
	for _, e := range env {
		if len(e) <= len(name) || e[:len(name)+1] != name+"=" {
			out = append(out, e)
		}
	}
	return append(out, name+"="+value)
}
