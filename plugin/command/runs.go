package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/run"
	"github.com/kubectl-ai/kubectl-ai/plugin/term"
)

// RunsOptions are the arguments that the verbs of `runs` share.
type RunsOptions struct {
	Dir         string
	Environment string
	Output      string

	allow allowance
}

// NewCmdRuns returns `kubectl ai runs` with its verbs.
func NewCmdRuns(f *Factory) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "runs",
		Short: "The runs of a bundle: list, show, compare, wait, delete",
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return cmd.Help()
			}
			return unknownVerb(cmd, args[0])
		},
	}
	cmd.AddCommand(newCmdRunsList(f), newCmdRunsShow(f), newCmdRunsCompare(f), newCmdRunsWait(f), newCmdRunsDelete(f))
	return cmd
}

func (o *RunsOptions) addFlags(cmd *cobra.Command, f *Factory) {
	o.addEnvironment(cmd)
	addOutput(cmd, &o.Output)
	if cmd.Flags().Lookup("dir") == nil && cmd.Use != "list [DIR]" {
		cmd.Flags().StringVar(&o.Dir, "dir", ".", "folder of the bundle")
	}
}

func (o *RunsOptions) addEnvironment(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&o.Environment, "environment", "e", project.Sandbox, "environment of the bundle that the runs are in")
}

// open finds the runs. What only looks needs no permission for a cluster that
// is no sandbox.
func (o *RunsOptions) open(ctx context.Context, f *Factory) (*runSet, error) {
	t, err := openTarget(ctx, f, o.Dir, o.Environment, &o.allow)
	if err != nil {
		return nil, err
	}
	r := t.runs(f)
	r.progress, r.said = term.NewProgress(f.Streams), f.Streams.Out
	return r, nil
}

// all reads the records of a project, brought up to date; those that cannot be
// read are named. What waits and finds room now is let go first.
func (r *runSet) all(ctx context.Context) ([]run.Record, error) {
	records, broken, err := r.store.List(ctx, r.project)
	if err != nil {
		return nil, err
	}
	for _, err := range broken {
		r.f.Streams.Talk("%v", err)
	}
	adopted, err := r.store.Adopt(ctx, r.project, r.context, records)
	if err != nil {
		return nil, err
	}
	records = append(records, adopted...)
	if slices.ContainsFunc(records, func(o run.Record) bool { return !o.Done() }) {
		r.tryPass(ctx)
	}
	for i := range records {
		if records[i], err = r.refresh(ctx, records[i]); err != nil {
			return nil, err
		}
	}
	return records, nil
}

// tryPass makes a pass for whoever only looks: that it may not is no error.
func (r *runSet) tryPass(ctx context.Context) {
	if err := r.pass(ctx); err != nil && ctx.Err() == nil {
		r.f.Streams.Talk("nothing that waits was let go: %v", err)
	}
}

// refresh brings a record up to date. Who may not write sees it all the same.
func (r *runSet) refresh(ctx context.Context, record run.Record) (run.Record, error) {
	if record.Done() {
		return r.export(ctx, record), nil
	}
	fresh, err := r.store.Reconcile(ctx, record.ID, r.metrics)
	var none *run.NotFoundError
	switch {
	case err == nil:
		return r.export(ctx, fresh), nil
	case errors.As(err, &none), isForbidden(err):
		return r.store.Peek(ctx, record)
	case ctx.Err() == nil: // how it stands is known though a log cannot be read
		if stands, peekErr := r.store.Peek(ctx, record); peekErr == nil {
			r.f.Streams.Talk("%v: run %s is shown without it", err, record.ID)
			return stands, nil
		}
	}
	return record, err
}

func newCmdRunsList(f *Factory) *cobra.Command {
	o := &RunsOptions{allow: allowance{reads: true}}
	cmd := &cobra.Command{
		Use:     "list [DIR]",
		Aliases: []string{"ls"},
		Short:   "List the runs of a bundle, the oldest first",
		Long: `Lists the runs that are recorded in the bundle's namespace: stage, phase, code,
parameters, metrics. Records are brought up to date from the runs' Jobs, pods and
logs first, and a run that waits is let go when it finds room now.`,
		Example: `  kubectl ai runs list
  kubectl ai runs list samples/digits -o json | jq -r '.items[] | select(.phase == "Failed").id'`,
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Dir = dirArg(args)
			if err := checkOutput(o.Output); err != nil {
				return err
			}
			r, err := o.open(cmd.Context(), f)
			if err != nil {
				return err
			}
			records, err := r.all(cmd.Context())
			if err != nil {
				return err
			}
			if len(records) == 0 {
				f.Streams.Talk("no run of %s in namespace %s yet; next: kubectl ai run --wait", r.project, r.namespace)
			}
			return printRuns(f, o.Output, records)
		},
	}
	o.addFlags(cmd, f)
	return cmd
}

func newCmdRunsShow(f *Factory) *cobra.Command {
	o := &RunsOptions{allow: allowance{reads: true}}
	cmd := &cobra.Command{
		Use:   "show ID",
		Short: "Show one run: parameters, metrics, data, model, how it ended",
		Long:  "Shows the record of a run, brought up to date from its Job, its pods and their logs.",
		Example: `  kubectl ai runs show k7x2mq
  kubectl ai runs show k7x2mq -o json | jq '.metrics[] | {name, best}'`,
		Args: oneRun,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(o.Output); err != nil {
				return err
			}
			r, err := o.open(cmd.Context(), f)
			if err != nil {
				return err
			}
			record, err := r.store.Get(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			if record.Phase == apply.Queued {
				r.tryPass(cmd.Context())
			}
			if record, err = r.refresh(cmd.Context(), record); err != nil {
				return err
			}
			return printRun(f, o.Output, record)
		},
	}
	o.addFlags(cmd, f)
	return cmd
}

func newCmdRunsCompare(f *Factory) *cobra.Command {
	o := &RunsOptions{allow: allowance{reads: true}}
	cmd := &cobra.Command{
		Use:   "compare ID [ID...]",
		Short: "Compare runs: where they differ, and which is best",
		Long: `Shows runs beside each other: the parameters in which they differ, and their
metrics. The best by the first of the project's metrics is marked. The ID of a
matrix stands for all its runs.`,
		Example: `  kubectl ai runs compare k7x2mq b4n9ws
  kubectl ai runs compare m5qd2x -o json | jq -r .best   # of a matrix`,
		Args: someRuns,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(o.Output); err != nil {
				return err
			}
			r, err := o.open(cmd.Context(), f)
			if err != nil {
				return err
			}
			records, err := r.named(cmd.Context(), args)
			if err != nil {
				return err
			}
			matrix := ""
			if len(args) == 1 && records[0].Matrix == args[0] {
				matrix = args[0]
			}
			return printComparison(f, o.Output, matrix, records, r.metrics)
		},
	}
	o.addFlags(cmd, f)
	return cmd
}

// named returns the runs of IDs, which may be those of matrices.
func (r *runSet) named(ctx context.Context, ids []string) ([]run.Record, error) {
	all, err := r.all(ctx)
	if err != nil {
		return nil, err
	}
	var out []run.Record
	for _, id := range ids {
		found := false
		for _, record := range all {
			if record.ID == id || record.Matrix == id {
				out, found = append(out, record), true
			}
		}
		if !found {
			return nil, &run.NotFoundError{ID: id, Namespace: r.namespace}
		}
	}
	return out, nil
}

func newCmdRunsWait(f *Factory) *cobra.Command {
	o := &RunsOptions{}
	var follow bool
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "wait ID",
		Short: "Wait with a run again: let it go when there is room, follow it to its end",
		Long: `Goes on where run --wait was interrupted: a run that waits for room is let go when
there is some, what rank 0 says is shown from its beginning, and the record is
completed at the end.

Exit codes: 0 it ended well, 1 it did not, 124 --timeout ran out, 130 Ctrl-C; both
leave it as it is.`,
		Example: `  kubectl ai runs wait k7x2mq --timeout 1h`,
		Args:    oneRun,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(o.Output); err != nil {
				return err
			}
			if timeout < 0 {
				return explain.Usagef("--timeout %v: more than 0, please", timeout)
			}
			r, err := o.open(cmd.Context(), f)
			if err != nil {
				return err
			}
			if o.Output != "" {
				r.said = f.Streams.ErrOut
			}
			r.follow = follow
			ctx := cmd.Context()
			if timeout > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, timeout)
				defer cancel()
			}
			record, err := r.wait(ctx, args[0])
			if record.ID == "" {
				return err
			}
			return errors.Join(err, printRun(f, o.Output, record))
		},
	}
	o.addFlags(cmd, f)
	cmd.Flags().BoolVar(&follow, "follow", true, "show what rank 0 says")
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "how long to wait, such as 10m; the run goes on (default: as long as it takes)")
	o.allow.addFlag(cmd)
	return cmd
}

func newCmdRunsDelete(f *Factory) *cobra.Command {
	o := &RunsOptions{}
	var yes bool
	cmd := &cobra.Command{
		Use:   "delete ID [ID...]",
		Short: "Delete runs with their records, Jobs and pods",
		Long: `Deletes the records of runs, and with each its Job and pods, running or not. The
code that it ran in goes with the last run that has it. What a run wrote elsewhere
stays. The ID of a matrix stands for all its runs.`,
		Example: `  kubectl ai runs delete k7x2mq
  kubectl ai runs delete b4n9ws m5qd2x --yes`,
		Args: someRuns,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkOutput(o.Output); err != nil {
				return err
			}
			r, err := o.open(cmd.Context(), f)
			if err != nil {
				return err
			}
			records, err := r.named(cmd.Context(), args)
			if err != nil {
				return err
			}
			var names []string
			for _, record := range records {
				f.Streams.Talk("  run %s, %s, %s", record.ID, record.Stage, record.Phase)
				names = append(names, "run/"+record.ID)
			}
			if !yes {
				if err := f.Streams.Confirm(cmd.Context(), fmt.Sprintf("Delete %s in %s, namespace %s?", plural(len(records), "run"), r.context, r.namespace)); err != nil {
					return err
				}
			}
			for _, record := range records {
				if err := r.store.Delete(cmd.Context(), record.ID); err != nil {
					return err
				}
			}
			list := runList{APIVersion: outputVersion, Kind: "RunList", Items: records}
			return printAs(f.Streams.Out, o.Output, list, names, func(io.Writer) error {
				f.Streams.Talk("deleted %s", plural(len(records), "run"))
				return nil
			})
		},
	}
	o.addFlags(cmd, f)
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "do not ask")
	o.allow.addFlag(cmd)
	return cmd
}

func oneRun(cmd *cobra.Command, args []string) error {
	if len(args) != 1 {
		return explain.Usagef("%s wants the ID of one run, got %d\nsee: kubectl ai runs list", cmd.CommandPath(), len(args))
	}
	return nil
}

func someRuns(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return explain.Usagef("%s wants IDs of runs\nsee: kubectl ai runs list", cmd.CommandPath())
	}
	return nil
}
