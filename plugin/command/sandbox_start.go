package command

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/install"
)

// SandboxStartOptions are the flags of `sandbox start`.
type SandboxStartOptions struct {
	Name          string
	Wait          time.Duration
	SwitchContext bool
}

func newCmdSandboxStart(f *Factory) *cobra.Command {
	o := &SandboxStartOptions{}
	cmd := &cobra.Command{
		Use:   "start",
		Short: "Start a stopped sandbox",
		Long: `Start the nodes of a stopped sandbox and its registry, wait until the nodes are
ready and offer their GPUs, and renew its context in your kubeconfig. Everything
that was in it is there again; pods start anew. A GPU that sandbox gpu fail broke
stays broken.`,
		Example: `  kubectl ai sandbox start
  kubectl ai sandbox start --name team`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.Wait < 0 {
				return explain.Usagef("--wait %v: not negative, please", o.Wait)
			}
			return o.Run(cmd.Context(), f)
		},
	}
	addSandboxName(cmd, f, &o.Name)
	cmd.Flags().DurationVar(&o.Wait, "wait", 2*time.Minute, "how long nodes may take to become ready, and then to offer their GPUs; 0s does not wait")
	cmd.Flags().BoolVar(&o.SwitchContext, "switch-context", false, "make its context your current one")
	return cmd
}

// Run starts the sandbox.
func (o *SandboxStartOptions) Run(ctx context.Context, f *Factory) error {
	s, err := openSandboxes(ctx, f)
	if err != nil {
		return err
	}
	c, err := s.Start(ctx, o.Name, o.Wait, o.SwitchContext)
	if err != nil {
		return err
	}
	if e, ok := endpoint(c.Mark); ok {
		s.Reporter.Start("Start the registry on " + e.Host())
		err := s.registries.Ensure(ctx, e)
		s.Reporter.End(err)
		if err != nil {
			return err
		}
	}
	if control, ok := cluster.Primary(c.Nodes); ok && o.Wait > 0 && c.Mark.GPUs.Mode != cluster.NoGPUs && !c.Mark.Unfinished {
		options := install.Options{GPUs: c.Mark.GPUs.Nodes, Kubectl: control.Kubectl, Wait: o.Wait}
		if err := install.Await(ctx, targets(c.Nodes), options, s.Reporter); err != nil {
			return err
		}
	}
	_, _ = fmt.Fprintf(f.Streams.Out, "sandbox/%s started\n", c.Name)
	return nil
}

// SandboxStopOptions are the flags of `sandbox stop`.
type SandboxStopOptions struct{ Name string }

func newCmdSandboxStop(f *Factory) *cobra.Command {
	o := &SandboxStopOptions{}
	cmd := &cobra.Command{
		Use:   "stop",
		Short: "Stop a sandbox; what is in it stays",
		Long: `Stop the nodes of a sandbox, and its registry unless another running sandbox has
it too. Nothing is removed: kubectl ai sandbox start brings it back.`,
		Example: `  kubectl ai sandbox stop
  kubectl ai sandbox stop --name team`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.Run(cmd.Context(), f)
		},
	}
	addSandboxName(cmd, f, &o.Name)
	return cmd
}

// Run stops the sandbox.
func (o *SandboxStopOptions) Run(ctx context.Context, f *Factory) error {
	s, err := openSandboxes(ctx, f)
	if err != nil {
		return err
	}
	c, err := s.Stop(ctx, o.Name)
	if err != nil {
		return err
	}
	if e, ok := endpoint(c.Mark); ok {
		used, err := s.sharesRegistry(ctx, c.Mark, func(c cluster.Cluster) bool { return c.State != cluster.Stopped })
		if err != nil {
			return err
		}
		if !used {
			if err := s.registries.Stop(ctx, e); err != nil {
				return err
			}
		}
	}
	_, _ = fmt.Fprintf(f.Streams.Out, "sandbox/%s stopped\n", c.Name)
	return nil
}
