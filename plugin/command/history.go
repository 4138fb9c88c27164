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
	var clusters []string
	cmd := &cobra.Command{
		Use:   "history [DIR] --to ENVIRONMENT",
		Short: "List the releases of a bundle in an environment",
		Long: `Lists the releases that are recorded in the environment's own namespace: when,
by whom, with which code. The current one is the newest that was deployed; a
promotion that failed never is. One that is under way is there as pending, and
one whose run died as interrupted: the next promote, rollback or uninstall goes
on from there. Ten are kept. Of an environment with several clusters each has a
list of its own. Changes nothing.`,
		Example: `  kubectl ai history --to production
  kubectl ai history samples/digits --to production -o json | jq '.items[].revision'`,
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			if to == "" {
				return explain.Usagef("--to is missing: name the environment, such as --to production")
			}
			if err := checkOutput(output); err != nil {
				return err
			}
			return history(cmd.Context(), f, dirArg(args), to, clusters, output)
		},
	}
	addEnvironment(cmd, &to)
	addCluster(cmd, &clusters)
	addOutput(cmd, &output)
	return cmd
}

func history(ctx context.Context, f *Factory, dir, to string, clusters []string, output string) error {
	all, err := openClusters(ctx, f, dir, to, clusters)
	if err != nil {
		return err
	}
	several := clusterReleases{APIVersion: outputVersion, Kind: "ClusterReleaseList"}
	for _, p := range all {
		list, err := p.releases(ctx, f)
		if err != nil {
			return p.in(err)
		}
		if p.cluster == "" {
			return printAs(f.Streams.Out, output, list, list.names(), list.table)
		}
		several.Items = append(several.Items, clusterRelease{p.cluster, p.context, list})
	}
	return printAs(f.Streams.Out, output, several, several.names(), several.table)
}

// releases reads what a cluster's namespace records.
func (p *production) releases(ctx context.Context, f *Factory) (list releaseList, err error) {
	records, state, err := p.Store.History(ctx)
	if err != nil {
		return list, err
	}
	list = releaseList{APIVersion: outputVersion, Kind: "ReleaseList", Current: state.Current, Items: append([]release.Record{}, records...)}
	if len(records) == 0 {
		f.Streams.Talk("%sno release of %s in namespace %s yet; next: kubectl ai promote --to %s", p.label(), p.project.Name, p.namespace, p.env.Name)
	}
	return list, nil
}

// clusterReleases is what `history -o json` prints for several clusters.
type clusterReleases struct {
	APIVersion string           `json:"apiVersion"`
	Kind       string           `json:"kind"`
	Items      []clusterRelease `json:"items"`
}

type clusterRelease struct {
	Cluster  string      `json:"cluster"`
	Context  string      `json:"context"`
	Releases releaseList `json:"releases"`
}

func (l clusterReleases) names() []string {
	var names []string
	for _, c := range l.Items {
		for _, name := range c.Releases.names() {
			names = append(names, "cluster/"+c.Cluster+"/"+name)
		}
	}
	return names
}

func (l clusterReleases) table(w io.Writer) error {
	for i, c := range l.Items {
		if i > 0 {
			_, _ = fmt.Fprintln(w)
		}
		_, _ = fmt.Fprintf(w, "cluster %s (%s)\n", c.Cluster, c.Context)
		if err := c.Releases.table(w); err != nil {
			return err
		}
	}
	return nil
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
		if r.From != "" {
			note = strings.TrimSpace(fmt.Sprintf("from %s %s", r.From, note))
		}
		_, _ = fmt.Fprintf(t, "%d\t%s\t%s\t%s\t%s\t%s\n", r.Revision, status, r.TreeDigest, r.Who, r.When.Format(time.RFC3339), note)
	}
	return t.Flush()
}
