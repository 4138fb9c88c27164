package command

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

// releaseList is what `history -o json` prints.
type releaseList struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Current    int               `json:"current"` // revision; 0: none
	Items      []release.Release `json:"items"`
}

// NewCmdHistory returns `kubectl ai history`.
func NewCmdHistory(f *Factory) *cobra.Command {
	var to, output string
	cmd := &cobra.Command{
		Use:   "history [DIR] --to ENVIRONMENT",
		Short: "List the releases of a bundle in an environment",
		Long: `Lists the releases that are recorded in the environment's own namespace: when,
by whom, with which code. The current one is the newest that was deployed; a
promotion that failed never is.`,
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
	releases, err := p.target.Releases.List(ctx)
	if err != nil {
		return err
	}
	list := releaseList{APIVersion: outputVersion, Kind: "ReleaseList", Items: releases}
	if current, ok := release.Current(releases); ok {
		list.Current = current.Revision
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
		_, err := fmt.Fprintln(w, "no releases")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "RELEASE\tSTATUS\tCODE\tWHO\tWHEN\tNOTE")
	for _, r := range l.Items {
		status := string(r.Status)
		if r.Revision == l.Current {
			status = "current"
		}
		note := r.Reason
		if r.RollbackTo > 0 {
			note = fmt.Sprintf("rollback to %d", r.RollbackTo)
		}
		_, _ = fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\n", r.Revision, status, r.TreeDigest, r.Who, r.When.Format(time.RFC3339), note)
	}
	return t.Flush()
}

// printRelease prints one release where -o asks for it.
func printRelease(f *Factory, output string, r release.Release) error {
	return printAs(f.Streams.Out, output, r, []string{fmt.Sprintf("release/%d", r.Revision)}, func(io.Writer) error { return nil })
}
