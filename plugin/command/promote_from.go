package command

import (
	"context"
	"fmt"
	"slices"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/carrier"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// again makes the bundles of what another environment runs: its current
// release's code and images, digest for digest, with the configuration of the
// target's overlay. Nothing is packaged, the code here is not read, and what
// proves the code is what proved it there.
func (o *PromoteOptions) again(ctx context.Context, f *Factory, all []*production) ([]*member, error) {
	if o.From == o.To {
		return nil, explain.Usagef("--from %s and --to %s are one environment", o.From, o.To)
	}
	source, err := openProduction(ctx, f.elsewhere(), o.Dir, o.From, nil)
	if err != nil {
		return nil, err
	}
	state, err := source.Store.Load(ctx)
	if err != nil {
		return nil, err
	}
	if state.Current == 0 {
		return nil, &release.NotFoundError{Project: source.project.Name, Namespace: source.namespace}
	}
	record, stored, err := source.Store.Get(ctx, state.Current)
	if err != nil {
		return nil, err
	}
	digest, err := tree.ParseDigest(record.TreeDigest)
	if err != nil {
		return nil, fmt.Errorf("release %d of %s: %w", record.Revision, o.From, err)
	}
	proof := release.Evidence{Carrier: release.Carrier{Format: source.env.CodeFormats[0]}} // of a record that does not say
	if record.Evidence != nil {
		proof = *record.Evidence
	}
	f.Streams.Talk("release %d of %s, code %s, as it runs in %s", record.Revision, o.From, record.TreeDigest, source.context)
	var members []*member
	for _, p := range all {
		if !slices.Contains(p.env.CodeFormats, proof.Carrier.Format) {
			return nil, &promote.CarrierError{From: o.From, To: o.To, Form: proof.Carrier.Format, Formats: p.env.CodeFormats}
		}
		o.prepare(f, p)
		released := &carrier.Released{
			Form: proof.Carrier.Format, Digest: digest, Images: record.Images, Stored: stored,
			Registry: p.env.Registry, Project: p.project.Name,
		}
		carried, err := released.Carry(ctx, p.targets)
		if err != nil {
			return nil, p.in(err)
		}
		own := proof
		own.Carrier.Objects = carried.Code
		own.Carrier.Statements = moved(proof.Carrier.Statements, carried.Code)
		promote.Mark(p.targets, p.project.Name, digest)
		members = append(members, &member{production: p, carried: carried, bundle: promote.Bundle{
			Objects: append(p.objects, carried.Objects...), Tree: record.TreeDigest, Images: carried.Images, Pushed: carried.Pushed(),
			Evidence: &own, From: fmt.Sprintf("%s/%d", o.From, record.Revision),
		}})
	}
	return members, nil
}
