package command

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
	"github.com/kubectl-ai/kubectl-ai/sandbox/metricsserver"
)

// metricsServer is what `sandbox add` knows.
const metricsServer = "metrics-server"

func newCmdSandboxAdd(f *Factory) *cobra.Command {
	var name string
	wait := 2 * time.Minute
	cmd := &cobra.Command{
		Use:   "add metrics-server",
		Short: "Bring into a sandbox what a managed cluster has: metrics-server",
		Long: `Brings metrics-server into a sandbox: what HorizontalPodAutoscalers and kubectl top
ask for the CPU and memory of pods. Clusters of providers have it. It is in
kube-system, takes some 20 MiB, and does nothing where it is there already.

Nodes pull ` + metricsserver.Image + `,
or get it from the container engine of this machine if that has it.`,
		Example: `  kubectl ai sandbox add metrics-server
  kubectl --context kind-ai top pods -A`,
		ValidArgs: []string{metricsServer},
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || args[0] != metricsServer {
				return explain.Usagef("%s takes what to add: %s\nsee: %[1]s --help", cmd.CommandPath(), metricsServer)
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error {
			return sandboxAdd(cmd.Context(), f, name, wait)
		},
	}
	addSandboxName(cmd, f, &name)
	cmd.Flags().DurationVar(&wait, "wait", wait, "how long it may take to answer")
	return cmd
}

func sandboxAdd(ctx context.Context, f *Factory, name string, wait time.Duration) error {
	s, err := openSandboxes(ctx, f)
	if err != nil {
		return err
	}
	c, err := s.Get(ctx, name)
	if err != nil {
		return err
	}
	if c.State != cluster.Running {
		return &cluster.StoppedError{Name: name}
	}
	if err := metricsserver.Install(ctx, s.Engine, c, wait, s.Reporter); err != nil {
		return err
	}
	_, _ = fmt.Fprintf(f.Streams.Out, "%s added to sandbox/%s\n", metricsServer, c.Name)
	return nil
}
