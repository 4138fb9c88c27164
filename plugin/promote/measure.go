package promote

import (
	"context"
	"fmt"
	"math"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/gate"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

// MetricError says that what the code reported is not good enough, and that
// waiting longer does not help.
type MetricError struct {
	Unmet []release.Gate
	Ended bool // all runs have ended; else the last report is no number
}

func (e *MetricError) Error() string {
	var parts []string
	for _, g := range e.Unmet {
		parts = append(parts, fmt.Sprintf("metric %s: %s", g.Name, g.Detail))
	}
	if e.Ended {
		return "it ended: " + strings.Join(parts, "; ")
	}
	return strings.Join(parts, "; ")
}

// measurement is what is known of the metrics that are waited for. One
// goroutine owns it.
type measurement struct {
	metrics []project.Metric
	samples []gate.Sample
	target  Target
	tree    string
}

func (m *measurement) at(i int) *gate.Sample {
	if m.samples == nil {
		m.samples = make([]gate.Sample, len(m.metrics))
		for i := range m.samples {
			m.samples[i] = gate.Sample{Context: m.target.Context, Rank: math.MaxInt, Where: fmt.Sprintf("code %s in %s, namespace %s", m.tree, m.target.Context, m.target.Namespace)}
		}
	}
	return &m.samples[i]
}

// hear takes a report in. The lowest rank that reports a metric speaks for all,
// as at a gate, and its last word counts.
func (m *measurement) hear(r report) {
	for i, metric := range m.metrics {
		said := gate.Sample{Context: m.target.Context, Where: m.at(i).Where}
		said.Line(r.line, metric.Name, time.Time{}, time.Time{})
		known := m.at(i)
		known.Malformed += said.Malformed
		if !said.Reported || r.rank > known.Rank || r.rank == known.Rank && said.At.Before(known.At) {
			continue
		}
		said.Rank, said.Pod, said.Malformed = r.rank, r.pod, known.Malformed
		*known = said
	}
}

// judge returns the evidence, and a *MetricError where waiting does not help.
func (m *measurement) judge(ended bool) (evidence []release.Gate, met bool, err error) {
	failed := &MetricError{Ended: ended}
	met = true
	for i, metric := range m.metrics {
		s := *m.at(i)
		if !s.Reported {
			s.Rank = -1
		}
		g := gate.Judge(metric, s)
		evidence = append(evidence, g)
		met = met && g.Passed
		if !g.Passed && (ended || s.Reported && math.IsNaN(s.Value)) {
			failed.Unmet = append(failed.Unmet, g)
		}
	}
	if len(failed.Unmet) > 0 {
		return evidence, false, failed
	}
	return evidence, met, nil
}

// measure waits until the code has reported every metric that has a threshold
// and meets it. It returns a *MetricError when a report is NaN, or the runs
// have ended without, and what ended a workload otherwise.
func (p *Promoter) measure(ctx context.Context, plan *Plan) (evidence []release.Gate, err error) {
	names := make([]string, len(p.Options.Metrics))
	for i, m := range p.Options.Metrics {
		names[i] = m.Name
	}
	p.Reporter.Start("Wait for metric " + strings.Join(names, ", "))
	defer func() { p.Reporter.End(err) }()
	inner, cancel := context.WithCancel(ctx)
	group, gctx := errgroup.WithContext(inner)
	defer func() { cancel(); _ = group.Wait() }()
	reports, ended := make(chan report), make(chan struct{})
	l := &listener{Promoter: p, plan: plan}
	say := func(r report) {
		select {
		case reports <- r:
		case <-gctx.Done():
		}
	}
	for ns := range l.namespaces() {
		group.Go(func() error { return l.listen(gctx, group, ns, say) })
	}
	l.posts(gctx, group, say)
	group.Go(func() error { return p.watchRuns(gctx, plan, ended) })
	group.Go(func() error { return p.watchOthers(gctx, plan) })
	m := &measurement{metrics: p.Options.Metrics, target: p.Target, tree: plan.Tree}
	said := ""
	var unread error // the last that a log could not be read for
	for {
		last := false
		select {
		case r := <-reports:
			if r.err != nil {
				unread = r.err
				continue
			}
			m.hear(r)
		case <-ended:
			last = true
		case <-gctx.Done():
			if ctx.Err() == nil {
				return nil, group.Wait()
			}
			evidence, _, _ := m.judge(false)
			standing := words(evidence)
			if unread != nil {
				standing += " (" + unread.Error() + ")"
			}
			return nil, fmt.Errorf("still waiting for metric %s: %w", standing, context.Cause(ctx))
		}
		evidence, met, err := m.judge(false)
		if last || met {
			// Streams may lag behind each other, or have been cut.
			if err := l.reread(ctx, m); err != nil {
				if ctx.Err() != nil {
					continue // the case above tells more
				}
				return nil, err
			}
			evidence, met, err = m.judge(last)
		}
		if now := words(evidence); now != said {
			said = now
			p.Reporter.Note("%s", said)
		}
		if met || err != nil {
			return evidence, err
		}
	}
}

// words is how metrics stand.
func words(evidence []release.Gate) string {
	var parts []string
	for _, g := range evidence {
		parts = append(parts, g.Name+": "+g.Detail)
	}
	return strings.Join(parts, "; ")
}

// watchRuns closes ended when all runs of the plan have ended well. Without
// runs nothing ends.
func (p *Promoter) watchRuns(ctx context.Context, plan *Plan, ended chan<- struct{}) error {
	runs, _ := waited(plan)
	if len(runs) == 0 {
		return nil
	}
	o := p.Options.Wait
	o.Until, o.Settle, o.PodSelector = apply.UntilComplete, -1, release.ProjectLabel+"="+p.Target.Project
	if err := p.Cluster.Wait(ctx, runs, o, nil); err != nil {
		return endOf(ctx, err)
	}
	close(ended)
	return nil
}

// watchOthers returns when something without an end is well no more.
func (p *Promoter) watchOthers(ctx context.Context, plan *Plan) error {
	_, others := waited(plan)
	o := p.Options.Wait
	o.Until, o.Settle, o.PodSelector = apply.UntilStarted, math.MaxInt64, release.ProjectLabel+"="+p.Target.Project
	return endOf(ctx, p.Cluster.Wait(ctx, others, o, nil))
}

// endOf is nil where the context is why a wait ended.
func endOf(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// waited are the runs of a plan, and its workloads that have no end.
func waited(plan *Plan) (runs, others []*unstructured.Unstructured) {
	for _, obj := range plan.waited {
		if apply.RunsToCompletion(apply.RefOf(obj)) {
			runs = append(runs, obj)
		} else if apply.Waited(obj) {
			others = append(others, obj)
		}
	}
	return runs, others
}
