package layer

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
)

// NewImage makes a Linux image of layers, the lowest first.
func NewImage(arch string, config v1.Config, created time.Time, layers ...v1.Layer) (v1.Image, error) {
	base := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.OCIManifestSchema1), types.OCIConfigJSON)
	img, err := mutate.AppendLayers(base, layers...)
	if err != nil {
		return nil, fmt.Errorf("stack layers: %w", err)
	}
	file, err := img.ConfigFile()
	if err != nil {
		return nil, fmt.Errorf("stack layers: %w", err)
	}
	file = file.DeepCopy()
	file.OS, file.Architecture, file.Created, file.Config = "linux", arch, v1.Time{Time: created.UTC()}, config
	return mutate.ConfigFile(img, file)
}

// Load gives an image to the engine under a tag.
func Load(ctx context.Context, e *engine.Engine, img v1.Image, tag string) error {
	ref, err := name.NewTag(tag)
	if err != nil {
		return fmt.Errorf("name the image: %w", err)
	}
	reader, writer := io.Pipe()
	packed := make(chan error, 1)
	go func() {
		err := tarball.Write(ref, img, writer)
		_ = writer.CloseWithError(err)
		packed <- err
	}()
	_, err = e.Run(ctx, reader, "load")
	_ = reader.Close() // an engine that stopped reading lets the packing end
	if packErr := <-packed; err == nil && packErr != nil {
		err = packErr
	}
	if err != nil {
		return fmt.Errorf("load %s into %s: %w", tag, e.Name, err)
	}
	return nil
}
