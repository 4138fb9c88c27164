package command

import (
	"context"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

// RollbackOptions are the arguments of `rollback`.
type RollbackOptions struct {
	PromotionOptions
	Revision int
}

// NewCmdRollback returns `kubectl ai rollback`.
func NewCmdRollback(f *Factory) *cobra.Command {
	o := &RollbackOptions{}
	cmd := &cobra.Command{
		Use:   "rollback [DIR] --to ENVIRONMENT",
		Short: "Bring back an earlier release, code and configuration together",
		Long: `Applies the objects that an earlier release recorded, as they were: nothing is
rendered or packaged again. Without --to-release it is the last good release: the
current one after a promotion that failed, else the deployed one before it.
Rolling back a Job that is done is a new run of it, under a name of its own; one
that still runs goes on. The rollback is recorded as a release of its own.`,
		Example: `  kubectl ai rollback --to production
  kubectl ai rollback --to production --to-release 3`,
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Dir = dirArg(args)
			if err := o.Validate(); err != nil {
				return err
			}
			if cmd.Flags().Changed("to-release") && o.Revision < 1 {
				return explain.Usagef("--to-release %d: releases are numbered from 1", o.Revision)
			}
			return o.Run(cmd.Context(), f)
		},
	}
	o.addFlags(cmd)
	cmd.Flags().IntVar(&o.Revision, "to-release", 0, "number of the release to bring back (default: the last good one)")
	addEvents(cmd, f)
	return cmd
}

// Run rolls back.
func (o *RollbackOptions) Run(ctx context.Context, f *Factory) error {
	all, err := o.open(ctx, f)
	if err != nil {
		return err
	}
	var members []*member
	for _, p := range all {
		b, err := p.former(ctx, f, o.Revision)
		if err != nil {
			return p.in(err)
		}
		members = append(members, &member{production: p, bundle: b})
	}
	if all[0].cluster != "" {
		return (&fleet{PromotionOptions: o.PromotionOptions, members: members}).run(ctx, f)
	}
	return all[0].run(ctx, f, o.PromotionOptions, members[0].bundle, nil)
}

// former reads the release to go back to; 0: the last good one.
func (p *production) former(ctx context.Context, f *Factory, revision int) (b promote.Bundle, err error) {
	if revision == 0 {
		if revision, err = p.previous(ctx); err != nil {
			return b, err
		}
	}
	old, objects, err := p.Store.Get(ctx, revision)
	if err != nil {
		return b, err
	}
	if old.Status != release.Deployed {
		return b, &promote.NeverDeployedError{Revision: revision, Reason: old.Reason}
	}
	f.Streams.Talk("%sback to release %d of %s, code %s", p.label(), revision, old.When.Format("2006-01-02 15:04"), old.TreeDigest)
	return promote.Bundle{Objects: objects, Tree: old.TreeDigest, Images: old.Images, Evidence: old.Evidence, RollbackTo: revision}, nil
}

// previous finds the release to go back to.
func (p *production) previous(ctx context.Context) (int, error) {
	records, err := p.Store.List(ctx)
	if err != nil {
		return 0, err
	}
	state, err := p.Store.Load(ctx)
	if err != nil {
		return 0, err
	}
	revision, ok := release.Previous(records, state)
	if !ok {
		return 0, &release.NotFoundError{Project: p.project.Name, Namespace: p.namespace}
	}
	return revision, nil
}
