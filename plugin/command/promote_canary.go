package command

import (
	"context"
	"fmt"
	"slices"

	"github.com/kubectl-ai/kubectl-ai/plugin/promote"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/gate"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

// prepare puts into a cluster's options what promote alone has.
func (o *PromoteOptions) prepare(f *Factory, p *production) {
	p.Options.Rerun = o.Rerun
	if p.env.Canary == nil || o.NoCanary {
		return
	}
	fleet := &fleet{PromotionOptions: o.PromotionOptions}
	steps := make([]promote.CanaryStep, len(p.env.Canary.Steps))
	for i, s := range p.env.Canary.Steps {
		steps[i] = promote.CanaryStep{Weight: s.Weight, Soak: s.Soak}
		if len(s.Gates) > 0 {
			steps[i].Gate = func(ctx context.Context, plan *promote.Plan) ([]release.Gate, error) {
				return fleet.canaryKeeper(f, p, plan, s.Weight).Check(ctx, s.Gates)
			}
		}
	}
	p.Options.Canary = &promote.CanaryOptions{Route: p.env.Canary.Route, Steps: steps}
}

// canaryKeeper asks gates about the pods that have so many percent of the
// traffic.
func (o *fleet) canaryKeeper(f *Factory, p *production, plan *promote.Plan, weight int) *gate.Keeper {
	k := o.keeper(f, []*member{{production: p, bundle: promote.Bundle{Tree: plan.Tree}, plan: plan}}, 0)
	deployment, selector, _ := plan.Canary()
	k.Canary = weight
	k.Sample = func(ctx context.Context, metric, _ string) ([]gate.Sample, error) {
		samples, err := p.sampleEach(ctx, metric, plan.Tree, selector)
		return samples, p.in(err)
	}
	tell := k.Tell
	k.Tell = func(g release.Gate) {
		g.Name = p.label() + g.Name
		tell(g)
	}
	k.Env = append(k.Env, fmt.Sprintf("KUBECTL_AI_CANARY_WEIGHT=%d", weight), "KUBECTL_AI_CANARY_DEPLOYMENT="+deployment.Name)
	slices.Sort(k.Env)
	return k
}
