package command

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

// RollbackOptions are the arguments of `rollback`.
type RollbackOptions struct {
	Dir      string
	To       string
	Revision int
	Yes      bool
	Timeout  time.Duration
	Output   string
}

// NewCmdRollback returns `kubectl ai rollback`.
func NewCmdRollback(f *Factory) *cobra.Command {
	o := &RollbackOptions{}
	cmd := &cobra.Command{
		Use:   "rollback [DIR] --to ENVIRONMENT",
		Short: "Bring back an earlier release, code and configuration together",
		Long: `Applies the objects that an earlier release recorded, as they were: nothing is
rendered or packaged again. Without --to-release it is the deployed release
before the current one. Rolling back a Job that has ended is a new run of it.
The rollback is recorded as a release of its own.`,
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Dir = dirArg(args)
			if o.To == "" {
				return explain.Usagef("--to is missing: name the environment, such as --to production")
			}
			if err := checkOutput(o.Output); err != nil {
				return err
			}
			return o.Run(cmd.Context(), f)
		},
	}
	addPromotionFlags(cmd, &o.To, &o.Yes, &o.Timeout)
	cmd.Flags().IntVar(&o.Revision, "to-release", 0, "number of the release to bring back (default: the one before the current)")
	addOutput(cmd, &o.Output)
	return cmd
}

// Run rolls back.
func (o *RollbackOptions) Run(ctx context.Context, f *Factory) error {
	if !o.Yes && !f.Streams.InTerminal() {
		return fmt.Errorf("roll back %s: %w", o.To, explain.NoTerminal)
	}
	p, err := openProduction(ctx, f, o.Dir, o.To)
	if err != nil {
		return err
	}
	releases, err := p.target.Releases.List(ctx)
	if err != nil {
		return err
	}
	old, err := o.choose(p.project.Name, releases)
	if err != nil {
		return err
	}
	objects, err := p.target.Restore(ctx, old, releases[len(releases)-1].Revision+1)
	if err != nil {
		return err
	}
	next := release.Release{
		Project: p.project.Name, Environment: o.To, TreeDigest: old.TreeDigest, Images: old.Images,
		RollbackTo: old.Revision, Who: who(), Context: p.context,
	}
	plan, err := p.target.Plan(ctx, objects, next)
	if err != nil {
		return err
	}
	r, err := p.carry(ctx, f, plan, o.Yes, false, o.Timeout)
	if err != nil {
		return err
	}
	f.Streams.Talk("release %d brings back release %d, code %s", r.Revision, old.Revision, r.TreeDigest)
	return printRelease(f, o.Output, *r)
}

// choose finds the release to bring back.
func (o *RollbackOptions) choose(project string, releases []release.Release) (release.Release, error) {
	current, ok := release.Current(releases)
	if !ok {
		return release.Release{}, &release.NotFoundError{Project: project}
	}
	for _, r := range slices.Backward(releases) {
		if r.Status != release.Deployed {
			continue
		}
		if o.Revision == r.Revision || o.Revision == 0 && r.Revision < current.Revision {
			return r, nil
		}
	}
	return release.Release{}, &release.NotFoundError{Project: project, Revision: max(o.Revision, 1)}
}
