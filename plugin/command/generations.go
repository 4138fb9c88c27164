package command

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/journal"
)

// generationList is what `generations -o json` prints.
type generationList struct {
	APIVersion string               `json:"apiVersion"`
	Kind       string               `json:"kind"`
	Items      []journal.Generation `json:"items"`
}

// NewCmdGenerations returns `kubectl ai generations`.
func NewCmdGenerations(f *Factory) *cobra.Command {
	var output string
	var limit int
	cmd := &cobra.Command{
		Use:   "generations [DIR]",
		Short: "List the generations of code that ranks have run",
		Long: `Lists what the journal on this machine holds of the bundle in its sandbox: each
generation with its digest, when it ran and on how many ranks. -o json has the
receipts too. Asks no cluster and changes nothing.`,
		Example: `  kubectl ai generations samples/digits
  kubectl ai generations --limit 3 -o json | jq '.items[].treeDigest'`,
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(output); err != nil {
				return err
			}
			return generations(cmd.Context(), f, dirArg(args), output, limit)
		},
	}
	addOutput(cmd, &output)
	cmd.Flags().IntVar(&limit, "limit", 20, "how many of the latest to list; 0: all")
	return cmd
}

func generations(_ context.Context, f *Factory, dir, output string, limit int) error {
	r, err := render(f, dir, "sandbox")
	if err != nil {
		return err
	}
	j, err := openJournal(f, r, sandboxContext(f, r.env))
	if err != nil {
		return err
	}
	all, err := j.List()
	if err != nil {
		return err
	}
	if len(all) == 0 {
		f.Streams.Talk("no generation of %s has run yet; next: kubectl ai dev", r.project.Name)
	}
	if limit > 0 && len(all) > limit {
		all = all[len(all)-limit:]
	}
	list := generationList{APIVersion: outputVersion, Kind: "GenerationList", Items: append([]journal.Generation{}, all...)}
	names := make([]string, len(all))
	for i, g := range all {
		names[i] = fmt.Sprintf("generation/%d", g.Generation)
	}
	return printAs(f.Streams.Out, output, list, names, list.table)
}

func (l generationList) table(w io.Writer) error {
	if len(l.Items) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "GENERATION\tDIGEST\tCHANGED\tRANKS\tWHEN")
	for _, g := range l.Items {
		_, _ = fmt.Fprintf(t, "%d\t%s\t%s\t%d\t%s\n", g.Generation, g.TreeDigest.Short(), files(g.Files), len(g.Receipts), g.Time.Local().Format(time.DateTime))
	}
	return t.Flush()
}
