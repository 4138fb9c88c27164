package command

import (
	"context"
	"errors"
	"slices"
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
	ends := make([]*run.FailedError, len(o.points)) // nil: it ended well
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
			if errors.As(err, &ends[i]) {
				return nil
			}
			return err
		})
	}
	err := group.Wait()
	failed := slices.DeleteFunc(ends, func(end *run.FailedError) bool { return end == nil })
	if err == nil && len(failed) > 0 {
		err = &run.MatrixError{Matrix: id, Failed: failed, Of: len(o.points)}
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
