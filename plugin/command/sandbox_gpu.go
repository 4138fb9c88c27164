package command

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/install"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/mig"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/spec"
)

// completeGPUs completes the flags that say what GPUs nodes have.
func completeGPUs(cmd *cobra.Command) {
	completeOrFile(cmd, "profile", model.ProfileNames)
	completeOrFile(cmd, "mig", func() []string { return migLayouts(cmd.Flag("profile").Value.String()) })
	completeWords(cmd, "mig-strategy", migStrategies[1:]...)
	completeWords(cmd, "allocation", spec.Packed, spec.Distributed)
}

// migLayouts are what --mig can cut all GPUs of a model into: "all-1g.10gb",
// and how many that makes of each.
func migLayouts(profile string) []string {
	board := profile
	if p, err := model.LookupProfile(profile); err == nil {
		board = p.Name // as the model spells it
	}
	var out []string
	for _, p := range mig.Tables()[board] {
		if placed, err := (mig.Layout{All: p.Name}).Place(board, 0); err == nil {
			out = append(out, fmt.Sprintf("all-%s\t%d on each GPU", p.Name, len(placed)))
		}
	}
	return out
}

// equipment says what GPUs nodes have: "8 × h100 on each of 2 nodes, 4 × l4 on
// one".
func equipment(nodes []spec.GPUs) string {
	var kinds []string
	count := map[string]int{}
	for _, g := range nodes {
		kind := describeGPUs(g)
		if count[kind]++; count[kind] == 1 {
			kinds = append(kinds, kind)
		}
	}
	if len(kinds) == 1 {
		return kinds[0] + " on every node"
	}
	for i, kind := range kinds {
		switch n := count[kind]; n {
		case 1:
			kinds[i] += " on one node"
		default:
			kinds[i] += fmt.Sprintf(" on each of %d nodes", n)
		}
	}
	return strings.Join(kinds, ", ")
}

// describeGPUs says what GPUs a node has.
func describeGPUs(g spec.GPUs) string {
	if g.None() {
		return "none"
	}
	text := fmt.Sprintf("%d × %s", g.Count, g.Profile)
	if g.Real() {
		text = fmt.Sprintf("%d of this machine's GPUs", len(g.Devices))
	}
	switch {
	case g.MIG.All != "":
		text += " cut into " + g.MIG.All
	case !g.MIG.Empty():
		text += " cut by a layout"
	}
	if g.Sharing.Shared() {
		text += fmt.Sprintf(", each offered %d times (%s)", g.Sharing.Replicas, g.Sharing.Strategy)
	}
	return text
}

// provisionGPUs is the step of Create that gives nodes their GPUs.
func provisionGPUs(programs fs.FS) func(context.Context, cluster.Cluster, []cluster.Node, cluster.Reporter) error {
	return func(ctx context.Context, c cluster.Cluster, nodes []cluster.Node, r cluster.Reporter) error {
		control, ok := cluster.Primary(nodes)
		if !ok {
			return &cluster.StoppedError{Name: c.Name}
		}
		return install.Install(ctx, targets(nodes), programs, install.Options{
			Cluster: c.Name,
			GPUs:    c.Mark.GPUs.Nodes,
			Kubectl: control.Kubectl,
		}, r)
	}
}

// targets are nodes as the package install takes them.
func targets(nodes []cluster.Node) []install.Node {
	out := make([]install.Node, len(nodes))
	for i, n := range nodes {
		out[i] = n
	}
	return out
}
