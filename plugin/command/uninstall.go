package command

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote"
	"github.com/kubectl-ai/kubectl-ai/plugin/term"
)

// UninstallOptions are the arguments of `uninstall`.
type UninstallOptions struct {
	Dir        string
	To         string
	Yes        bool
	DryRun     bool
	DeleteData []string
	Cluster    []string
	Timeout    time.Duration
	Output     string
}

// NewCmdUninstall returns `kubectl ai uninstall`.
func NewCmdUninstall(f *Factory) *cobra.Command {
	o := &UninstallOptions{}
	cmd := &cobra.Command{
		Use:   "uninstall [DIR] --to ENVIRONMENT",
		Short: "Take a bundle's releases out of an environment",
		Long: `Deletes what the releases of the bundle brought, running Jobs too, in the reverse
order of promote, each step gone before the next, and the records last. What is
deleted is what the inventory holds, with our label and the recorded UID.

Kept and listed are volume claims (those that StatefulSets made too), CRDs that have
objects of others, namespaces that hold something of others, what carries a keep
annotation and what another object controls. --delete-data deletes the one of that
name (Kind/name); --delete-data all deletes claims, CRDs and the namespaces that a
release made. A namespace that was there before the first release goes only when it
is named itself.

After it was interrupted it is repeated as it was. Where nothing is left it does
nothing.`,
		Example: `  kubectl ai uninstall --to production --dry-run
  kubectl ai uninstall --to production --delete-data all
  kubectl ai uninstall --to production --delete-data PersistentVolumeClaim/checkpoints --yes`,
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Dir = dirArg(args)
			if err := o.Validate(); err != nil {
				return err
			}
			return o.Run(cmd.Context(), f)
		},
	}
	addEnvironment(cmd, &o.To)
	cmd.Flags().BoolVarP(&o.Yes, "yes", "y", false, "do not ask before anything is deleted")
	cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "show what would be deleted, and delete nothing")
	cmd.Flags().StringArrayVar(&o.DeleteData, "delete-data", nil, "Kind/name of something that would be kept, or all; may be repeated")
	cmd.Flags().DurationVar(&o.Timeout, "timeout", 10*time.Minute, "how long the objects may take to be gone")
	addCluster(cmd, &o.Cluster)
	addOutput(cmd, &o.Output)
	addEvents(cmd, f)
	return cmd
}

// Validate checks the flags.
func (o *UninstallOptions) Validate() error {
	if o.To == "" {
		return explain.Usagef("--to is missing: name the environment, such as --to production")
	}
	if o.Timeout <= 0 {
		return explain.Usagef("--timeout %v: more than 0, please", o.Timeout)
	}
	return checkOutput(o.Output)
}

// Run uninstalls.
func (o *UninstallOptions) Run(ctx context.Context, f *Factory) error {
	if !o.Yes && !o.DryRun && !f.Streams.InTerminal() {
		return fmt.Errorf("ask before %s is changed: %w", o.To, term.ErrNoTerminal)
	}
	p, err := openProduction(ctx, f, o.Dir, o.To, o.Cluster)
	if err != nil {
		return err
	}
	p.Options = promote.Options{Timeout: o.Timeout}
	removal, err := p.PlanUninstall(ctx, o.DeleteData)
	if err != nil {
		return err
	}
	view := removalOf(removal)
	if err := view.checkNames(o.DeleteData); err != nil {
		return err
	}
	if err := printAs(f.Streams.Out, o.Output, view, view.names(), view.table); err != nil || o.DryRun {
		return err
	}
	if removal.Nothing() {
		f.Streams.Talk("nothing to do: no release of %s is in %s, namespace %s", p.project.Name, p.context, p.namespace)
		return nil
	}
	if !o.Yes {
		if err := p.confirm(ctx, f, "Delete this from"); err != nil {
			return err
		}
	}
	if err := p.Uninstall(ctx, removal); err != nil {
		return err
	}
	f.Streams.Talk("%s is gone from %s, namespace %s: %d objects deleted, %d kept", p.project.Name, p.context, p.namespace, len(view.Deleted), len(view.Kept))
	return nil
}

// removalView is what `uninstall -o json` prints.
type removalView struct {
	APIVersion string      `json:"apiVersion"`
	Kind       string      `json:"kind"`
	Deleted    []apply.Ref `json:"deleted"`
	Kept       []keptView  `json:"kept"`
}

type keptView struct {
	Object apply.Ref `json:"object"`
	Reason string    `json:"reason"`
}

func removalOf(r *promote.Removal) removalView {
	view := removalView{APIVersion: outputVersion, Kind: "Removal", Deleted: append([]apply.Ref{}, r.Delete...), Kept: []keptView{}}
	for _, k := range r.Kept {
		view.Kept = append(view.Kept, keptView{k.Entry.Ref, k.Reason})
	}
	return view
}

// checkNames refuses a name in --delete-data that nothing has.
func (v removalView) checkNames(data []string) error {
	for _, name := range data {
		known := name == promote.AllData
		for _, ref := range v.Deleted {
			known = known || ref.Short() == name
		}
		if !known && len(v.Deleted)+len(v.Kept) > 0 {
			var names []string
			for _, k := range v.Kept {
				names = append(names, k.Object.Short())
			}
			return explain.Usagef("--delete-data %s: nothing of the release is called so; kept are %v", name, names)
		}
	}
	return nil
}

func (v removalView) names() []string {
	var out []string
	for _, ref := range v.Deleted {
		out = append(out, ref.Short())
	}
	return out
}

func (v removalView) table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	for _, ref := range v.Deleted {
		_, _ = fmt.Fprintf(t, "delete\t%s\t\n", ref)
	}
	for _, k := range v.Kept {
		_, _ = fmt.Fprintf(t, "keep\t%s\t%s\n", k.Object, k.Reason)
	}
	return t.Flush()
}
