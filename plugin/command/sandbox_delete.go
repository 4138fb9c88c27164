package command

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
)

// SandboxDeleteOptions are the flags of `sandbox delete`.
type SandboxDeleteOptions struct {
	Name string
	All  bool
	Yes  bool
}

func newCmdSandboxDelete(f *Factory) *cobra.Command {
	o := &SandboxDeleteOptions{}
	cmd := &cobra.Command{
		Use:   "delete",
		Short: "Delete a sandbox with everything in it",
		Long: `Delete a sandbox: its containers with their volumes, its entries in your
kubeconfig, its registry unless another sandbox has it too, and the network
"kind" if it was made for it and is empty. Clusters that other tools made are
never deleted.

It asks on a terminal; elsewhere --yes says yes beforehand.`,
		Example: `  kubectl ai sandbox delete
  kubectl ai sandbox delete --name team --yes
  kubectl ai sandbox delete --all`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if o.All && cmd.Flags().Changed("name") {
				return explain.Usagef("--all and --name exclude each other")
			}
			return o.Run(cmd.Context(), f)
		},
	}
	addSandboxName(cmd, f, &o.Name)
	cmd.Flags().BoolVar(&o.All, "all", false, "delete every sandbox of this machine")
	cmd.Flags().BoolVarP(&o.Yes, "yes", "y", false, "do not ask")
	return cmd
}

// Run deletes the sandbox, or all of them.
func (o *SandboxDeleteOptions) Run(ctx context.Context, f *Factory) error {
	s, err := openSandboxes(ctx, f)
	if err != nil {
		return err
	}
	var doomed []cluster.Cluster
	if o.All {
		if doomed, err = s.List(ctx); err != nil {
			return err
		}
		if len(doomed) == 0 {
			f.Streams.Talk("no sandbox on this machine")
			return nil
		}
	} else {
		c, err := s.Get(ctx, o.Name)
		if err != nil {
			return err
		}
		doomed = []cluster.Cluster{c}
	}
	return deleteSandboxes(ctx, f, s, doomed, o.Yes)
}

// deleteSandboxes asks once for all of them, unless that was answered, and
// deletes them.
func deleteSandboxes(ctx context.Context, f *Factory, s *sandboxes, doomed []cluster.Cluster, yes bool) error {
	if !yes {
		if err := f.Streams.Confirm(ctx, "Delete "+describeAll(doomed)+" and everything in it?"); err != nil {
			return err
		}
	}
	var errs []error
	for _, c := range doomed {
		if err := s.Delete(ctx, c.Name); err != nil {
			errs = append(errs, err)
			if ctx.Err() != nil {
				break
			}
			continue
		}
		_, _ = fmt.Fprintf(f.Streams.Out, "sandbox/%s deleted\n", c.Name)
	}
	return errors.Join(errs...)
}

// describeAll names what is about to go.
func describeAll(clusters []cluster.Cluster) string {
	names := make([]string, len(clusters))
	for i, c := range clusters {
		names[i] = c.Name
		switch len(c.Nodes) {
		case 1:
			names[i] += " (1 node)"
		default:
			names[i] += fmt.Sprintf(" (%d nodes)", len(c.Nodes))
		}
	}
	word := "sandbox "
	if len(names) > 1 {
		word = "sandboxes "
	}
	return word + strings.Join(names, ", ")
}
