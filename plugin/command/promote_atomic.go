package command

import (
	"context"
	"errors"

	"github.com/kubectl-ai/kubectl-ai/plugin/promote"
)

// undo brings back what was there before a release that did not come up, and
// returns why it did not. One that the user interrupted is left as it is.
func (p *production) undo(ctx context.Context, f *Factory, plan *promote.Plan, before int, cause error) error {
	var failed *promote.FailedError
	if !errors.As(cause, &failed) || ctx.Err() != nil {
		return cause
	}
	if before == 0 {
		p.progress.Start("Remove the first release")
	} else {
		f.Streams.Talk("release %d did not come up: back to release %d", failed.Revision, before)
	}
	restored, err := p.Restore(ctx, plan, before, cause)
	p.progress.End(err)
	for _, ref := range restored.Kept {
		f.Streams.Talk("%s stays: it may hold data", ref)
	}
	if err == nil && before > 0 {
		f.Streams.Talk("release %d of %s is back in %s, as release %d", before, p.project.Name, p.context, restored.Record.Revision)
	}
	return errors.Join(cause, err)
}
