package command

import (
	"context"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// newCmdGPU returns `sandbox gpu` with its verbs.
func newCmdGPU(f *Factory) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "gpu",
		Short: "See, break and mend the GPUs of a sandbox: ls, fail, heal, set",
		Long: `See the GPUs of a sandbox and who holds them, and break simulated ones as real ones
break: what Kubernetes, nvidia-smi and metrics then show is what they show of a
real fault.`,
		Args:                       cobra.ArbitraryArgs,
		SuggestionsMinimumDistance: 2,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownVerb(cmd, args[0])
		},
	}
	cmd.AddCommand(newCmdGPUList(f), newCmdGPUFail(f), newCmdGPUHeal(f), newCmdGPUSet(f))
	return cmd
}

// gpuTarget says whose GPUs a command means.
type gpuTarget struct {
	Name string // of the sandbox
	Node string
	GPU  string // index or UUID
}

func (t *gpuTarget) add(cmd *cobra.Command, f *Factory) {
	addSandboxName(cmd, f, &t.Name)
	t.addNode(cmd)
	cmd.Flags().StringVar(&t.GPU, "gpu", "", "index or UUID of the GPU")
	_ = cmd.RegisterFlagCompletionFunc("gpu", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		most := 0
		if c, err := cluster.Get(cmd.Context(), t.Name); err == nil {
			for i, n := range c.Nodes {
				if i < len(c.Mark.GPUs.Nodes) && (t.Node == "" || t.Node == n.Name) {
					most = max(most, c.Mark.GPUs.Nodes[i].Count)
				}
			}
		}
		var indices []string
		for i := range most {
			indices = append(indices, strconv.Itoa(i))
		}
		return indices, cobra.ShellCompDirectiveNoFileComp
	})
}

func (t *gpuTarget) addNode(cmd *cobra.Command) {
	cmd.Flags().StringVar(&t.Node, "node", "", "node of the sandbox; needed where several have GPUs")
	_ = cmd.RegisterFlagCompletionFunc("node", func(cmd *cobra.Command, _ []string, _ string) ([]string, cobra.ShellCompDirective) {
		c, err := cluster.Get(cmd.Context(), t.Name)
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return nodeNames(equipped(c)), cobra.ShellCompDirectiveNoFileComp
	})
}

// nodes returns the sandbox, and those of its nodes that are meant: one, or all
// with GPUs.
func (t *gpuTarget) nodes(ctx context.Context, f *Factory) (cluster.Cluster, []cluster.Node, error) {
	s, err := openSandboxes(ctx, f)
	if err != nil {
		return cluster.Cluster{}, nil, err
	}
	c, err := s.Get(ctx, t.Name)
	if err != nil {
		return c, nil, err
	}
	if c.State != cluster.Running {
		return c, nil, &cluster.StoppedError{Name: c.Name}
	}
	nodes := equipped(c)
	if len(nodes) == 0 {
		return c, nil, explain.Usagef("sandbox %s was made without GPUs", c.Name)
	}
	if t.Node == "" {
		return c, nodes, nil
	}
	i := slices.IndexFunc(nodes, func(n cluster.Node) bool { return n.Name == t.Node })
	if i < 0 {
		return c, nil, explain.Usagef("no node %s with GPUs in sandbox %s; there are: %s", t.Node, c.Name, strings.Join(nodeNames(nodes), ", "))
	}
	return c, nodes[i : i+1], nil
}

// one is nodes for a command that works on one GPU.
func (t *gpuTarget) one(ctx context.Context, f *Factory) (cluster.Node, error) {
	_, nodes, err := t.nodes(ctx, f)
	if err != nil {
		return cluster.Node{}, err
	}
	return nodes[0], only(nodes)
}

// only refuses several nodes.
func only(nodes []cluster.Node) error {
	if len(nodes) > 1 {
		return explain.Usagef("several nodes have GPUs: name one with --node: %s", strings.Join(nodeNames(nodes), ", "))
	}
	return nil
}

// equipped returns the nodes that were given GPUs.
func equipped(c cluster.Cluster) []cluster.Node {
	if c.Mark.GPUs.Mode == "none" {
		return nil
	}
	gpus := c.Mark.GPUs.Nodes
	var nodes []cluster.Node
	for i, n := range c.Nodes {
		// A sandbox of before has the same on every node.
		if len(gpus) == 0 || i < len(gpus) && gpus[i].Count > 0 {
			nodes = append(nodes, n)
		}
	}
	return nodes
}

func nodeNames(nodes []cluster.Node) []string {
	names := make([]string, len(nodes))
	for i, n := range nodes {
		names[i] = n.Name
	}
	return names
}

// gpuParallel bounds how many nodes are asked at once.
const gpuParallel = 4

// askNodes asks nodes at once and returns their answers in order.
func askNodes(ctx context.Context, nodes []cluster.Node, ask func(context.Context, cluster.Node) (model.Report, error)) ([]model.Report, error) {
	reports := make([]model.Report, len(nodes))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(gpuParallel)
	for i, n := range nodes {
		g.Go(func() (err error) {
			reports[i], err = ask(ctx, n)
			return err
		})
	}
	return reports, g.Wait()
}
