package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/plugin/run"
)

// validationReport is what `validate -o json` prints.
type validationReport struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Run        string `json:"run"`
	run.Report
}

// NewCmdValidate returns `kubectl ai validate`.
func NewCmdValidate(f *Factory) *cobra.Command {
	o := &RunOptions{Stage: run.StageValidate, MaxParallel: 1, Wait: true}
	cmd := &cobra.Command{
		Use:   "validate [DIR]",
		Short: "Measure the model on data held out, and say whether it is good enough",
		Long: `Runs the bundle's workload of stage validate with the code as it is on this machine,
and reports: the digests of code, data and model, every metric of kubectl-ai.yaml that
has a threshold beside what is wanted of it, how many samples training saw too, and
the verdict. The report is kept in the record of the run. A promotion to an
environment with the gate

  gates: [{validation: {}}]

wants the newest validation of exactly the promoted code to have passed.

Exit codes: 0 passed, 1 the run could not be made, 2 usage, or no workload has the
stage, 5 refused: below a threshold, a metric never reported or NaN, a sample in both
splits, nothing said of model and data, or the run failed. 124 --timeout ran out.`,
		Example: `  kubectl ai validate samples/digits
  kubectl ai validate -o json | jq '.metrics, .refusals'
  kubectl ai validate --save-model overlays/production`,
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Dir = dirArg(args)
			if err := o.Complete(cmd.Flags().Changed("follow")); err != nil {
				return err
			}
			return o.validate(cmd.Context(), f)
		},
	}
	o.addFlags(cmd)
	cmd.Flags().StringVar(&o.SaveModel, "save-model", "", "folder that gets the model when it passed, as model.json, and its digest, as model.env")
	addEvents(cmd, f)
	return cmd
}

// validate runs and prints the report. That the run failed is one of the
// report's refusals.
func (o *RunOptions) validate(ctx context.Context, f *Factory) error {
	records, err := o.run(ctx, f)
	var failed *run.FailedError
	if err != nil && !errors.As(err, &failed) {
		return err
	}
	r := records[0]
	if r.Report == nil {
		return errors.Join(err, fmt.Errorf("run %s has no report", r.ID))
	}
	view := validationReport{APIVersion: outputVersion, Kind: "ValidationReport", Run: r.ID, Report: *r.Report}
	if err := printAs(f.Streams.Out, o.Output, view, []string{"run/" + r.ID}, view.table); err != nil {
		return err
	}
	if !r.Report.Passed {
		return &run.RefusedError{ID: r.ID, Report: *r.Report}
	}
	if o.SaveModel != "" {
		return o.saveModel(ctx, f, r.Report.Model)
	}
	return nil
}

func (v validationReport) table(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(t, "run\t%s\ncode\t%s\nmodel\t%s\ndata\t%s\n", v.Run, v.Code, dash(v.Model), dash(v.Data))
	if v.Overlap != nil {
		_, _ = fmt.Fprintf(t, "overlap\t%d\n", *v.Overlap)
	}
	for _, m := range v.Metrics {
		value, word := "never reported", "not met"
		if m.Value != nil {
			value = m.Value.String()
		}
		if m.Met {
			word = "met"
		}
		_, _ = fmt.Fprintf(t, "%s\t%s, %s with threshold %g: %s\n", m.Name, value, m.Goal, m.Threshold, word)
	}
	_, _ = fmt.Fprintf(t, "verdict\t%s\n", verdict(&v.Report))
	return t.Flush()
}
