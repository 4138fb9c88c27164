package command

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/clientset"
	"github.com/spf13/cobra"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"

	"github.com/kubectl-ai/kubectl-ai/plugin/drift"
	"github.com/kubectl-ai/kubectl-ai/plugin/drift/exporter"
	"github.com/kubectl-ai/kubectl-ai/plugin/drift/retrain"
	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/forward"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
)

// DriftOptions are the arguments of `drift`.
type DriftOptions struct {
	Dir         string
	Environment string
	Cluster     []string
	Metrics     string // file, - for stdin
	Reference   string
	Limits      drift.Thresholds
	Retrain     bool
	CronJob     string
	Rows        int
	Yes         bool
	Output      string
}

// driftView is what `drift -o json` prints.
type driftView struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Context    string `json:"context,omitempty"`
	Namespace  string `json:"namespace,omitempty"`
	exporter.Status
	Thresholds drift.Thresholds `json:"thresholds"`
	drift.Verdict
	Retraining *retrain.Outcome `json:"retraining,omitempty"`
}

// NewCmdDrift returns `kubectl ai drift`.
func NewCmdDrift(f *Factory) *cobra.Command {
	o := &DriftOptions{}
	cmd := &cobra.Command{
		Use:   "drift [DIR]",
		Short: "Compare what the served model is asked with what it was trained on",
		Long: `Asks the drift exporter of component monitor how far the requests of its window of
time are from the training data: the population stability index (PSI) and the
Kolmogorov-Smirnov distance of each feature, and the accuracy on predictions that
people labelled since. With --metrics and --reference it compares files instead:
a page of the served model's metrics with the reference that training wrote; no
cluster is asked then.

Changes nothing, except with --retrain: where a threshold is passed, that makes a
Job from the suspended CronJob retrain, unless one runs. Whether its model is
promoted is for promote and its gates.

Exit codes: 0 within the thresholds, 5 over one (with --retrain too), 3 too few
requests to say or nothing that measures.`,
		Example: `  kubectl ai drift
  kubectl ai drift -e production --psi 0.2 --accuracy 0.9 --retrain
  curl -s serve:8080/metrics | kubectl ai drift --metrics - --reference reference.json`,
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Dir = dirArg(args)
			if err := o.Validate(); err != nil {
				return err
			}
			return o.Run(cmd.Context(), f)
		},
	}
	flags := cmd.Flags()
	flags.StringVarP(&o.Environment, "environment", "e", project.Sandbox, "environment of the bundle where the model is served")
	addCluster(cmd, &o.Cluster)
	flags.StringVar(&o.Metrics, "metrics", "", "file with the served model's metrics, - for standard input, instead of a cluster")
	flags.StringVar(&o.Reference, "reference", "", "file with the reference to compare these with")
	flags.Float64Var(&o.Limits.PSI, "psi", 0.25, "largest mean PSI of the features")
	flags.Float64Var(&o.Limits.Accuracy, "accuracy", 0, "least accuracy on labelled predictions, from 0 to 1 (0: not judged)")
	flags.Float64Var(&o.Limits.Samples, "samples", 100, "least requests, or labelled predictions, to judge by")
	flags.BoolVar(&o.Retrain, "retrain", false, "where a threshold is passed, make a Job from the CronJob")
	flags.StringVar(&o.CronJob, "cronjob", "retrain", "CronJob that --retrain makes a Job from")
	flags.IntVar(&o.Rows, "features", 10, "features to list, those that moved most")
	flags.BoolVarP(&o.Yes, "yes", "y", false, "do not ask before a Job is made in another cluster than a sandbox")
	addOutput(cmd, &o.Output)
	return cmd
}

// Validate checks the arguments.
func (o *DriftOptions) Validate() error {
	switch {
	case (o.Metrics == "") != (o.Reference == ""):
		return explain.Usagef("--metrics and --reference go together: a page of metrics and what to compare it with")
	case o.Metrics != "" && o.Retrain:
		return explain.Usagef("--retrain makes a Job in a cluster: leave --metrics out")
	case !(o.Limits.PSI > 0):
		return explain.Usagef("--psi %v: want a number over 0, such as 0.25", o.Limits.PSI)
	case !(o.Limits.Accuracy >= 0 && o.Limits.Accuracy <= 1):
		return explain.Usagef("--accuracy %v: want a number from 0 to 1", o.Limits.Accuracy)
	case !(o.Limits.Samples >= 0):
		return explain.Usagef("--samples %v: want a number of requests", o.Limits.Samples)
	case o.Rows < 0:
		return explain.Usagef("--features %d: want a number of rows", o.Rows)
	}
	return checkOutput(o.Output)
}

// Run compares and judges.
func (o *DriftOptions) Run(ctx context.Context, f *Factory) error {
	view := &driftView{APIVersion: outputVersion, Kind: "DriftReport", Thresholds: o.Limits}
	var at *production
	var err error
	if o.Metrics != "" {
		view.Status, err = o.files(f)
	} else {
		if at, err = o.place(ctx, f); err != nil {
			return err
		}
		view.Context, view.Namespace = at.context, at.namespace
		view.Status, err = ask(ctx, at)
	}
	if err != nil {
		return err
	}
	view.Verdict = o.Limits.Judge(view.Report)
	verdict := view.Err()
	if exceeded := (*drift.ExceededError)(nil); o.Retrain && errors.As(verdict, &exceeded) {
		if view.Retraining, err = o.retrain(ctx, f, at, exceeded); err != nil {
			return err
		}
	}
	names := []string{"model/" + orNone(view.Model)}
	if err := printAs(f.Streams.Out, o.Output, view, names, func(w io.Writer) error { return o.table(w, view) }); err != nil {
		return err
	}
	switch r := view.Retraining; {
	case r != nil && r.Created:
		f.Streams.Talk("retraining: made Job %s; follow it: kubectl -n %s logs -f job/%s", r.Job, view.Namespace, r.Job)
	case r != nil:
		f.Streams.Talk("retraining: Job %s holds another one back: %s", r.Job, r.Reason)
	case verdict == nil:
		f.Streams.Talk("no drift: %.0f requests are like the training data", view.Samples)
	}
	return verdict
}

// files compares a page of metrics with a reference.
func (o *DriftOptions) files(f *Factory) (s exporter.Status, err error) {
	file, err := os.Open(o.Reference)
	if err != nil {
		return s, &drift.ReferenceError{Err: err}
	}
	ref, err := drift.ReadReference(file)
	if err = errors.Join(err, file.Close()); err != nil {
		return s, fmt.Errorf("%s: %w", o.Reference, err)
	}
	metrics := io.NopCloser(f.Streams.In)
	if o.Metrics != "-" {
		if metrics, err = os.Open(o.Metrics); err != nil {
			return s, &drift.MetricsError{Err: err}
		}
	}
	page, err := drift.ReadMetrics(metrics)
	if err = errors.Join(err, metrics.Close()); err != nil {
		return s, fmt.Errorf("%s: %w", o.Metrics, err)
	}
	s.Model, s.Targets = page.Model, 1
	s.Report, err = drift.Compare(ref, page.Counters)
	return s, err
}

// place opens the cluster of the environment, to read it.
func (o *DriftOptions) place(ctx context.Context, f *Factory) (*production, error) {
	if o.Environment != project.Sandbox {
		return openProduction(ctx, f, o.Dir, o.Environment, o.Cluster)
	}
	r, err := render(f, o.Dir, o.Environment)
	if err != nil {
		return nil, err
	}
	p := &production{rendered: r, context: sandboxContext(f, r.env)}
	p.config, err = f.RESTConfig(p.context)
	return p, err
}

// ask asks the exporter that runs beside the model.
func ask(ctx context.Context, p *production) (s exporter.Status, err error) {
	client, err := clientset.NewForConfig(p.config)
	if err != nil {
		return s, fmt.Errorf("make a client: %w", err)
	}
	pods, err := client.CoreV1().Pods(p.namespace).List(ctx, metav1.ListOptions{LabelSelector: exporter.Label})
	if err != nil {
		return s, fmt.Errorf("list pods of namespace %s: %w", p.namespace, err)
	}
	pod := answering(pods.Items)
	if pod == nil {
		return s, &exporter.AbsentError{Namespace: p.namespace}
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return exporter.Ask(ctx, forward.Client(forward.Dialer(p.config, client, p.namespace), pod.Name, exporter.Port))
}

// retrain makes a Job, or says what holds it back. Someone who asks waits for
// no cool-down.
func (o *DriftOptions) retrain(ctx context.Context, f *Factory, p *production, why error) (*retrain.Outcome, error) {
	if !o.Yes && (o.Environment != project.Sandbox || !strings.HasPrefix(p.context, "kind-")) {
		if err := p.confirm(ctx, f, "Make a Job from CronJob "+o.CronJob+" in"); err != nil {
			return nil, err
		}
	}
	client, err := dynamic.NewForConfig(p.config)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	starter := &retrain.Starter{Client: client, Namespace: p.namespace, CronJob: o.CronJob}
	outcome, err := starter.Start(ctx, rand.Text(), "kubectl ai drift: "+why.Error())
	return &outcome, err
}

func (o *DriftOptions) table(w io.Writer, v *driftView) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintf(t, "model\t%s\n", orNone(v.Model))
	if v.WindowSeconds > 0 {
		_, _ = fmt.Fprintf(t, "window\t%v, %d pods\n", time.Duration(v.WindowSeconds*float64(time.Second)), v.Targets)
	}
	_, _ = fmt.Fprintf(t, "requests\t%.0f\n", v.Samples)
	if v.Samples > 0 {
		_, _ = fmt.Fprintf(t, "PSI, mean\t%.3f, limit %v\n", v.PSIMean, o.Limits.PSI)
		_, _ = fmt.Fprintf(t, "PSI, largest\t%.3f\n", v.PSIMax)
		_, _ = fmt.Fprintf(t, "KS, largest\t%.3f\n", v.KSMax)
	}
	if v.PredictionPSI != nil {
		_, _ = fmt.Fprintf(t, "PSI of predictions\t%.3f\n", *v.PredictionPSI)
	}
	if v.Accuracy != nil {
		_, _ = fmt.Fprintf(t, "accuracy\t%.3f of %.0f labelled", *v.Accuracy, v.Labelled)
		if o.Limits.Accuracy > 0 {
			_, _ = fmt.Fprintf(t, ", limit %v", o.Limits.Accuracy)
		}
		if v.ReferenceAccuracy != nil {
			_, _ = fmt.Fprintf(t, ", %.3f at training", *v.ReferenceAccuracy)
		}
		_, _ = fmt.Fprintln(t)
	}
	if err := t.Flush(); err != nil || len(v.Features) == 0 || o.Rows == 0 {
		return err
	}
	_, _ = fmt.Fprintln(w)
	t = tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "FEATURE\tPSI\tKS")
	for _, feature := range v.Features[:min(o.Rows, len(v.Features))] {
		_, _ = fmt.Fprintf(t, "%s\t%.3f\t%.3f\n", cmp.Or(feature.Name, "(no name)"), feature.PSI, feature.KS)
	}
	return t.Flush()
}
