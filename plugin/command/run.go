package command

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/run"
	"github.com/kubectl-ai/kubectl-ai/plugin/term"
)

// RunOptions are the arguments of `run`.
type RunOptions struct {
	Dir         string
	Environment string
	Stage       string
	Ranks       int
	GPUs        int
	Set         []string
	Matrix      []string
	MaxParallel int
	Wait        bool
	Follow      bool
	Timeout     time.Duration
	Output      string
	SaveModel   string // of validate

	allow  allowance
	points []map[string]string // from here on filled by Complete
}

// stages are those that run takes; any other word is a label all the same.
var stages = []string{"data", run.StageTrain, "tune", run.StageValidate}

// NewCmdRun returns `kubectl ai run`.
func NewCmdRun(f *Factory) *cobra.Command {
	o := &RunOptions{}
	cmd := &cobra.Command{
		Use:   "run [DIR]",
		Short: "Run a stage of a bundle once, or once for each point of a matrix, and remember it",
		Long: `Makes a Job of the bundle's workload of a stage, with the code as it is on this
machine, and keeps a record of the run: the digest of the code, parameters, images,
metrics, data and model as the code says them, how it ended. The record is a
ConfigMap in the namespace and outlives the Job; kubectl ai runs lists, shows and
compares them.

The workload is the one Job or CronJob (most are suspended) whose label
kubectl-ai.dev/stage is the stage; a bundle without such labels trains with its
only Job. What else the bundle has and gets no code, such as Services, is applied
first. The code goes as ConfigMaps, or as a layer where it is larger.

A run is made suspended and let go when all its ranks find room, so that two gangs
never get half of what each needs. One that does not fit waits, and kubectl ai why
says for what. Without --wait the command ends when the run was let go or waits;
a run that waits is let go by the next kubectl ai run, runs or status that looks.
With a Kueue queue on the workload, Kueue decides.

--set gives containers a variable. --matrix makes a run for each combination of
values, --max-parallel at a time, and says which was best by the first of the
project's metrics. Ctrl-C detaches: runs go on, and runs wait follows them again.
With MLFLOW_TRACKING_URI set, runs that ended are written to MLflow (as its client does,
MLFLOW_EXPERIMENT_NAME, MLFLOW_TRACKING_TOKEN, _USERNAME and _PASSWORD are heeded).

Exit codes: 0 it was let go or waits; with --wait, all ended well. 1 one did not,
2 usage, or no workload has the stage, 124 --timeout ran out, 130 Ctrl-C.`,
		Example: `  kubectl ai run --wait
  kubectl ai run --stage data --ranks 4 --wait
  kubectl ai run --set epochs=3 --gpus 1
  kubectl ai run --matrix lr=0.1,0.01 --matrix depth=2,3 --max-parallel 2`,
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Dir = dirArg(args)
			if err := o.Complete(cmd.Flags().Changed("follow")); err != nil {
				return err
			}
			return o.Run(cmd.Context(), f)
		},
	}
	o.addFlags(cmd)
	cmd.Flags().StringVar(&o.Stage, "stage", run.StageTrain, "which workload: that with the label kubectl-ai.dev/stage of this value")
	cmd.Flags().StringArrayVar(&o.Matrix, "matrix", nil, "KEY=A,B: a run for each value; may be repeated, for each combination")
	cmd.Flags().IntVar(&o.MaxParallel, "max-parallel", 1, "with --matrix: how many runs at once")
	cmd.Flags().BoolVar(&o.Wait, "wait", false, "wait until the run has ended (always with --matrix)")
	addEvents(cmd, f)
	return cmd
}

// addFlags adds those that validate has too.
func (o *RunOptions) addFlags(cmd *cobra.Command) {
	cmd.Flags().StringVarP(&o.Environment, "environment", "e", project.Sandbox, "environment of the bundle that it runs in")
	cmd.Flags().IntVar(&o.Ranks, "ranks", 0, "how many ranks (default: as the bundle says)")
	cmd.Flags().IntVar(&o.GPUs, "gpus", -1, "how many GPUs each rank gets (default: as the bundle says)")
	cmd.Flags().StringArrayVar(&o.Set, "set", nil, "KEY=VALUE: a variable of the containers that run the code; may be repeated")
	cmd.Flags().BoolVar(&o.Follow, "follow", false, "show what rank 0 says (default: with --wait, without --matrix)")
	cmd.Flags().DurationVar(&o.Timeout, "timeout", 0, "how long to wait, such as 10m; the run goes on (default: as long as it takes)")
	addOutput(cmd, &o.Output)
	o.allow.addFlag(cmd)
}

// Complete turns strings into values and checks them.
func (o *RunOptions) Complete(followGiven bool) error {
	var errs []error
	settings := map[string]string{}
	for _, s := range o.Set {
		name, value, err := run.ParseSetting(s)
		if err != nil {
			errs = append(errs, fmt.Errorf("--set %w", err))
		}
		settings[name] = value
	}
	var axes []run.Axis
	for _, s := range o.Matrix {
		axis, err := run.ParseAxis(s)
		if err != nil {
			errs = append(errs, fmt.Errorf("--matrix %w", err))
			continue
		}
		axes = append(axes, axis)
	}
	var err error
	if o.points, err = run.Points(axes, settings); err != nil {
		errs = append(errs, fmt.Errorf("--matrix: %w", err))
	}
	switch {
	case o.Ranks < 0 || o.Ranks > maxRanks:
		errs = append(errs, fmt.Errorf("--ranks %d: 1 to %d, please", o.Ranks, maxRanks))
	case o.GPUs < -1:
		errs = append(errs, fmt.Errorf("--gpus %d: 0 or more, please", o.GPUs))
	case o.MaxParallel < 1:
		errs = append(errs, fmt.Errorf("--max-parallel %d: 1 or more, please", o.MaxParallel))
	case o.Timeout < 0:
		errs = append(errs, fmt.Errorf("--timeout %v: more than 0, please", o.Timeout))
	case o.Stage == "" || strings.ContainsAny(o.Stage, " ,="):
		errs = append(errs, fmt.Errorf("--stage %q: want a word such as train", o.Stage))
	case o.Follow && len(axes) > 0:
		errs = append(errs, errors.New("--follow shows one run, --matrix makes several"))
	}
	if err := errors.Join(errs...); err != nil {
		return explain.Usagef("%w", err)
	}
	if len(axes) > 0 {
		o.Wait = true
	} else if o.Wait && !followGiven {
		o.Follow = true
	}
	o.Wait = o.Wait || o.Follow
	return checkOutput(o.Output)
}

// maxRanks bounds --ranks: more is a typing mistake. Chosen.
const maxRanks = 10000

// Run makes the runs, and waits for them where that was asked for.
func (o *RunOptions) Run(ctx context.Context, f *Factory) error {
	records, err := o.run(ctx, f)
	if len(records) == 0 {
		return err
	}
	p := records[0]
	if len(o.Matrix) > 0 {
		return errors.Join(err, printComparison(f, o.Output, p.Matrix, records, o.metrics(f)))
	}
	if !o.Wait && o.Output == "" {
		_, printErr := fmt.Fprintln(f.Streams.Out, "run/"+p.ID)
		return errors.Join(err, printErr)
	}
	return errors.Join(err, printRun(f, o.Output, p))
}

// metrics are those of the project; none where it cannot be read any more.
func (o *RunOptions) metrics(*Factory) []project.Metric {
	p, err := project.Load(o.Dir)
	if err != nil {
		return nil
	}
	return p.Metrics
}

// run makes the runs and returns how they stand at the end.
func (o *RunOptions) run(ctx context.Context, f *Factory) ([]run.Record, error) {
	t, err := openTarget(ctx, f, o.Dir, o.Environment, &o.allow)
	if err != nil {
		return nil, err
	}
	r := t.runs(f)
	r.progress = term.NewProgress(f.Streams)
	r.follow, r.said = o.Follow, f.Streams.Out
	if o.Output != "" {
		r.said = f.Streams.ErrOut
	}
	p, err := o.prepare(ctx, f, t, r)
	if err != nil {
		return nil, err
	}
	if o.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, o.Timeout)
		defer cancel()
	}
	if len(o.Matrix) > 0 {
		return o.matrix(ctx, f, r, p)
	}
	record, err := p.start(ctx, o.points[0], "")
	if err != nil {
		return nil, err
	}
	f.Streams.Talk("run %s: %s, %s, code %s", record.ID, record.Workload, plural(record.Ranks, "rank"), short(record.CodeDigest))
	if !o.Wait {
		record, err = r.settle(ctx, record.ID)
		if err == nil && record.Reason != "" {
			f.Streams.Talk("run %s %s\nkubectl ai why %[1]s says more; kubectl ai runs wait %[1]s waits with it", record.ID, record.Reason)
		}
		return []run.Record{record}, err
	}
	record, err = r.wait(ctx, record.ID)
	return []run.Record{record}, err
}

// plural is a number with its noun.
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
