package command

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/observe"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/execstream"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/inject"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/session"
	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
	"github.com/kubectl-ai/kubectl-ai/sandbox/image"
)

// devManager is the field manager of what dev applies.
const devManager = "kubectl-ai-dev"

// defaultSandbox is the context of `sandbox create` without --name.
const defaultSandbox = "kind-ai"

// target is a bundle in a sandbox.
type target struct {
	*rendered
	context string
	cluster cluster.Cluster
	engine  *engine.Engine
	config  *rest.Config
	client  kubernetes.Interface
	applier *apply.Client
}

// openTarget renders the sandbox environment of a bundle and opens the
// sandbox it goes to: --context, else the project file's, else the default
// sandbox. Any other cluster is refused: nothing was asked of it.
func openTarget(ctx context.Context, f *Factory, dir string) (*target, error) {
	r, err := render(dir, "sandbox", f.Namespace())
	if err != nil {
		return nil, err
	}
	t := &target{rendered: r, context: sandboxContext(f, r)}
	sandbox, ok := strings.CutPrefix(t.context, "kind-")
	if !ok {
		return nil, &explain.NotASandboxError{Context: t.context}
	}
	s, err := openSandboxes(ctx, f)
	if err != nil {
		return nil, err
	}
	t.engine = s.Engine
	if t.cluster, err = s.Get(ctx, sandbox); err != nil {
		return nil, err
	}
	if t.cluster.State != cluster.Running {
		return nil, &cluster.StoppedError{Name: sandbox}
	}
	if t.config, err = f.RESTConfig(t.context); err != nil {
		return nil, err
	}
	if t.client, err = kubernetes.NewForConfig(t.config); err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	if t.applier, err = apply.New(t.config); err != nil {
		return nil, err
	}
	return t, t.applier.Localize(t.objects, t.namespace)
}

// dial opens the stream to a rank's agent.
func (t *target) dial() session.Dial {
	d := &execstream.Dialer{Config: t.config, Client: t.client, Namespace: t.namespace}
	return func(ctx context.Context, r session.Rank) (io.ReadWriteCloser, error) {
		pod, container, _ := strings.Cut(r.Name, "/")
		return d.Dial(ctx, pod, container, inject.AgentPath, "connect", "--socket", inject.SocketPath(container))
	}
}

// selection says which pods are the bundle's ranks.
func (t *target) selection() observe.Selection {
	return observe.Selection{
		Namespace:  t.namespace,
		Selector:   inject.ProjectLabel + "=" + t.project.Name,
		Annotation: inject.ContainersAnnotation,
	}
}

func sessionRank(r observe.Rank) session.Rank {
	return session.Rank{ID: r.PodUID + "/" + r.Container, Name: r.Name(), Index: r.Index}
}

// agentImage brings the agent into the sandbox's nodes and returns its image.
// The tag is the program's digest, so that another build is another image.
func (t *target) agentImage(ctx context.Context, f *Factory) (string, error) {
	program, err := image.Payload(f.Payload, t.engine.Arch, "ai-agent")
	if err != nil {
		return "", err
	}
	content, err := io.ReadAll(program)
	if err = errors.Join(err, program.Close()); err != nil {
		return "", fmt.Errorf("read the agent: %w", err)
	}
	ref := fmt.Sprintf("kubectl-ai/agent:%x", sha256.Sum256(content))[:len("kubectl-ai/agent:")+12]
	img, err := image.FromBinary(bytes.NewReader(content), t.engine.Arch, "/ai-agent", []string{"/ai-agent"}, ref)
	if err != nil {
		return "", err
	}
	return ref, image.LoadImage(ctx, t.cluster.Nodes, img)
}

// runtimeImages brings the images that the engine of this machine has into
// the nodes, as nobody wants to push what is at hand. Others are pulled.
func (t *target) runtimeImages(ctx context.Context, reporter cluster.Reporter) error {
	seen := map[string]bool{}
	for _, target := range t.targets {
		for _, c := range target.Containers() {
			ref := c.Image()
			if ref == "" || seen[ref] {
				continue
			}
			seen[ref] = true
			err := image.LoadFromEngine(ctx, t.engine, t.cluster.Nodes, ref)
			var absent *image.NotFoundError
			if errors.As(err, &absent) {
				reporter.Note("image %s is not on this machine: the nodes pull it", ref)
				continue
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// entrypoint returns what an image runs: from the engine, where images that
// were built or loaded on this machine are, else from the image's registry.
func entrypoint(ctx context.Context, e *engine.Engine, ref string) (entry, cmd []string, err error) {
	if out, err := e.Run(ctx, nil, "image", "inspect", "--format", "{{json .Config}}", ref); err == nil {
		var config struct{ Entrypoint, Cmd []string }
		if err := json.Unmarshal(out, &config); err != nil {
			return nil, nil, fmt.Errorf("read the configuration of image %s: %w", ref, err)
		}
		return config.Entrypoint, config.Cmd, nil
	}
	parsed, err := name.ParseReference(ref)
	if err != nil {
		return nil, nil, err
	}
	img, err := remote.Image(parsed, remote.WithContext(ctx))
	if err != nil {
		return nil, nil, fmt.Errorf("not in the engine, and its registry says: %w", err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		return nil, nil, err
	}
	return config.Config.Entrypoint, config.Config.Cmd, nil
}
