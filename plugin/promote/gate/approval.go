package gate

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

// approval wants names. They are a record of who answered for a promotion, not
// a proof: whoever may write to the cluster may promote.
func (k *Keeper) approval(ctx context.Context, g project.Gate) (release.Gate, error) {
	out := release.Gate{Kind: "approval", Name: fmt.Sprintf("by %d", g.Approvals)}
	if g.Approvers != nil {
		out.Name = "by " + strings.Join(g.Approvers, ", ")
	}
	yes := func(name string) {
		if name != "" && !slices.Contains(out.Approvers, name) && (g.Approvers == nil || slices.Contains(g.Approvers, name)) {
			out.Approvers = append(out.Approvers, name)
		}
	}
	for _, name := range k.Approved {
		yes(name)
	}
	for k.Ask != nil && len(out.Approvers) < g.Approvals {
		name, err := k.Ask(ctx, fmt.Sprintf("Approval %d of %d (%s). Name, or nothing to refuse: ", len(out.Approvers)+1, g.Approvals, out.Name))
		if err != nil {
			return out, err
		}
		if name == "" {
			break
		}
		yes(name)
	}
	out.Passed = len(out.Approvers) >= g.Approvals
	out.Detail = fmt.Sprintf("%d of %d approved", len(out.Approvers), g.Approvals)
	if len(out.Approvers) > 0 {
		out.Detail += ": " + strings.Join(out.Approvers, ", ")
	}
	return out, nil
}
