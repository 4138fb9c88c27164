package command

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

// releaseList is what `history -o json` prints.
type releaseList struct {
	APIVersion string           `json:"apiVersion"`
	Kind       string           `json:"kind"`
	Current    int              `json:"current"` // revision; 0: none
	Items      []release.Record `json:"items"`
}

// NewCmdHistory returns `kubectl ai history`.
func NewCmdHistory(f *Factory) *cobra.Command {
	var to, output string
	cmd := &cobra.Command{
		Use:   "history [DIR] --to ENVIRONMENT",
		Short: "List the releases of a bundle in an environment",
		Long: `Lists the releases that are recorded in the environment's own namespace: when,
by whom, with which code. The current one is the newest that was deployed; a
promotion that failed never is. Ten are kept. Changes nothing.`,
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			if to == "" {
				return explain.Usagef("--to is missing: name the environment, such as --to production")
			}
			if err := checkOutput(output); err != nil {
				return err
			}
			return history(cmd.Context(), f, dirArg(args), to, output)
		},
	}
	addEnvironment(cmd, &to)
	addOutput(cmd, &output)
	return cmd
}

func history(ctx context.Context, f *Factory, dir, to, output string) error {
	p, err := openProduction(ctx, f, dir, to)
	if err != nil {
		return err
	}
	records, err := p.Store.List(ctx)
	if err != nil {
		return err
	}
	state, err := p.Store.Load(ctx)
	if err != nil {
		return err
	}
	list := releaseList{APIVersion: outputVersion, Kind: "ReleaseList", Current: state.Current, Items: append([]release.Record{}, records...)}
	if len(records) == 0 {
		f.Streams.Talk("no release of %s in namespace %s yet; next: kubectl ai promote --to %s", p.project.Name, p.namespace, to)
	}
	return printAs(f.Streams.Out, output, list, list.names(), list.table)
}

func (l releaseList) names() []string {
	names := make([]string, len(l.Items))
	for i, r := range l.Items {
		names[i] = fmt.Sprintf("release/%d", r.Revision)
	}
	return names
}

func (l releaseList) table(w io.Writer) error {
	if len(l.Items) == 0 {
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "RELEASE\tSTATUS\tCODE\tWHO\tWHEN\tNOTE")
	for _, r := range l.Items {
		status := string(r.Status)
		if r.Revision == l.Current {
			status = "current"
		}
		note, _, _ := strings.Cut(r.Reason, "\n")
		if r.RollbackTo > 0 {
			note = strings.TrimSpace(fmt.Sprintf("rollback to %d %s", r.RollbackTo, note))
		}
		_, _ = fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\n", r.Revision, status, r.TreeDigest, r.Who, r.When.Format(time.RFC3339), note)
	}
	return t.Flush()
}
