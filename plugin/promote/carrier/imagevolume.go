package carrier

import (
	"context"
	"fmt"
	"slices"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
)

// ImageVolumes carries code as an image of its own, which pods mount (KEP-4639).
// It has the tree at its root and nothing else; the runtime image stays as it is.
type ImageVolumes struct {
	Resolver    *Resolver
	Cluster     Cluster
	Registry    string // as in Layers
	Project     string
	Environment string
	// Writes guards what cannot be written to; nil: nobody asks.
	Writes Writes
}

// Format implements Carrier.
func (*ImageVolumes) Format() string { return FormatImageVolume }

// Able implements Carrier. It returns a *NoRegistryError, *CoveredError,
// *UnfitError, a *NoImageVolumesError, or what Writes says.
func (v *ImageVolumes) Able(ctx context.Context, code Code, targets []workload.Target) error {
	if v.Registry == "" {
		return &NoRegistryError{Environment: v.Environment}
	}
	if err := uncovered(targets); err != nil {
		return err
	}
	for _, e := range code.Index {
		if err := checkName(e.Path); err != nil {
			return err
		}
	}
	if err := probe(ctx, v.Cluster, targets); err != nil {
		return err
	}
	return v.Writes.check(ctx, v.Format())
}

// Carry implements Carrier.
func (v *ImageVolumes) Carry(ctx context.Context, code Code, targets []workload.Target, r Reporter) (*Result, error) {
	packed, err := newLayer(code, "/")
	if err != nil {
		return nil, err
	}
	what, err := alone(packed, code, v.Resolver.Arches)
	if err != nil {
		return nil, err
	}
	digest, err := what.Digest()
	if err != nil {
		return nil, fmt.Errorf("hash the image of the code: %w", err)
	}
	p, err := newPush(fmt.Sprintf("%s/%s/code", strings.TrimRight(v.Registry, "/"), v.Project), digest, code.Digest(), what)
	if err != nil {
		return nil, err
	}
	result := &Result{Format: v.Format(), Code: []string{p.ref.String()}, pushes: []push{p}}
	for _, t := range targets {
		image := t.Container.Image()
		base, err := v.Resolver.pin(ctx, t.Container, r)
		if err != nil {
			return nil, err
		}
		mount(t, imageSource(p.ref.String()), code.Digest())
		result.keep(t, image, base)
	}
	return result, nil
}

func imageSource(ref string) map[string]any {
	return map[string]any{"image": map[string]any{"reference": ref, "pullPolicy": "IfNotPresent"}}
}

// alone makes an image of the code, one a platform: containerd unpacks an
// image for its own alone, although files are the same on all.
func alone(l *layer, code Code, arches []string) (pushable, error) {
	if len(arches) == 0 {
		arches = []string{"amd64", "arm64"} // those that nodes have, where they may not be listed
	}
	arches = slices.Sorted(slices.Values(arches))
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	var last v1.Image
	for _, arch := range arches {
		img := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
		img, err := mutate.Append(img, mutate.Addendum{
			Layer: l, MediaType: l.mediaType,
			History: v1.History{CreatedBy: "kubectl ai promote", Comment: "code " + code.Digest().String()},
		})
		if err != nil {
			return nil, fmt.Errorf("make the image of the code: %w", err)
		}
		config, err := img.ConfigFile()
		if err != nil {
			return nil, fmt.Errorf("make the image of the code: %w", err)
		}
		config = config.DeepCopy()
		config.OS, config.Architecture = "linux", arch
		config.Config.Labels = map[string]string{DigestLabel: code.Digest().String()}
		if last, err = mutate.ConfigFile(img, config); err != nil {
			return nil, fmt.Errorf("make the image of the code: %w", err)
		}
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: last, Descriptor: v1.Descriptor{Platform: config.Platform()}})
	}
	if len(arches) == 1 {
		return last, nil
	}
	return index, nil
}
