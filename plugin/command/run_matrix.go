package command

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/kubectl-ai/kubectl-ai/plugin/run"
)

// matrix makes a run for each point, so many at a time, and waits for all. A
// run that does not end well ends none of the others.
func (o *RunOptions) matrix(ctx context.Context, f *Factory, r *runSet, p *prepared) ([]run.Record, error) {
	id := run.NewID()
	f.Streams.Talk("matrix %s: %s of %s, %d at a time, code %s", id, plural(len(o.points), "run"), workloadName(p), o.MaxParallel, short(p.code.Digest().String()))
	r.progress.Start("Run matrix " + id)
	var mu sync.Mutex // guards making runs, which edits and reports, and the results
	records := make([]run.Record, len(o.points))
	failed := &run.MatrixError{Matrix: id, Of: len(o.points)}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(o.MaxParallel)
	for i, parameters := range o.points {
		group.Go(func() error {
			if gctx.Err() != nil {
				return context.Cause(gctx)
			}
			mu.Lock()
			record, err := p.start(gctx, parameters, id)
			mu.Unlock()
			if err != nil {
				return err
			}
			record, err = r.wait(gctx, record.ID)
			mu.Lock()
			defer mu.Unlock()
			records[i] = record
			var ended *run.FailedError
			if errors.As(err, &ended) {
				failed.Failed = append(failed.Failed, record.ID)
				return nil
			}
			return err
		})
	}
	err := group.Wait()
	if err == nil && len(failed.Failed) > 0 {
		err = failed
	}
	r.progress.End(err)
	var made []run.Record
	for _, record := range records {
		if record.ID != "" {
			made = append(made, record)
		}
	}
	if n := len(o.points) - len(made); n > 0 && interrupted(err) {
		f.Streams.Talk("%d of %d points were not begun", n, len(o.points))
	}
	return made, err
}
