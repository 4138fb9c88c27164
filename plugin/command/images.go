package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/google/go-containerregistry/pkg/name"

	"github.com/kubectl-ai/kubectl-ai/plugin/programimage"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/carrier"
	"github.com/kubectl-ai/kubectl-ai/plugin/term"
	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
	"github.com/kubectl-ai/kubectl-ai/sandbox/image"
)

// images is how a cluster's nodes come by what pods run.
type images interface {
	// bring makes the bundle's images and the agent's available to the nodes
	// and returns the agent's reference.
	bring(ctx context.Context, refs []string, progress *term.Progress) (agent string, err error)
	// entrypoint returns what an image runs.
	entrypoint(ctx context.Context, ref string) (entry, cmd []string, err error)
	// config returns the digest of an image's configuration as a node that
	// has it says, "" where nobody can say.
	config(ctx context.Context, node, id string) string
}

// loadedImages are those of a sandbox: loaded from the engine of this machine.
type loadedImages struct {
	cluster cluster.Cluster
	engine  *engine.Engine
	payload fs.FS
	// unbuilt is the error of a runtime image that the bundle's own Dockerfile
	// makes and that no registry has; nil for other images.
	unbuilt func(ref string) error
}

func (i loadedImages) bring(ctx context.Context, refs []string, progress *term.Progress) (agent string, err error) {
	progress.Start("Bring images into sandbox " + i.cluster.Name)
	defer func() { progress.End(err) }()
	img, err := programimage.Agent.Build(i.payload, i.engine.Arch)
	if err != nil {
		return "", err
	}
	if err := image.LoadImage(ctx, i.cluster.Nodes, img); err != nil {
		return "", err
	}
	// Nobody wants to push what is at hand; what is not, the nodes pull.
	for _, ref := range refs {
		err := i.load(ctx, ref)
		var absent *image.NotFoundError
		if errors.As(err, &absent) {
			if err := i.mayPull(ctx, ref); err != nil {
				return "", err
			}
			progress.Note("image %s is not on this machine: the nodes pull it", ref)
			continue
		}
		if err != nil {
			return "", err
		}
	}
	return img.Ref, nil
}

// mayPull refuses an image that the nodes would look for in vain, unless one
// of them has it from before.
func (i loadedImages) mayPull(ctx context.Context, ref string) error {
	if i.unbuilt == nil || slices.ContainsFunc(i.cluster.Nodes, func(n cluster.Node) bool { return image.Present(ctx, n, ref) }) {
		return nil
	}
	return i.unbuilt(ref)
}

// load brings an image of the engine into the nodes that lack it, or the one
// that this build carries. It returns *image.NotFoundError.
func (i loadedImages) load(ctx context.Context, ref string) error {
	if !programimage.Services.Names(ref) {
		return image.LoadFromEngine(ctx, i.engine, i.cluster.Nodes, ref)
	}
	img, err := programimage.Services.Build(i.payload, i.engine.Arch)
	if err != nil {
		return err
	}
	return image.LoadImage(ctx, i.cluster.Nodes, img)
}

// entrypoint asks the engine, where images that were built or loaded on this
// machine are, else the image's registry.
func (i loadedImages) entrypoint(ctx context.Context, ref string) (entry, cmd []string, err error) {
	out, err := i.engine.Run(ctx, nil, "image", "inspect", "--format", "{{json .Config}}", ref)
	if err != nil {
		if entry, cmd, err = registryEntrypoint(ctx, ref); err != nil {
			err = fmt.Errorf("not in the engine, and %w", err)
		}
		return entry, cmd, err
	}
	var config struct{ Entrypoint, Cmd []string }
	if err := json.Unmarshal(out, &config); err != nil {
		return nil, nil, fmt.Errorf("read the configuration of image %s: %w", ref, err)
	}
	return config.Entrypoint, config.Cmd, nil
}

// config asks the node: what is loaded into one has a digest of its own there,
// that of its configuration alone stays the same.
func (i loadedImages) config(ctx context.Context, node, id string) string {
	for _, n := range i.cluster.Nodes {
		if n.Name != node {
			continue
		}
		if config, err := image.Config(ctx, n, id); err == nil {
			return config
		}
	}
	return ""
}

// pulledImages are those of any other cluster: its nodes pull them.
type pulledImages struct {
	context string
	agent   string // agent.image of the project file
	payload fs.FS
}

func (i pulledImages) bring(_ context.Context, refs []string, progress *term.Progress) (string, error) {
	if n := slices.IndexFunc(refs, programimage.Services.Names); n >= 0 {
		return "", &programimage.LocalError{Image: refs[n], Context: i.context}
	}
	if i.agent == "" {
		return "", &programimage.MissingError{Context: i.context}
	}
	if i.isOfAnotherBuild() {
		progress.Note("agent.image is not the agent of this kubectl ai; kubectl ai agent push brings that to your registry")
	}
	return i.agent, nil
}

// isOfAnotherBuild compares digests where the project names one. What an
// agent and a client that differ cannot do together, they say when they meet.
func (i pulledImages) isOfAnotherBuild() bool {
	named, err := name.NewDigest(i.agent)
	if err != nil {
		return false // a tag: its registry alone knows
	}
	index, err := programimage.Agent.Index(i.payload)
	if err != nil {
		return false // this build carries no agent
	}
	own, err := index.Digest()
	return err == nil && own.String() != named.DigestStr()
}

// entrypoint asks the image's registry alone: the engine may have another
// image of that name.
func (i pulledImages) entrypoint(ctx context.Context, ref string) (entry, cmd []string, err error) {
	return registryEntrypoint(ctx, ref)
}

// config is for the registry to say, from the digest that the node names.
func (i pulledImages) config(context.Context, string, string) string { return "" }

// registryEntrypoint reads an image's configuration from its registry, with
// the credentials of docker login.
func registryEntrypoint(ctx context.Context, ref string) (entry, cmd []string, err error) {
	base, err := (&carrier.Resolver{}).Base(ctx, ref)
	var absent *carrier.BaseError
	if errors.As(err, &absent) {
		return nil, nil, fmt.Errorf("its registry says: %w", absent.Registry)
	}
	if err != nil {
		return nil, nil, err
	}
	config, err := base.Images[0].ConfigFile()
	if err != nil {
		return nil, nil, fmt.Errorf("read the configuration of image %s: %w", ref, err)
	}
	return config.Config.Entrypoint, config.Config.Cmd, nil
}
