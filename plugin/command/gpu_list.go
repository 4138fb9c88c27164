package command

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/control"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// GPUListOptions are the flags of `sandbox gpu ls`.
type GPUListOptions struct {
	gpuTarget
	Output string
}

// wide is the format of a table with more columns.
const wide = "wide"

func newCmdGPUList(f *Factory) *cobra.Command {
	o := &GPUListOptions{}
	cmd := &cobra.Command{
		Use:     "ls",
		Aliases: []string{"list"},
		Short:   "List the GPUs of a sandbox: health, use, and who holds them",
		Long: `List the GPUs of a sandbox, with their health and last XID, how busy they are, and
the containers that hold them. Changes nothing.

A simulated GPU is 100 % busy when the processes of the container that holds it keep
one CPU busy, and has as much memory in use as they have resident.`,
		Example: `  kubectl ai sandbox gpu ls
  kubectl ai sandbox gpu ls --node ai-worker -o wide
  kubectl ai sandbox gpu ls -o json | jq '.items[] | select(.healthy | not)'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkOneOf("output", o.Output, append([]string{"", wide}, outputs...)...); err != nil {
				return err
			}
			return o.Run(cmd.Context(), f)
		},
	}
	addSandboxName(cmd, f, &o.Name)
	o.addNode(cmd)
	cmd.Flags().Lookup("node").Usage = "node of the sandbox; all without it"
	cmd.Flags().StringVarP(&o.Output, "output", "o", "", "output format: json, yaml, name or wide (default: a table)")
	completeWords(cmd, "output", append([]string{wide}, outputs...)...)
	return cmd
}

// Run prints the list.
func (o *GPUListOptions) Run(ctx context.Context, f *Factory) error {
	c, nodes, err := o.nodes(ctx, f)
	if err != nil {
		return err
	}
	reports, err := askNodes(ctx, nodes, func(ctx context.Context, n cluster.Node) (model.Report, error) { return control.List(ctx, n) })
	if err != nil {
		return err
	}
	started, err := podStarts(ctx, c)
	if err != nil {
		return err
	}
	list := viewGPUs(reports, started, nil)
	return printAs(f.Streams.Out, o.Output, list, list.names(), func(w io.Writer) error {
		return list.table(w, o.Output == wide, time.Now())
	})
}

// podStarts returns since when pods are on their node, by namespace/name.
func podStarts(ctx context.Context, c cluster.Cluster) (map[string]time.Time, error) {
	control, ok := cluster.Primary(c.Nodes)
	if !ok {
		return nil, &cluster.StoppedError{Name: c.Name}
	}
	const path = `jsonpath={range .items[*]}{.metadata.namespace}/{.metadata.name} {.status.startTime}{"\n"}{end}`
	out, err := control.Kubectl(ctx, nil, "get", "pods", "--all-namespaces", "-o", path)
	if err != nil {
		return nil, err
	}
	started := map[string]time.Time{}
	for line := range strings.Lines(string(out)) {
		pod, at, _ := strings.Cut(strings.TrimSpace(line), " ")
		if t, err := time.Parse(time.RFC3339, at); err == nil {
			started[pod] = t
		}
	}
	return started, nil
}
