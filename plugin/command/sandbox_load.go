package command

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
)

// SandboxLoadOptions are the arguments of `sandbox load`.
type SandboxLoadOptions struct {
	Name   string
	Images []string
}

func newCmdSandboxLoad(f *Factory) *cobra.Command {
	o := &SandboxLoadOptions{}
	cmd := &cobra.Command{
		Use:   "load IMAGE...",
		Short: "Bring images of the container engine into a sandbox",
		Long: `Bring images that the container engine of this machine has into all nodes of a
sandbox, without a registry. Nodes that have an image already are passed over.
Pods use it when their imagePullPolicy is IfNotPresent or Never.

kubectl-ai/services:local is in no engine: kubectl ai carries it. Local twins of
services run it, and dev loads it by itself.`,
		Example: `  kubectl ai sandbox load my-runtime:1 my-tools:2
  kubectl ai sandbox load kubectl-ai/services:local`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return explain.Usagef("%s takes the images to load\nsee: %[1]s --help", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Images = args
			return o.Run(cmd.Context(), f)
		},
	}
	addSandboxName(cmd, f, &o.Name)
	return cmd
}

// Run loads the images, one after the other.
func (o *SandboxLoadOptions) Run(ctx context.Context, f *Factory) error {
	s, err := openSandboxes(ctx, f)
	if err != nil {
		return err
	}
	c, err := s.Get(ctx, o.Name)
	if err != nil {
		return err
	}
	if c.State != cluster.Running {
		return &cluster.StoppedError{Name: o.Name}
	}
	for _, ref := range o.Images {
		s.Reporter.Start("Load image " + ref)
		err := loadedImages{cluster: c, engine: s.Engine, payload: f.Payload}.load(ctx, ref)
		s.Reporter.End(err)
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(f.Streams.Out, "image/%s loaded\n", ref)
	}
	return nil
}
