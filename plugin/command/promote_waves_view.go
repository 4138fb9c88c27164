package command

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"text/tabwriter"

	"github.com/kubectl-ai/kubectl-ai/plugin/promote/preflight"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/waves"
)

// warn says what preflight found that stops nothing.
func (o *fleet) warn(f *Factory) {
	for _, m := range o.members {
		if m.plan == nil {
			continue
		}
		for _, finding := range m.plan.Report {
			if finding.Level == preflight.Warning {
				f.Streams.Talk("warning: %s%s", m.label(), finding)
			}
		}
	}
}

// show prints the difference of each cluster, once where several have the same.
func (o *fleet) show(f *Factory) error {
	out := f.Streams.Out
	if o.Output != "" {
		out = f.Streams.ErrOut
	}
	said := map[string]string{}
	for _, m := range o.members {
		for _, note := range m.plan.Notes {
			f.Streams.Talk("%s%s", m.label(), note)
		}
		if m.plan.Nothing() {
			f.Streams.Talk("%snothing to do: release %d is what %s runs, code %s", m.label(), m.plan.Current(), m.context, m.plan.Tree)
			continue
		}
		for _, k := range m.plan.Kept {
			f.Streams.Talk("%s%s", m.label(), m.keptWords(k))
		}
		var diff bytes.Buffer
		if err := m.plan.Changes.WriteDiff(&diff); err != nil {
			return err
		}
		f.Streams.Talk("%s%s", m.label(), m.plan.Changes.Summary())
		text := diff.String()
		if other, ok := said[text]; ok && text != "" {
			f.Streams.Talk("%sthe same difference as %s", m.label(), other)
			continue
		}
		said[text] = m.cluster
		if text != "" {
			if _, err := fmt.Fprintf(out, "# cluster %s\n%s", m.cluster, text); err != nil {
				return err
			}
		}
	}
	return nil
}

// words put an outcome into a line.
func (o *fleet) words(outcome waves.Outcome) string {
	m := o.member(outcome.Cluster)
	s := fmt.Sprintf("wave %d, %s: ", outcome.Wave, outcome.Cluster)
	switch outcome.State {
	case waves.NotBegun:
		return s + "not begun"
	case waves.Unchanged:
		return s + fmt.Sprintf("ran release %d already", m.plan.Current())
	case waves.Deployed:
		return s + fmt.Sprintf("release %d is ready, code %s", m.record.Revision, m.record.TreeDigest)
	case waves.RolledBack:
		if m.before == 0 {
			return s + "rolled back: nothing of it was there before"
		}
		return s + fmt.Sprintf("rolled back to release %d", m.before)
	}
	return s + "failed"
}

func (o *fleet) member(name string) *member {
	return o.members[slices.IndexFunc(o.members, func(m *member) bool { return m.cluster == name })]
}

// waveReport is what `promote -o json` prints for several clusters.
type waveReport struct {
	APIVersion  string          `json:"apiVersion"`
	Kind        string          `json:"kind"`
	Environment string          `json:"environment"`
	TreeDigest  string          `json:"treeDigest"`
	Gates       []release.Gate  `json:"gates"` // that were asked
	Items       []clusterReport `json:"items"`
}

type clusterReport struct {
	Cluster string          `json:"cluster"`
	Context string          `json:"context"`
	Wave    int             `json:"wave"`
	State   waves.State     `json:"state"`
	Error   string          `json:"error,omitempty"`
	Release *release.Record `json:"release,omitempty"` // that this run wrote last
	Plan    *planView       `json:"plan,omitempty"`    // of a dry run
}

// report prints how the clusters came out, where -o asks for it.
func (o *fleet) report(f *Factory, outcomes []waves.Outcome, dry bool) error {
	report := waveReport{
		APIVersion: outputVersion, Kind: "WaveReport", Environment: o.members[0].env.Name, TreeDigest: o.members[0].bundle.Tree,
		Gates: append([]release.Gate{}, o.evidence...),
	}
	var names []string
	for _, outcome := range outcomes {
		m := o.member(outcome.Cluster)
		item := clusterReport{Cluster: outcome.Cluster, Context: m.context, Wave: outcome.Wave, State: outcome.State}
		if outcome.Err != nil {
			item.Error = outcome.Err.Error()
		}
		if m.record.Revision > 0 && m.record.Status != "" {
			item.Release = &m.record
		}
		if dry {
			view, _ := viewPlan(m.plan)
			item.Plan = &view
		}
		report.Items = append(report.Items, item)
		names = append(names, "cluster/"+outcome.Cluster)
	}
	return printAs(f.Streams.Out, o.Output, report, names, func(w io.Writer) error {
		if dry {
			return nil // the difference is all that is asked for
		}
		t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
		_, _ = fmt.Fprintln(t, "CLUSTER\tCONTEXT\tWAVE\tSTATE\tRELEASE")
		for _, item := range report.Items {
			number := "-"
			if item.Release != nil {
				number = fmt.Sprint(item.Release.Revision)
			}
			_, _ = fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\n", item.Cluster, item.Context, item.Wave, item.State, number)
		}
		return t.Flush()
	})
}
