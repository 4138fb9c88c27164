package command

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
)

// known is what `explain -o json` prints of an error.
type known struct {
	ID       string `json:"id"`
	ExitCode int    `json:"exitCode"`
	Text     string `json:"text"`
}

type explained struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	known
}

type catalogue struct {
	APIVersion string  `json:"apiVersion"`
	Kind       string  `json:"kind"`
	Items      []known `json:"items"`
}

// newCmdExplain returns `kubectl ai explain`.
func newCmdExplain(f *Factory) *cobra.Command {
	var output string
	cmd := &cobra.Command{
		Use:   "explain [ID]",
		Short: "Explain an error ID; without one, list them",
		Long: `Prints what an error means and what its exit code is. Every error is printed as

  error[ID]: what failed
    cause: why, where that is known
    next:  what helps, mostly a command

With -o json of the command that fails, the last line of stderr is the same as JSON:
apiVersion, kind (Error), id, message, cause, next, exitCode.`,
		Example: `  kubectl ai explain PRO-002
  kubectl ai explain -o json | jq -r '.items[] | select(.exitCode == 5).id'`,
		Args: atMostOne,
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			var ids []string
			for _, e := range explain.Catalogue() {
				ids = append(ids, e.ID)
			}
			return ids, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(_ *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			if len(args) == 0 {
				list := catalogue{APIVersion: outputVersion, Kind: "ErrorList"}
				var ids []string
				for _, e := range explain.Catalogue() {
					list.Items, ids = append(list.Items, known{e.ID, e.Exit, e.Long}), append(ids, e.ID)
				}
				return printAs(f.Streams.Out, output, list, ids, list.table)
			}
			e, ok := explain.ByID(args[0])
			if !ok {
				return explain.Usagef("no error has the ID %q\nsee: kubectl ai explain", args[0])
			}
			view := explained{outputVersion, "ExplainedError", known{e.ID, e.Exit, e.Long}}
			return printAs(f.Streams.Out, output, view, []string{e.ID}, func(w io.Writer) error {
				_, err := fmt.Fprintf(w, "%s (exit code %d)\n\n%s\n", e.ID, e.Exit, f.Streams.Called.Say(e.Long))
				return err
			})
		},
	}
	addOutput(cmd, &output)
	return cmd
}

func (c catalogue) table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "ID\tEXIT\tMEANS")
	for _, e := range c.Items {
		first, _, _ := strings.Cut(strings.Join(strings.Fields(e.Text), " "), ". ")
		_, _ = fmt.Fprintf(t, "%s\t%d\t%s\n", e.ID, e.ExitCode, strings.TrimSuffix(first, "."))
	}
	return t.Flush()
}

// WantsJSON says whether the command that was called was asked for JSON: what
// fails is told so then, too.
func WantsJSON(cmd *cobra.Command) bool {
	flag := cmd.Flags().Lookup("output")
	return flag != nil && flag.Value.String() == "json"
}
