package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/kubectl-ai/kubectl-ai/plugin/clientset"

	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/gate"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
	"github.com/kubectl-ai/kubectl-ai/plugin/run"
)

// newestValidation finds the newest validation of the code that is promoted
// among the runs of an environment. One that goes on does not count.
func newestValidation(ctx context.Context, f *Factory, m *member, from string) (*gate.Validation, error) {
	own := forSandbox(f) // --context and -n of a promotion mean the other cluster
	r, err := render(own, m.project.Dir, from)
	if err != nil {
		return nil, err
	}
	context := r.env.Context
	if from == project.Sandbox {
		context = cmp.Or(context, defaultSandbox)
	}
	config, err := own.RESTConfig(context)
	if err != nil {
		return nil, err
	}
	client, err := clientset.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("make a client: %w", err)
	}
	store := &run.Store{Client: client, Namespace: r.namespace}
	records, broken, err := store.List(ctx, m.project.Name)
	if err = errors.Join(append(broken, err)...); err != nil {
		return nil, err // one that cannot be read may be the one that counts
	}
	var newest *run.Record
	for i := range records {
		record := &records[i]
		if record.Stage != run.StageValidate || record.CodeDigest != m.bundle.Tree {
			continue
		}
		if !record.Done() { // its command may have been interrupted
			if *record, err = store.Reconcile(ctx, record.ID, m.project.Metrics); err != nil {
				return nil, err
			}
		}
		if record.Done() {
			newest = record
		}
	}
	if newest == nil {
		return nil, nil
	}
	// The thresholds of now decide, not those of the day of the run.
	report := newest.Judge(m.project.Metrics)
	return &gate.Validation{
		GateValidation: release.GateValidation{Run: newest.ID, Context: context, Model: report.Model, Data: report.Data, When: report.When},
		Passed:         report.Passed, Refusals: report.Refusals,
	}, nil
}
