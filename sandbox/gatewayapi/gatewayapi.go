// Package gatewayapi brings the kinds of the Gateway API into a sandbox: the
// standard channel of the version that the sandbox's own router is built with.
// Other clusters have them from their gateway.
package gatewayapi

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
	"github.com/kubectl-ai/kubectl-ai/sandbox/image"
)

// manifest is where a build carries the CRDs.
const manifest = "crds/gateway-api.yaml"

// kinds are those that users of a sandbox apply.
const kinds = "gateways.gateway.networking.k8s.io,httproutes.gateway.networking.k8s.io"

// Reporter is told of the steps.
type Reporter interface {
	Start(step string)
	End(err error)
}

// Install brings the CRDs into a sandbox that runs, and waits until they are
// served. Those that somebody else brought in another version are a conflict,
// and stay. It returns an *image.NoPayloadError for a build without them.
func Install(ctx context.Context, carried fs.FS, c cluster.Cluster, wait time.Duration, r Reporter) (err error) {
	r.Start("Install the kinds of the Gateway API")
	defer func() { r.End(err) }()
	crds, err := read(carried)
	if err != nil {
		return err
	}
	node, ok := cluster.Primary(c.Nodes)
	if !ok {
		return fmt.Errorf("sandbox %q has no control plane", c.Name)
	}
	if _, err := node.Kubectl(ctx, bytes.NewReader(crds), "apply", "--server-side", "--field-manager=kubectl-ai", "-f", "-"); err != nil {
		return fmt.Errorf("apply the CRDs: %w", err)
	}
	if err := served(ctx, node, crds, wait); err != nil {
		return fmt.Errorf("wait for the CRDs: %w", err)
	}
	return nil
}

// served waits until the API server serves the kinds. kubectl wait fails at
// once on a CRD that has no conditions yet (kubernetes#66439), and one that is
// established is listed by discovery a moment later.
func served(ctx context.Context, node cluster.Node, crds []byte, wait time.Duration) error {
	return engine.Retry(ctx, wait, func(left time.Duration) error {
		if _, err := node.Kubectl(ctx, bytes.NewReader(crds), "wait", "--for=condition=Established", "--timeout="+left.String(), "-f", "-"); err != nil {
			return err
		}
		_, err := node.Kubectl(ctx, nil, "get", kinds, "-A", "-o", "name", "--request-timeout=5s")
		return err
	})
}

func read(carried fs.FS) ([]byte, error) {
	if carried == nil {
		return nil, &image.NoPayloadError{Name: manifest}
	}
	file, err := carried.Open(manifest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &image.NoPayloadError{Name: manifest}
	}
	if err != nil {
		return nil, fmt.Errorf("open the CRDs: %w", err)
	}
	crds, err := io.ReadAll(file)
	return crds, errors.Join(err, file.Close())
}
