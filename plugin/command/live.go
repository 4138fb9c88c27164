package command

import (
	"context"
	"errors"
	"maps"
	"slices"

	"github.com/kubectl-ai/kubectl-ai/plugin/drift/exporter"
	"github.com/kubectl-ai/kubectl-ai/plugin/live"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/control"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// watcher returns what follows a bundle where its runs are. With elsewhere it
// asks the project's other environments too.
func (t *target) watcher(ctx context.Context, f *Factory, elsewhere bool) (*live.Watcher, error) {
	j, err := openJournal(f, t.rendered, t.context)
	if err != nil {
		return nil, err
	}
	r := t.runs(f)
	s := live.Sources{
		Client: t.client, Store: r.store, Project: t.project.Name, Environment: t.env.Name,
		Context: t.context, Namespace: t.namespace, Metrics: t.project.Metrics, Journal: j,
		Heard: r.keep,
	}
	// Who only looks has not asked yet whether this is a sandbox.
	if sandbox, err := openSandbox(ctx, f, t.context); err == nil {
		if nodes := equipped(sandbox.cluster); len(nodes) > 0 {
			s.GPUs = func(ctx context.Context) ([]model.Report, error) {
				return askNodes(ctx, nodes, func(ctx context.Context, n cluster.Node) (model.Report, error) { return control.List(ctx, n) })
			}
		}
	}
	if elsewhere {
		s.Elsewhere = t.elsewhere(f)
	}
	return live.New(s), nil
}

// elsewhere asks the environments of a project: all for drift, those that are
// promoted to for releases.
func (t *target) elsewhere(f *Factory) []live.Elsewhere {
	here := &production{rendered: t.rendered, context: t.context, config: t.config}
	out := []live.Elsewhere{{Environment: t.env.Name, Drift: func(ctx context.Context) (*exporter.Status, error) { return driftOf(ctx, here) }}}
	for _, name := range slices.Sorted(maps.Keys(t.project.Environments)) {
		if name == project.Sandbox || name == t.env.Name {
			continue
		}
		env := t.project.Environments[name]
		if env.Context == "" && len(env.Clusters) == 0 {
			continue // nobody said where it is
		}
		var opened []*production // once it answered
		open := func(ctx context.Context) ([]*production, error) {
			if opened != nil {
				return opened, nil
			}
			all, err := openClusters(ctx, f.elsewhere(), t.project.Dir, name, nil)
			if err != nil {
				return nil, err
			}
			opened = all
			return all, nil
		}
		out = append(out, live.Elsewhere{
			Environment: name,
			Releases: func(ctx context.Context) ([]live.Releases, error) {
				all, err := open(ctx)
				if none := (*promote.NoContextError)(nil); errors.As(err, &none) {
					return nil, nil
				}
				if err != nil {
					return nil, err
				}
				return releasesOf(ctx, name, all)
			},
			Drift: func(ctx context.Context) (*exporter.Status, error) {
				if len(opened) != 1 {
					return nil, nil // of several clusters, drift is asked by name
				}
				return driftOf(ctx, opened[0])
			},
		})
	}
	return out
}

// releasesOf reads what the clusters of an environment record, the newest first.
func releasesOf(ctx context.Context, environment string, all []*production) ([]live.Releases, error) {
	var out []live.Releases
	for _, p := range all {
		records, state, err := p.Store.History(ctx)
		if err != nil {
			return nil, p.in(err)
		}
		slices.Reverse(records)
		for i := range records { // who looks at the list reads no inventories
			records[i].Images, records[i].Workloads = nil, nil
		}
		out = append(out, live.Releases{Environment: environment, Cluster: p.cluster, Context: p.context, Current: state.Current, Items: append([]release.Record{}, records...)})
	}
	return out, nil
}

// driftOf asks the exporter, where there is one. That it has nothing to
// compare is part of what it says.
func driftOf(ctx context.Context, p *production) (*exporter.Status, error) {
	status, err := ask(ctx, p)
	var absent *exporter.AbsentError
	var nothing *exporter.NoReportError
	switch {
	case errors.As(err, &absent):
		return nil, nil
	case errors.As(err, &nothing):
		status.Error = nothing.Reason
		return &status, nil
	case err != nil:
		return nil, err
	}
	return &status, nil
}
