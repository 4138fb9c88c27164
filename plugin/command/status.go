package command

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/kubectl-ai/kubectl-ai/plugin/capacity"
	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/run"
	"github.com/kubectl-ai/kubectl-ai/plugin/run/admit"
)

// statusReport is what `status -o json` prints.
type statusReport struct {
	APIVersion string        `json:"apiVersion"`
	Kind       string        `json:"kind"`
	Context    string        `json:"context"`
	Namespace  string        `json:"namespace"`
	Runs       []runStatus   `json:"runs"` // those that go on, then the last that ended
	Resources  []resourceRow `json:"resources"`
}

// runStatus is one run and what it holds.
type runStatus struct {
	ID        string                `json:"id"`
	Stage     string                `json:"stage"`
	Phase     string                `json:"phase"`
	Reason    string                `json:"reason,omitempty"`
	Ranks     int                   `json:"ranks"`
	Progress  *run.Number           `json:"progress,omitempty"` // percent
	Remaining *int                  `json:"remainingSeconds,omitempty"`
	Metrics   map[string]run.Number `json:"metrics,omitempty"` // the last values
	// Holds are the requests of its ranks that have a node; storage is that of
	// the volume claims that they mount.
	Holds map[string]string `json:"holds,omitempty"`
	// HeldSeconds is for how long it has held them.
	HeldSeconds int64 `json:"heldSeconds,omitempty"`
}

// resourceRow is a resource of the cluster. Of storage, allocatable is what
// the claims of the namespace have together.
type resourceRow struct {
	Name        string `json:"name"`
	Allocatable string `json:"allocatable"`
	Runs        string `json:"runs"`   // held by runs, of all projects
	Others      string `json:"others"` // by other pods
	Free        string `json:"free"`
}

// recent is how many runs that ended are shown.
const recent = 5

// NewCmdStatus returns `kubectl ai status`.
func NewCmdStatus(f *Factory) *cobra.Command {
	o := &RunsOptions{allow: allowance{reads: true}}
	var watch bool
	var only string
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "status [DIR]",
		Short: "Show what runs, how far it is, and what of the cluster it holds",
		Long: `Shows the runs of a bundle that go on and the last five that ended: phase, progress,
metrics, the time that is left as the code says, and the CPU, memory, GPUs and storage
that each holds and for how long. Below, what nodes have to give, what runs and others
hold of it, and what is free; control plane nodes that take no pods do not count.

Records are brought up to date from Jobs, pods and logs, and a run that waits is let go
when it finds room now. Nothing else is changed.

With -w it goes on: a tree of runs and their ranks that is drawn over again, with the
step, the curve of the loss, the time that is left, the generation and the GPUs of each.
q ends it, and leaves on the screen what was drawn last. While the cluster does not
answer it says so below the tree, and goes on when it does.
Without a terminal it prints a line for what changes, with -o json the whole state
whenever it has changed. --run shows one run and ends with it.

Exit codes with -w: 0 q was pressed, or the run of --run is complete, 1 it failed, 124
--timeout ran out, 130 interrupted.`,
		Example: `  kubectl ai status samples/digits
  kubectl ai status -w
  kubectl ai status -w --run k7x2mq --timeout 10m
  kubectl ai status -o json | jq '.resources[] | select(.name == "nvidia.com/gpu").free'`,
		Args: atMostOne,
		RunE: func(cmd *cobra.Command, args []string) error {
			o.Dir = dirArg(args)
			if err := checkOutput(o.Output); err != nil {
				return err
			}
			switch {
			case !watch && (only != "" || timeout != 0):
				return explain.Usagef("--run and --timeout go with --watch")
			case watch && o.Output != "" && o.Output != "json":
				return explain.Usagef("-o %s does not go with --watch: json, or none", o.Output)
			case timeout < 0:
				return explain.Usagef("--timeout %v: want a time over 0, such as 10m", timeout)
			case watch:
				return o.watchStatus(cmd.Context(), f, only, timeout)
			}
			r, err := o.open(cmd.Context(), f)
			if err != nil {
				return err
			}
			return r.status(cmd.Context(), o.Output)
		},
	}
	cmd.Flags().StringVarP(&o.Environment, "environment", "e", "sandbox", "environment of the bundle that is looked at")
	addOutput(cmd, &o.Output)
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "go on, and show what changes")
	cmd.Flags().StringVar(&only, "run", "", "with --watch: ID of the one run to show, and to end with")
	cmd.Flags().DurationVar(&timeout, "timeout", 0, "with --watch: end after this time, such as 10m (0: never)")
	return cmd
}

func (r *runSet) status(ctx context.Context, output string) error {
	records, err := r.all(ctx)
	if err != nil {
		return err
	}
	seen, blind, err := r.queue.See(ctx)
	if err != nil {
		return err
	}
	if blind != nil {
		r.f.Streams.Talk("what the cluster has and others hold is not shown: %v", blind)
	}
	claims, err := r.claims(ctx)
	if err != nil {
		return err
	}
	report := statusReport{APIVersion: outputVersion, Kind: "Status", Context: r.context, Namespace: r.namespace, Runs: []runStatus{}, Resources: table(seen, claims)}
	ended := 0
	for _, record := range slices.Backward(records) {
		if record.Done() {
			if ended++; ended > recent {
				continue
			}
		}
		report.Runs = append(report.Runs, statusOf(record, seen.Pods, claims, time.Now()))
	}
	slices.SortStableFunc(report.Runs, func(a, b runStatus) int { return rankOfPhase(a) - rankOfPhase(b) })
	var names []string
	for _, s := range report.Runs {
		names = append(names, "run/"+s.ID)
	}
	return printAs(r.f.Streams.Out, output, report, names, report.table)
}

// rankOfPhase puts what goes on before what ended.
func rankOfPhase(s runStatus) int {
	switch s.Phase {
	case "Complete", "Failed", "Lost":
		return 1
	}
	return 0
}

// claims are the sizes of the namespace's volume claims.
func (r *runSet) claims(ctx context.Context) (map[string]resource.Quantity, error) {
	list, err := r.client.CoreV1().PersistentVolumeClaims(r.namespace).List(ctx, metav1.ListOptions{})
	if isForbidden(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list volume claims: %w", err)
	}
	out := map[string]resource.Quantity{}
	for i := range list.Items {
		claim := &list.Items[i]
		size, ok := claim.Status.Capacity[corev1.ResourceStorage]
		if !ok {
			size = claim.Spec.Resources.Requests[corev1.ResourceStorage]
		}
		out[claim.Name] = size
	}
	return out, nil
}

func statusOf(r run.Record, pods []corev1.Pod, claims map[string]resource.Quantity, now time.Time) runStatus {
	s := runStatus{ID: r.ID, Stage: r.Stage, Phase: string(r.Phase), Reason: r.Reason, Ranks: r.Ranks, Progress: r.Progress}
	for _, m := range r.Metrics {
		if s.Metrics == nil {
			s.Metrics = map[string]run.Number{}
		}
		s.Metrics[m.Name] = m.Last
	}
	if left, ok := r.Left(now); ok {
		seconds := int(left.Seconds())
		s.Remaining = &seconds
	}
	if r.Done() {
		return s
	}
	held := run.Held(pods, func(p *corev1.Pod) bool { return p.Labels[run.IDLabel] == r.ID })
	storage := resource.Quantity{}
	for _, name := range run.Claims(pods, r.ID) {
		storage.Add(claims[name])
	}
	if !storage.IsZero() {
		held["storage"] = storage
	}
	if len(held) > 0 {
		s.Holds = map[string]string{}
		for name, q := range held {
			s.Holds[string(name)] = q.String()
		}
		s.HeldSeconds = int64(now.Sub(r.Started).Seconds())
	}
	return s
}

// table adds up what the nodes that take pods have, and who holds it.
func table(seen admit.Seen, claims map[string]resource.Quantity) []resourceRow {
	anywhere := capacity.Gang{}
	var nodes []corev1.Node
	names := corev1.ResourceList{}
	for i := range seen.Nodes {
		if capacity.Accepts(&seen.Nodes[i], anywhere) {
			nodes = append(nodes, seen.Nodes[i])
			for name, q := range seen.Nodes[i].Status.Allocatable {
				if name == corev1.ResourceCPU || name == corev1.ResourceMemory || capacity.Extended(string(name)) {
					names[name] = q
				}
			}
		}
	}
	there := func(p *corev1.Pod) bool {
		return slices.ContainsFunc(nodes, func(n corev1.Node) bool { return n.Name == p.Spec.NodeName })
	}
	all := capacity.Left(nodes, nil).Total(names)
	ours := run.Held(seen.Pods, func(p *corev1.Pod) bool { return there(p) && p.Labels[run.IDLabel] != "" })
	theirs := run.Held(seen.Pods, func(p *corev1.Pod) bool { return there(p) && p.Labels[run.IDLabel] == "" })
	rows := []resourceRow{}
	for _, name := range capacity.Names(names) {
		has, o, t := all[name], ours[name], theirs[name]
		free := has.DeepCopy()
		free.Sub(o)
		free.Sub(t)
		rows = append(rows, resourceRow{string(name), has.String(), o.String(), t.String(), free.String()})
	}
	total, used := resource.Quantity{}, resource.Quantity{}
	for name, size := range claims {
		total.Add(size)
		if slices.ContainsFunc(seen.Pods, func(p corev1.Pod) bool {
			return p.Labels[run.IDLabel] != "" && slices.Contains(run.Claims([]corev1.Pod{p}, p.Labels[run.IDLabel]), name)
		}) {
			used.Add(size)
		}
	}
	if len(claims) > 0 {
		free := total.DeepCopy()
		free.Sub(used)
		rows = append(rows, resourceRow{"storage", total.String(), used.String(), "0", free.String()})
	}
	return rows
}

func (s statusReport) table(w io.Writer) error {
	if len(s.Runs) > 0 {
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(t, "RUN\tSTAGE\tPHASE\tRANKS\tPROGRESS\tLEFT\tHOLDS\tFOR\tMETRICS")
		for _, r := range s.Runs {
			progress, left, held := "-", "-", "-"
			if r.Progress != nil {
				progress = fmt.Sprintf("%.0f%%", float64(*r.Progress))
			}
			if r.Remaining != nil {
				left = duration.HumanDuration(time.Duration(*r.Remaining) * time.Second)
			}
			if len(r.Holds) > 0 {
				held = duration.HumanDuration(time.Duration(r.HeldSeconds) * time.Second)
			}
			var metrics []string
			for _, name := range slices.Sorted(maps.Keys(r.Metrics)) {
				metrics = append(metrics, fmt.Sprintf("%s %.5g", name, float64(r.Metrics[name])))
			}
			_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\n", r.ID, r.Stage, r.Phase, r.Ranks, progress, left, dash(resources(r.Holds)), held, dash(strings.Join(metrics, ", ")))
		}
		if err := t.Flush(); err != nil {
			return err
		}
		for _, r := range s.Runs {
			if r.Phase == "Queued" {
				_, _ = fmt.Fprintf(w, "run %s %s\n", r.ID, r.Reason)
			}
		}
		_, _ = fmt.Fprintln(w)
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "RESOURCE\tALLOCATABLE\tRUNS\tOTHERS\tFREE")
	for _, r := range s.Resources {
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", r.Name, r.Allocatable, r.Runs, r.Others, r.Free)
	}
	return t.Flush()
}
