package command

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/carrier"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/evidence"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/gate"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/journal"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
	"github.com/kubectl-ai/kubectl-ai/plugin/run"
)

// runsPatience bounds how long a promotion looks for runs that prove its code.
// Chosen.
const runsPatience = 15 * time.Second

// provenByRun looks for a run of the folder's code that ended well, in the
// sandbox and in environments that share it. Where nobody can be asked nothing
// is proven, and why is said.
func (p *production) provenByRun(ctx context.Context, f *Factory, found *foundCode, index tree.Index) bool {
	ctx, cancel := context.WithTimeout(ctx, runsPatience)
	defer cancel()
	for _, name := range slices.Sorted(maps.Keys(p.project.Environments)) {
		if name != project.Sandbox && !p.project.Environments[name].InSandbox {
			continue
		}
		digest := index.Digest().String()
		t, records, err := ranWith(ctx, found.sandbox, found.dir, name, digest)
		if err != nil {
			f.Streams.Talk("runs of environment %s were not asked: %v", name, err)
		}
		proof := evidence.FindRun(records, digest)
		if proof == nil {
			continue
		}
		found.code = carrier.Folder(p.project.Code[0].Path, index)
		found.evidence = evidence.RecordRun(proof, t.context)
		// The nodes of a sandbox know images that no registry has.
		if nodes, err := openSandbox(ctx, found.sandbox, t.context); err == nil {
			found.generation = journal.Generation{Runtimes: evidence.RanIn(proof, func(node, id string) string { return nodes.config(ctx, node, id) })}
		} else {
			found.generation = journal.Generation{Runtimes: evidence.RanIn(proof, func(string, string) string { return "" })}
		}
		f.Streams.Talk("code %s ran as run %s in %s: %s, stage %s, ended well %s", index.Digest().Short(), proof.ID, t.context,
			plural(proof.Ranks, "rank"), proof.Stage, proof.Finished.Local().Format(time.DateTime))
		return true
	}
	return false
}

// ranWith returns the runs of an environment that ran a tree, up to date.
func ranWith(ctx context.Context, f *Factory, dir, environment, digest string) (*target, []run.Record, error) {
	t, err := openTarget(ctx, f, dir, environment, &allowance{reads: true})
	if err != nil {
		return nil, nil, err
	}
	store := &run.Store{Client: t.client, Namespace: t.namespace}
	all, _, err := store.List(ctx, t.project.Name)
	if err != nil {
		return nil, nil, err
	}
	var out []run.Record
	for _, r := range all {
		if r.CodeDigest != digest {
			continue
		}
		if !r.Done() { // its command may have been interrupted
			if fresh, err := store.Reconcile(ctx, r.ID, t.project.Metrics); err == nil {
				r = fresh
			}
		}
		out = append(out, r)
	}
	return t, out, nil
}

// sampleRun takes the last word of the latest run of a tree that ended well
// and reported a metric.
func sampleRun(ctx context.Context, f *Factory, dir, metric, tree string, s gate.Sample) (gate.Sample, error) {
	_, records, err := ranWith(ctx, forSandbox(f), dir, project.Sandbox, tree)
	if err != nil {
		return s, err
	}
	if evidence.FindRun(records, tree) == nil {
		s.Where += ", where it never ran"
		return s, nil
	}
	records = slices.DeleteFunc(records, func(r run.Record) bool { return r.Metric(metric) == nil })
	r := evidence.FindRun(records, tree)
	if r == nil {
		s.Where += ", in runs"
		return s, nil
	}
	m := r.Metric(metric)
	s.Where += ", run " + r.ID
	s.Reported, s.Value, s.Rank = true, float64(m.Last), m.Rank
	s.At, s.Pod = m.History[len(m.History)-1].Time, r.Namespace+"/"+r.Job
	return s, nil
}
