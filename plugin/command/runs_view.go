package command

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/run"
)

// runList is what `runs list -o json` prints, and with matrix and best what
// `runs compare` and `run --matrix` do.
type runList struct {
	APIVersion string       `json:"apiVersion"`
	Kind       string       `json:"kind"`
	Matrix     string       `json:"matrix,omitempty"`
	Metric     string       `json:"metric,omitempty"` // that best is by
	Best       string       `json:"best,omitempty"`   // ID
	Items      []run.Record `json:"items"`
}

func runNames(records []run.Record) []string {
	names := make([]string, len(records))
	for i, r := range records {
		names[i] = "run/" + r.ID
	}
	return names
}

func printRuns(f *Factory, output string, records []run.Record) error {
	list := runList{APIVersion: outputVersion, Kind: "RunList", Items: append([]run.Record{}, records...)}
	return printAs(f.Streams.Out, output, list, runNames(records), func(w io.Writer) error {
		if len(records) == 0 {
			return nil
		}
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(t, "RUN\tSTAGE\tPHASE\tRANKS\tCODE\tTOOK\tCREATED\tPARAMETERS\tMETRICS")
		for _, r := range records {
			_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\t%s\t%s\t%s\n", r.ID, r.Stage, r.Phase, r.Ranks, shorter(r.CodeDigest),
				took(r), r.Created.Format(time.RFC3339), dash(parameters(r)), dash(strings.TrimPrefix(measures(r), ", ")))
		}
		return t.Flush()
	})
}

// printRun prints one run.
func printRun(f *Factory, output string, r run.Record) error {
	return printAs(f.Streams.Out, output, r, runNames([]run.Record{r}), func(w io.Writer) error { return showRun(w, r) })
}

func showRun(w io.Writer, r run.Record) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(label, format string, args ...any) {
		_, _ = fmt.Fprintf(t, "%s\t%s\n", label, fmt.Sprintf(format, args...))
	}
	line("run", "%s, stage %s, project %s", r.ID, r.Stage, r.Project)
	if r.Matrix != "" {
		line("matrix", "%s", r.Matrix)
	}
	line("phase", "%s%s", r.Phase, strings.TrimSuffix(": "+r.Reason, ": "))
	line("workload", "%s as Job/%s in %s, namespace %s", r.Workload, r.Job, r.Context, r.Namespace)
	line("code", "%s, by %s", r.CodeDigest, r.Carrier)
	if p := parameters(r); p != "" {
		line("parameters", "%s", p)
	}
	line("ranks", "%d, each %s", r.Ranks, dash(resources(r.Requests)))
	for _, i := range r.Images {
		line("image", "%s: %s (%s)", i.Container, i.Image, i.ID)
	}
	if len(r.Nodes) > 0 {
		line("nodes", "%s", strings.Join(r.Nodes, ", "))
	}
	line("times", "created %s by %s, took %s", r.Created.Format(time.RFC3339), r.Who, took(r))
	if a := advance(r, time.Now()); a != "" && !r.Done() {
		line("progress", "%s", strings.TrimPrefix(strings.TrimSpace(a), ", "))
	}
	for _, m := range r.Metrics {
		line("metric", "%s: last %s, best %s, reported %s by rank %d", m.Name, m.Last, m.Best, plural(m.Count, "time"), m.Rank)
	}
	for _, d := range r.Data {
		line("data", "rank %d: %d accepted%s%s", d.Rank, d.Accepted, refused(d.Refused), splits(d))
	}
	if m := r.Model; m != nil {
		line("model", "%s, %d bytes, of data %s", m.Digest, m.Bytes, dash(m.Data))
	}
	if v := r.Validation; v != nil {
		line("validation", "model %s on data %s, overlap %d", v.Model, v.Data, v.Overlap)
	}
	if m := r.Malformed; m != nil {
		line("unreadable", "%s, the first: %s", plural(m.Lines, "line"), m.First)
	}
	for _, e := range r.Exits {
		line("exit", "rank %d, container %s: %d %s", e.Rank, e.Container, e.Code, strings.TrimSpace(e.Reason+" "+e.Message))
	}
	if r.Report != nil {
		line("verdict", "%s", verdict(r.Report))
	}
	return t.Flush()
}

// printComparison prints runs beside each other.
func printComparison(f *Factory, output, matrix string, records []run.Record, metrics []project.Metric) error {
	list := runList{APIVersion: outputVersion, Kind: "RunComparison", Matrix: matrix, Items: append([]run.Record{}, records...)}
	if len(metrics) > 0 {
		list.Metric = metrics[0].Name
		if best := run.Best(records, metrics[0]); best != nil {
			list.Best = best.ID
		}
	}
	return printAs(f.Streams.Out, output, list, runNames(records), func(w io.Writer) error {
		differ, names := differing(records), metricNames(records)
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(t, strings.Join(slices.Concat([]string{"", "RUN", "PHASE", "RANKS", "CODE", "TOOK"}, differ, names), "\t"))
		for _, r := range records {
			mark := ""
			if r.ID == list.Best {
				mark = "best"
			}
			cells := []string{mark, r.ID, string(r.Phase), fmt.Sprint(r.Ranks), shorter(r.CodeDigest), took(r)}
			for _, name := range differ {
				cells = append(cells, dash(r.Parameters[name]))
			}
			for _, name := range names {
				cell := "-"
				if m := r.Metric(name); m != nil {
					cell = fmt.Sprintf("%.5g", float64(m.Best))
				}
				cells = append(cells, cell)
			}
			_, _ = fmt.Fprintln(t, strings.Join(cells, "\t"))
		}
		return t.Flush()
	})
}

// differing are the parameters that not all runs have the same.
func differing(records []run.Record) []string {
	all := map[string]bool{}
	for _, r := range records {
		for name := range r.Parameters {
			all[name] = true
		}
	}
	return slices.DeleteFunc(slices.Sorted(maps.Keys(all)), func(name string) bool {
		return !slices.ContainsFunc(records, func(r run.Record) bool {
			first, has := records[0].Parameters[name]
			value, ok := r.Parameters[name]
			return value != first || ok != has
		})
	})
}

func metricNames(records []run.Record) (names []string) {
	for _, r := range records {
		for _, m := range r.Metrics {
			if !slices.Contains(names, m.Name) {
				names = append(names, m.Name)
			}
		}
	}
	return names
}

func parameters(r run.Record) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(r.Parameters)) {
		parts = append(parts, name+"="+r.Parameters[name])
	}
	return strings.Join(parts, " ")
}

func resources(list map[string]string) string {
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(list)) {
		parts = append(parts, list[name]+" "+name)
	}
	return strings.Join(parts, ", ")
}

func refused(reasons map[string]int) string {
	var parts []string
	for _, why := range slices.Sorted(maps.Keys(reasons)) {
		parts = append(parts, fmt.Sprintf("%d %s", reasons[why], why))
	}
	if len(parts) == 0 {
		return ""
	}
	return ", refused " + strings.Join(parts, ", ")
}

func splits(d run.RankData) string {
	s := ""
	for _, name := range slices.Sorted(maps.Keys(d.Splits)) {
		s += fmt.Sprintf("; %s %d %s", name, d.Splits[name].Count, d.Splits[name].Digest)
	}
	return s
}

// took is how long a run has had its ranks, or had.
func took(r run.Record) string {
	switch {
	case r.Started.IsZero():
		return "-"
	case r.Done() && r.Finished.IsZero():
		return "?"
	case r.Done():
		return duration.HumanDuration(r.Finished.Sub(r.Started))
	}
	return duration.HumanDuration(time.Since(r.Started))
}

// shorter is the beginning of a digest without its algorithm, for tables.
func shorter(digest string) string {
	_, hex, _ := strings.Cut(digest, ":")
	return hex[:min(len(hex), 12)]
}

func workloadName(p *prepared) string { return workload.Name(p.workload) }

func isForbidden(err error) bool { return apierrors.IsForbidden(err) }

// verdict is a report's in a line.
func verdict(r *run.Report) string {
	if r.Passed {
		return "passed"
	}
	return "refused: " + strings.Join(r.Refusals, "; ")
}
