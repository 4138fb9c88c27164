package command

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gatewayapi"
	"github.com/kubectl-ai/kubectl-ai/sandbox/metricsserver"
)

// What `sandbox add` knows.
const (
	metricsServer = "metrics-server"
	gatewayAPI    = "gateway-api"
)

func newCmdSandboxAdd(f *Factory) *cobra.Command {
	var name string
	wait := 2 * time.Minute
	cmd := &cobra.Command{
		Use:   "add metrics-server|gateway-api",
		Short: "Bring into a sandbox what a managed cluster has: metrics-server, the Gateway API",
		Long: `Brings into a sandbox what clusters of providers have:

metrics-server  what HorizontalPodAutoscalers and kubectl top ask for the CPU and memory
                of pods. It is in kube-system and takes some 20 MiB. Nodes pull
                ` + metricsserver.Image + `,
                or get it from the container engine of this machine if that has it.
gateway-api     the kinds of the Gateway API (its standard channel), for component route.
                They are part of this program; kinds that somebody else brought stay.

Does nothing where it is there already.`,
		Example: `  kubectl ai sandbox add metrics-server
  kubectl ai sandbox add gateway-api
  kubectl --context kind-ai top pods -A`,
		ValidArgs: []string{metricsServer, gatewayAPI},
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) != 1 || !slices.Contains(cmd.ValidArgs, args[0]) {
				return explain.Usagef("%s takes what to add: %s\nsee: %[1]s --help", cmd.CommandPath(), strings.Join(cmd.ValidArgs, " or "))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return sandboxAdd(cmd.Context(), f, name, args[0], wait)
		},
	}
	addSandboxName(cmd, f, &name)
	cmd.Flags().DurationVar(&wait, "wait", wait, "how long it may take to answer")
	return cmd
}

func sandboxAdd(ctx context.Context, f *Factory, name, what string, wait time.Duration) error {
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
	if what == gatewayAPI {
		err = gatewayapi.Install(ctx, f.Payload, c, wait, s.Reporter)
	} else {
		err = metricsserver.Install(ctx, s.Engine, c, wait, s.Reporter)
	}
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(f.Streams.Out, "%s added to sandbox/%s\n", what, c.Name)
	return nil
}
