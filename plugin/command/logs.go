package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/logs"
	"github.com/kubectl-ai/kubectl-ai/plugin/run"
)

// LogsOptions are the flags of `logs`.
type LogsOptions struct {
	RunsOptions
	Ranks    []int
	Since    time.Duration
	Tail     int
	Follow   bool
	Previous bool
}

// NewCmdLogs returns `kubectl ai logs`.
func NewCmdLogs(f *Factory) *cobra.Command {
	o := &LogsOptions{RunsOptions: RunsOptions{allow: allowance{reads: true}}}
	cmd := &cobra.Command{
		Use:   "logs [RUN]",
		Short: "Show what the ranks of a run said, also after their pods are gone",
		Long: `Prints what the ranks of a run said, in the order of time across ranks: all of it,
also what containers said before they were restarted. Without RUN it is the newest run
of the bundle. With -f it goes on until the run has ended.

What is read is kept on this machine, in the user's cache folder, as is what run --wait,
runs wait and status -w read: 16 MiB a run, 256 MiB in all, the oldest go first. When
pods are gone, or the whole cluster, their lines come from there, and it is said up to
when they go. Of what nobody read here nothing is left.

Times are those of the nodes' clocks; --since counts back from this machine's. -o raw
prints the lines alone, -o json an object a line: time, run, rank, pod, container, line,
and restart for a container that was restarted. Nothing is changed.

Exit codes: 0 shown, 1 something could not be read, 2 usage, 3 there is nothing, 130 Ctrl-C.`,
		Example: `  kubectl ai logs
  kubectl ai logs k7x2mq --rank 0 --tail 50
  kubectl ai logs -f --since 5m
  kubectl ai logs -o json | jq -r 'select(.rank == 1).line'`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return explain.Usagef("%s wants the ID of one run, got %d\nsee: kubectl ai runs list", cmd.CommandPath(), len(args))
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.Validate(); err != nil {
				return err
			}
			id := ""
			if len(args) == 1 {
				id = strings.TrimPrefix(args[0], "run/")
			}
			return o.Run(cmd.Context(), f, id)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&o.Dir, "dir", ".", "folder of the bundle")
	o.addEnvironment(cmd)
	flags.StringVarP(&o.Output, "output", "o", "", "output format: raw or json (default: lines with their rank)")
	completeWords(cmd, "output", "raw", "json")
	flags.IntSliceVar(&o.Ranks, "rank", nil, "only this rank; may be repeated (default: all)")
	flags.DurationVar(&o.Since, "since", 0, "only what was said in the last time, such as 5m (default: all)")
	flags.IntVar(&o.Tail, "tail", 0, "only the last lines of each rank, so many (0: all)")
	flags.BoolVarP(&o.Follow, "follow", "f", false, "go on until the run has ended")
	flags.BoolVarP(&o.Previous, "previous", "p", false, "of each rank the container before its last restart, or before its pod was replaced")
	return cmd
}

// Validate refuses what cannot be meant.
func (o *LogsOptions) Validate() error {
	var errs []error
	if o.Output != "" && o.Output != "raw" && o.Output != "json" {
		errs = append(errs, explain.Usagef("-o %s: raw or json, please", o.Output))
	}
	if o.Since < 0 {
		errs = append(errs, explain.Usagef("--since %v: more than 0, please", o.Since))
	}
	if o.Tail < 0 {
		errs = append(errs, explain.Usagef("--tail %d: 0 or more, please", o.Tail))
	}
	for _, rank := range o.Ranks {
		if rank < 0 {
			errs = append(errs, explain.Usagef("--rank %d: 0 or more, please", rank))
		}
	}
	if o.Previous && o.Follow {
		errs = append(errs, explain.Usagef("--previous and --follow exclude each other: what has ended says nothing more"))
	}
	return errors.Join(errs...)
}

// Run finds the run and prints what is known of its logs.
func (o *LogsOptions) Run(ctx context.Context, f *Factory, id string) error {
	r, err := render(f, o.Dir, o.Environment)
	if err != nil {
		return err
	}
	copies, err := openCopies(f, r, sandboxContext(f, r.env))
	if err != nil {
		f.Streams.Talk("%v: what is read is not kept", err)
		copies = nil
	}
	v := &logsView{LogsOptions: o, f: f, id: id, complaints: complaints{}}
	v.runSet, v.record, err = o.find(ctx, f, id)
	if err != nil {
		if v.id, err = kept(copies, r, id, err); err != nil {
			return err
		}
	} else {
		v.id = v.record.ID
		for _, rank := range o.Ranks {
			if rank >= v.record.Ranks {
				return explain.Usagef("--rank %d: run %s has %s, which count from 0", rank, v.id, plural(v.record.Ranks, "rank"))
			}
		}
	}
	if copies != nil {
		defer func() { _ = copies.Close() }()
		if v.copied, err = copies.Read(v.id); err != nil {
			f.Streams.Talk("%v: without it", err)
		}
	}
	return v.show(ctx)
}

// find returns the run that is meant. The error may be a *run.NotFoundError,
// a *logs.NoRunError, or that of a cluster that is not there.
func (o *LogsOptions) find(ctx context.Context, f *Factory, id string) (*runSet, run.Record, error) {
	r, err := o.open(ctx, f)
	if err != nil {
		return nil, run.Record{}, err
	}
	if id != "" {
		record, err := r.store.Get(ctx, id)
		return r, record, err
	}
	records, broken, err := r.store.List(ctx, r.project)
	if err != nil {
		return nil, run.Record{}, err
	}
	for _, err := range broken {
		f.Streams.Talk("%v", err)
	}
	if len(records) == 0 {
		return nil, run.Record{}, &logs.NoRunError{Project: r.project, Namespace: r.namespace}
	}
	return r, records[len(records)-1], nil
}

// kept returns the run that there is a copy of, where the cluster knows none
// or is not there: that of an ID, or the one that was read last. Without one
// it returns the error that led here.
func kept(copies *logs.Copies, r *rendered, id string, why error) (string, error) {
	if copies == nil || interrupted(why) {
		return "", why
	}
	all, err := copies.Runs()
	if err != nil || len(all) == 0 || id != "" && !slices.Contains(all, id) {
		return "", why
	}
	return cmp.Or(id, all[0]), nil
}

// openCopies returns what was kept of the logs of a bundle's runs in a cluster.
func openCopies(f *Factory, r *rendered, context string) (*logs.Copies, error) {
	cache, err := f.Cache()
	if err != nil {
		return nil, err
	}
	return logs.OpenCopies(filepath.Join(cache, "logs", r.project.Name+"-"+place(r, context))), nil
}

// keep adds a line to the copy of its run. That it cannot be kept is said, and
// stops nobody.
func (r *runSet) keep(l logs.Line) {
	if r.copies == nil {
		return
	}
	if err := r.copies.Add(l); err != nil {
		r.f.Streams.Talk("%v; it is shown and not kept", err)
	}
}

// containers are those of a run that have a log.
func (r *runSet) containers(ctx context.Context, record run.Record) ([]logs.Container, error) {
	live, err := r.store.Look(ctx, &record)
	if err != nil {
		return nil, err
	}
	var out []logs.Container
	for _, pod := range live.Pods {
		out = append(out, logs.Containers(pod)...)
	}
	return out, nil
}

// logsView shows the logs of one run.
type logsView struct {
	*LogsOptions
	*runSet // nil: the cluster knows nothing of the run
	f       *Factory
	id      string
	record  run.Record
	copied  []logs.Line
	complaints
}

func (v *logsView) show(ctx context.Context) error {
	selection := logs.Selection{Ranks: v.Ranks, Tail: v.Tail, Previous: v.Previous}
	if v.Since > 0 {
		selection.Since = time.Now().Add(-v.Since)
	}
	printer := logs.Printer{To: v.f.Streams.Out, Output: v.Output, Color: v.f.Streams.Colors(v.f.Streams.Out)}
	reading := &logs.Reading{Selection: selection}
	var containers []logs.Container
	if v.runSet != nil {
		var err error
		if containers, err = v.containers(ctx, v.record); err != nil {
			return err
		}
		if len(v.copied)+len(containers) == 0 { // it has not begun, or it is over
			if v.record, err = v.store.Peek(ctx, v.record); err != nil {
				return err
			}
			if v.record.Done() { // one that began and ended in between has pods now
				if containers, err = v.containers(ctx, v.record); err != nil {
					return err
				}
			}
		}
		reading.Open, reading.Keep = logs.Pods{Client: v.client, Namespace: v.namespace}, v.keep
	}
	if err := v.check(containers); err != nil {
		return err
	}
	var shown error
	last, missing, err := reading.Past(ctx, v.copied, containers, func(l logs.Line) error {
		shown = printer.Print(l)
		return shown
	})
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	v.tellMissing(missing)
	if !v.Follow || v.runSet == nil || shown != nil || err != nil && !passes(ctx, err) {
		return err
	}
	if err != nil { // what is missing may yet come
		v.complaints.told(err, v.f.Streams.Talk)
	}
	return v.follow(ctx, last, selection, printer)
}

// check says why there is nothing to show.
func (v *logsView) check(containers []logs.Container) error {
	switch {
	case len(v.copied)+len(containers) > 0:
		if v.Previous && !logs.Restarted(v.copied, containers) {
			return &logs.NoPreviousError{Run: v.id}
		}
		return nil
	case v.runSet == nil || v.record.Done():
		return &logs.GoneError{Run: v.id, Namespace: v.record.Namespace}
	case v.Previous:
		return &logs.NoPreviousError{Run: v.id}
	}
	next := "kubectl ai why " + v.id + " says why"
	if v.Follow {
		next = "waiting; " + next
	}
	v.f.Streams.Talk("run %s: no rank has started yet; %s", v.id, next)
	return nil
}

// tellMissing says what is a copy.
func (v *logsView) tellMissing(missing []logs.Missing) {
	if len(missing) == 0 {
		return
	}
	var until time.Time
	var pods []string
	for _, m := range missing {
		if m.Until.After(until) {
			until = m.Until
		}
		if !slices.Contains(pods, m.Pod) {
			pods = append(pods, m.Pod)
		}
	}
	gone := plural(len(pods), "pod") + " (" + strings.Join(pods[:min(len(pods), 3)], ", ")
	if len(pods) > 3 {
		gone += ", …"
	}
	what := "run " + v.id + ": the logs of " + gone + ") are no longer in the cluster"
	if v.runSet == nil {
		what = "run " + v.id + " is not to be found in the cluster"
	}
	v.f.Streams.Talk("%s: what they said is from a copy on this machine, which ends at %s", what, until.Local().Format(time.RFC3339))
}

// follow goes on until the run has ended, and all is read that its ranks said.
func (v *logsView) follow(parent context.Context, last []logs.Line, selection logs.Selection, printer logs.Printer) error {
	ctx, stop := context.WithCancelCause(parent)
	defer stop(nil)
	lines := make(chan logs.Line, 256)
	follower := &logs.Follower{Open: logs.Pods{Client: v.client, Namespace: v.namespace}, Heard: func(l logs.Line) { lines <- l }}
	for _, l := range last {
		follower.Known(l)
	}
	var group errgroup.Group
	group.Go(func() error {
		return logs.InOrder(lines, stop, func(l logs.Line) error {
			v.keep(l)
			if !selection.Wants(l) {
				return nil
			}
			return printer.Print(l)
		})
	})
	group.Go(func() error {
		defer close(lines)
		return v.listen(ctx, follower)
	})
	err := group.Wait()
	if parent.Err() != nil {
		return context.Cause(parent)
	}
	return err
}

// listen has the follower hear every container that comes, until the run is
// done.
func (v *logsView) listen(ctx context.Context, follower *logs.Follower) error {
	for {
		now, err := v.store.Peek(ctx, v.record)
		var containers []logs.Container
		if err == nil {
			containers, err = v.containers(ctx, now)
		}
		switch {
		case err == nil:
			containers = slices.DeleteFunc(containers, func(c logs.Container) bool {
				return len(v.Ranks) > 0 && !slices.Contains(v.Ranks, max(c.Index, 0))
			})
			if now.Done() {
				return follower.Finish(ctx, containers)
			}
			follower.Listen(ctx, containers)
		case ctx.Err() == nil:
			v.complaints.told(err, v.f.Streams.Talk)
		}
		if err := breathe(ctx); err != nil {
			_ = follower.Finish(ctx, nil) // nothing is delivered after this
			return fmt.Errorf("follow run %s: %w", v.id, err)
		}
	}
}
