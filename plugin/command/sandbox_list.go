package command

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
)

// SandboxListOptions are the flags of `sandbox list`.
type SandboxListOptions struct {
	Output string

	out io.Writer
	now func() time.Time
}

func newCmdSandboxList(f *Factory) *cobra.Command {
	o := &SandboxListOptions{out: f.Streams.Out, now: time.Now}
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the sandboxes of this machine",
		Long: `List the sandboxes of this machine, stopped ones too. Clusters that other tools made
are not shown. Changes nothing.`,
		Example: `  kubectl ai sandbox list
  kubectl ai sandbox list -o json | jq -r '.items[].name'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOutput(o.Output); err != nil {
				return err
			}
			return o.Run(cmd.Context(), f)
		},
	}
	addOutput(cmd, &o.Output)
	return cmd
}

// Run prints the list.
func (o *SandboxListOptions) Run(ctx context.Context, f *Factory) error {
	s, err := openSandboxes(ctx, f)
	if err != nil {
		return err
	}
	all, err := s.List(ctx)
	if err != nil {
		return err
	}
	list := sandboxList{APIVersion: outputVersion, Kind: "SandboxList", Items: []sandboxView{}}
	for _, c := range all {
		list.Items = append(list.Items, viewOf(c))
	}
	if len(all) == 0 && o.Output == "" {
		f.Streams.Talk("no sandbox on this machine; next: kubectl ai sandbox create")
		return nil
	}
	return o.print(list, all)
}

func (o *SandboxListOptions) print(list sandboxList, all []cluster.Cluster) error {
	return printAs(o.out, o.Output, list, list.names(), func(w io.Writer) error {
		t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
		_, _ = fmt.Fprintln(t, "NAME\tSTATE\tNODES\tKUBERNETES\tGPUS\tREGISTRY\tAGE")
		for i, v := range list.Items {
			_, _ = fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\t%s\t%s\n", v.Name, v.State, len(v.Nodes), orNone(v.Kubernetes), v.GPUs,
				orNone(v.registryHost()), duration.HumanDuration(o.now().Sub(all[i].Mark.Created)))
		}
		return t.Flush()
	})
}
