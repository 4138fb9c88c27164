package command

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote"
)

// clusterList is what `clusters -o json` prints.
type clusterList struct {
	APIVersion string        `json:"apiVersion"`
	Kind       string        `json:"kind"`
	Items      []clusterItem `json:"items"`
}

type clusterItem struct {
	Cluster string `json:"cluster"` // "" where the environment has one without a name
	Context string `json:"context"`
	Wave    int    `json:"wave,omitempty"`
	UID     string `json:"uid,omitempty"`    // of kube-system
	Pinned  string `json:"pinned,omitempty"` // as the project file has it
	Error   string `json:"error,omitempty"`  // why the UID cannot be read
}

// NewCmdClusters returns `kubectl ai clusters`.
func NewCmdClusters(f *Factory) *cobra.Command {
	var to, output string
	cmd := &cobra.Command{
		Use:   "clusters [DIR] --to ENVIRONMENT",
		Short: "List the clusters of an environment and who they are",
		Long: `Lists the clusters that an environment of the bundle goes to, each with the UID of
its kube-system namespace. That is what a cluster is known by: written into
kubectl-ai.yaml, as environments.NAME.clusterUID or clusters[].uid, it keeps a
promotion out of every other cluster, whatever a kubeconfig calls it. Reads nothing
else and changes nothing.

Exit codes: 3 a cluster is another than the file pins, or does not answer.`,
		Example: `  kubectl ai clusters --to production
  kubectl ai clusters --to production -o json | jq '.items[].uid'`,
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			if to == "" {
				return explain.Usagef("--to is missing: name the environment, such as --to production")
			}
			if err := checkOutput(output); err != nil {
				return err
			}
			return clusters(cmd.Context(), f, dirArg(args), to, output)
		},
	}
	addEnvironment(cmd, &to)
	addOutput(cmd, &output)
	return cmd
}

func clusters(ctx context.Context, f *Factory, dir, to, output string) error {
	p, err := project.Load(dir)
	if err != nil {
		return err
	}
	env, err := p.Environment(to)
	if err != nil {
		return err
	}
	chosen, err := chooseClusters(f, env, nil)
	if err != nil {
		return err
	}
	list := clusterList{APIVersion: outputVersion, Kind: "ClusterList", Items: make([]clusterItem, len(chosen))}
	errs := make([]error, len(chosen))
	var group sync.WaitGroup
	for i, c := range chosen {
		wave := slices.IndexFunc(env.Waves, func(w project.Wave) bool { return slices.Contains(w.Clusters, c.Name) })
		list.Items[i] = clusterItem{Cluster: c.Name, Context: c.Context, Wave: wave + 1, Pinned: c.UID}
		group.Go(func() {
			var err error
			if list.Items[i].UID, err = f.identity(ctx, env.Name, c); err != nil {
				list.Items[i].Error, errs[i] = err.Error(), err
			}
		})
	}
	group.Wait()
	var names []string
	for _, item := range list.Items {
		names = append(names, "cluster/"+cmp.Or(item.Cluster, item.Context))
	}
	if err := printAs(f.Streams.Out, output, list, names, list.table); err != nil {
		return err
	}
	return cmp.Or(errs...)
}

// identity returns the UID by which a cluster is known, and an error when it
// is not the pinned one.
func (f *Factory) identity(ctx context.Context, environment string, c project.Cluster) (string, error) {
	if c.Context == "" {
		return "", &promote.NoContextError{Environment: environment}
	}
	config, err := f.RESTConfig(c.Context)
	if err != nil {
		return "", err
	}
	client, err := apply.New(config)
	if err != nil {
		return "", err
	}
	uid, err := systemUID(ctx, client)
	if err != nil {
		return "", &promote.UnreachableError{Context: c.Context, Server: config.Host, Err: err}
	}
	if c.UID != "" && c.UID != uid {
		return uid, &promote.IdentityError{Environment: environment, Context: c.Context, Want: c.UID, Got: uid}
	}
	return uid, nil
}

func (l clusterList) table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "CLUSTER\tCONTEXT\tWAVE\tUID\tPINNED")
	for _, item := range l.Items {
		pinned := "no"
		switch {
		case item.Pinned != "" && item.Pinned == item.UID:
			pinned = "yes"
		case item.Pinned != "" && item.UID != "":
			pinned = "another: " + item.Pinned
		case item.Pinned != "":
			pinned = item.Pinned
		}
		wave := "-"
		if item.Wave > 0 {
			wave = fmt.Sprint(item.Wave)
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", cmp.Or(item.Cluster, "-"), item.Context, wave, cmp.Or(item.UID, "-"), pinned)
	}
	return t.Flush()
}
