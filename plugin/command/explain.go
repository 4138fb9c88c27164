package command

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
)

// newCmdExplain returns `kubectl ai explain`.
func newCmdExplain(f *Factory) *cobra.Command {
	return &cobra.Command{
		Use:   "explain [ID]",
		Short: "Explain an error ID; without one, list them",
		Args:  atMostOne,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var ids []string
			for _, e := range explain.Catalogue() {
				ids = append(ids, e.ID)
			}
			return ids, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				for _, e := range explain.Catalogue() {
					_, _ = fmt.Fprintf(f.Streams.Out, "%s  exit %d\n", e.ID, e.Exit)
				}
				return nil
			}
			e, ok := explain.ByID(args[0])
			if !ok {
				return explain.Usagef("no error has the ID %q\nsee: kubectl ai explain", args[0])
			}
			_, _ = fmt.Fprintf(f.Streams.Out, "%s (exit code %d)\n\n%s\n", e.ID, e.Exit, f.Streams.Called.Say(e.Long))
			return nil
		},
	}
}
