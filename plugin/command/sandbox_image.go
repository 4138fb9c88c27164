package command

import (
	"github.com/spf13/cobra"
)

// NewCmdSandboxImage returns `kubectl ai sandbox image` with its verbs.
func NewCmdSandboxImage(f *Factory) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "image",
		Short: "Build images where no registry can be reached: build, list",
		Long: `Images come from registries. Where none can be reached, kubectl ai builds the two
that a first sandbox needs from what can be: a Go module proxy and a Debian mirror.`,
		Args: cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownVerb(cmd, args[0])
		},
	}
	cmd.AddCommand(newCmdSandboxImageBuild(f), newCmdSandboxImageList(f))
	return cmd
}
