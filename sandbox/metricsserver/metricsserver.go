// Package metricsserver brings metrics-server into a sandbox: what autoscalers
// and kubectl top ask for the CPU and memory of pods. A cluster that is no
// sandbox has its own, or one of its operator's choice.
package metricsserver

import (
	"bytes"
	"context"
	_ "embed" // the manifest
	"errors"
	"fmt"
	"time"

	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
	"github.com/kubectl-ai/kubectl-ai/sandbox/image"
)

// Image is what the nodes pull, where this machine has none to give them.
const Image = "registry.k8s.io/metrics-server/metrics-server:v0.9.0"

//go:embed files/metrics-server.yaml
var manifest []byte

// Reporter is told of the steps.
type Reporter interface {
	Start(step string)
	Note(format string, args ...any)
	End(err error)
}

// Manifest returns the objects, as YAML.
func Manifest() []byte { return bytes.Clone(manifest) }

// Install brings metrics-server into a sandbox that runs, or does nothing where
// it is there as it should be, and waits until the API server reaches it.
func Install(ctx context.Context, e *engine.Engine, c cluster.Cluster, wait time.Duration, r Reporter) (err error) {
	r.Start("Install metrics-server")
	defer func() { r.End(err) }()
	err = image.LoadFromEngine(ctx, e, c.Nodes, Image)
	if absent := (*image.NotFoundError)(nil); errors.As(err, &absent) {
		r.Note("image %s is not on this machine: the nodes pull it", Image)
	} else if err != nil {
		return err
	}
	node, ok := cluster.Primary(c.Nodes)
	if !ok {
		return fmt.Errorf("sandbox %q has no control plane", c.Name)
	}
	if _, err := node.Kubectl(ctx, bytes.NewReader(manifest), "apply", "--server-side", "--force-conflicts", "--field-manager=kubectl-ai", "-f", "-"); err != nil {
		return fmt.Errorf("apply metrics-server: %w", err)
	}
	_, err = node.Kubectl(ctx, nil, "wait", "--for=condition=Available", "--timeout="+wait.String(), "apiservice/v1beta1.metrics.k8s.io")
	if err != nil {
		return fmt.Errorf("wait for metrics-server: %w", err)
	}
	return nil
}
