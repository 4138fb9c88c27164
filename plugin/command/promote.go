package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/carrier"
	"github.com/kubectl-ai/kubectl-ai/plugin/term"
	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
)

// PromotionOptions are the flags that promote and rollback share.
type PromotionOptions struct {
	Dir      string
	To       string
	Yes      bool
	DryRun   bool
	Timeout  time.Duration
	Grace    time.Duration
	Adopt    []string
	Prune    []string
	TakeOver []string
	Output   string
}

// PromoteOptions are the arguments of `promote`.
type PromoteOptions struct {
	PromotionOptions
	Rerun bool
}

// NewCmdPromote returns `kubectl ai promote`.
func NewCmdPromote(f *Factory) *cobra.Command {
	o := &PromoteOptions{}
	cmd := &cobra.Command{
		Use:   "promote [DIR] --to ENVIRONMENT",
		Short: "Take a bundle, with the code as it is here, to another cluster",
		Long: `Packages the code (one layer on the runtime image, or a ConfigMap), renders the
environment's overlay with images by digest, checks whether it can work there,
shows the difference, asks, applies it server-side, waits until all ranks are
ready, prunes what the bundle no longer holds, and records the release.

A Job gets a name made of what it runs, so that another template is another run
and the same one is none. An earlier Job that still runs is left running; a
finished one stays for two releases. Namespaces, CRDs and volume claims are
never pruned unasked. Objects that no release made are refused, and so are fields
that another manager owns, unless --take-over names him. The same bundle again
writes nothing.

Exit codes: 1 the release did not come up (the current one stays what it was),
2 usage, 3 the target is not ready, 4 not permitted, 124 --timeout ran out.`,
		Example: `  kubectl ai promote samples/digits --to production
  kubectl ai promote --to production --dry-run
  kubectl ai promote --to production --yes -o json | jq .treeDigest`,
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Dir = dirArg(args)
			if err := o.Validate(); err != nil {
				return err
			}
			return o.Run(cmd.Context(), f)
		},
	}
	o.addFlags(cmd)
	cmd.Flags().BoolVar(&o.Rerun, "rerun", false, "run finished Jobs of the bundle again")
	addEvents(cmd, f)
	return cmd
}

func (o *PromotionOptions) addFlags(cmd *cobra.Command) {
	addEnvironment(cmd, &o.To)
	cmd.Flags().BoolVarP(&o.Yes, "yes", "y", false, "do not ask before the cluster is changed")
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "show what would change, and push and apply nothing")
	cmd.Flags().DurationVar(&o.Timeout, "timeout", 10*time.Minute, "how long the workloads may take to be ready")
	cmd.Flags().DurationVar(&o.Grace, "unschedulable-grace", apply.DefaultGrace, "how long a pod may fit on no node; more where nodes are made on demand")
	cmd.Flags().StringArrayVar(&o.Adopt, "adopt", nil, "Kind/name of an object that exists and becomes the release's; may be repeated")
	cmd.Flags().StringArrayVar(&o.Prune, "prune-also", nil, "Kind/name of an object that left the bundle and would be kept, such as a running Job; may be repeated")
	cmd.Flags().StringArrayVar(&o.TakeOver, "take-over", nil, "field manager, such as kubectl-edit, whose fields become the release's where they conflict; may be repeated")
	addOutput(cmd, &o.Output)
}

func addEnvironment(cmd *cobra.Command, to *string) {
	cmd.Flags().StringVar(to, "to", "", "environment of the bundle, such as production")
	completeEnvironments(cmd, "to")
}

// completeEnvironments completes a flag with the environments of the bundle.
func completeEnvironments(cmd *cobra.Command, flag string) {
	_ = cmd.RegisterFlagCompletionFunc(flag, func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		p, err := project.Load(dirArg(args))
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		var names []string
		for name := range p.Environments {
			names = append(names, name)
		}
		return names, cobra.ShellCompDirectiveNoFileComp
	})
}

// Validate checks the flags, all of them.
func (o *PromotionOptions) Validate() error {
	var errs []error
	if o.To == "" {
		errs = append(errs, errors.New("--to is missing: name the environment, such as --to production"))
	}
	if o.Timeout <= 0 {
		errs = append(errs, fmt.Errorf("--timeout %v: more than 0, please", o.Timeout))
	}
	if o.Grace < 0 {
		errs = append(errs, fmt.Errorf("--unschedulable-grace %v: 0 or more, please", o.Grace))
	}
	if err := errors.Join(errs...); err != nil {
		return explain.Usagef("%w", err)
	}
	return checkOutput(o.Output)
}

// open connects to the environment's cluster, after it is clear that somebody
// answers the question before the first write.
func (o *PromotionOptions) open(ctx context.Context, f *Factory) (*production, error) {
	if !o.Yes && !o.DryRun && !f.Streams.InTerminal() {
		return nil, fmt.Errorf("ask before %s is changed: %w", o.To, term.ErrNoTerminal)
	}
	p, err := openProduction(ctx, f, o.Dir, o.To)
	if err != nil {
		return nil, err
	}
	p.Options = promote.Options{Adopt: o.Adopt, PruneAlso: o.Prune, TakeOver: o.TakeOver, Timeout: o.Timeout, Wait: apply.WaitOptions{Grace: max(o.Grace, time.Nanosecond)}}
	return p, nil
}

// Run promotes.
func (o *PromoteOptions) Run(ctx context.Context, f *Factory) error {
	p, err := o.open(ctx, f)
	if err != nil {
		return err
	}
	p.Options.Rerun = o.Rerun
	code, err := p.scanCode(ctx, f)
	if err != nil {
		return err
	}
	promote.Mark(p.targets, p.project.Name, code.Digest())
	p.progress.Start("Package the code, " + code.Digest().Short())
	carried, err := p.carry(ctx, f, code)
	p.progress.End(err)
	if err != nil {
		return err
	}
	return p.run(ctx, f, o.PromotionOptions, promote.Bundle{Objects: p.objects, Tree: code.Digest().String(), Images: carried.Images}, carried)
}

func (p *production) scanCode(ctx context.Context, f *Factory) (carrier.Code, error) {
	code := p.project.Code[0]
	index, err := scan(ctx, f, code)
	return carrier.Code{Root: code.Path, Index: index}, err
}

// carry puts the code into the bundle the way that the environment wants.
func (p *production) carry(ctx context.Context, f *Factory, code carrier.Code) (*carrier.Result, error) {
	if p.env.CodeFormat == project.FormatConfigMap {
		configMaps, result, err := carrier.ConfigMaps(code, p.project.Name, p.targets)
		p.objects = append(p.objects, configMaps...)
		return result, err
	}
	cache, err := f.Cache()
	if err != nil {
		return nil, err
	}
	arches, err := p.architectures(ctx)
	if err != nil {
		return nil, err
	}
	resolver := &carrier.Resolver{Cache: cache, Arches: arches}
	if e, err := engine.Detect(ctx); err == nil {
		resolver.Engine = e
	}
	layers := &carrier.Layers{Resolver: resolver, Registry: p.env.Registry, Project: p.project.Name, Environment: p.env.Name}
	return layers.Carry(ctx, code, p.targets, p.progress)
}
