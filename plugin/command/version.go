package command

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

// newCmdVersion returns `kubectl ai version`.
func newCmdVersion(f *Factory) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print the version of this plugin",
		Example: `  kubectl ai version`,
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(f.Streams.Out, "kubectl-ai %s %s/%s %s\n", f.Version, runtime.GOOS, runtime.GOARCH, runtime.Version())
			return err
		},
	}
}
