package promote

import (
	"context"

	"golang.org/x/sync/errgroup"
)

// deleteAll deletes objects in parallel, each only if it is still the one
// that was seen, and returns an error a slot.
func (p *Promoter) deleteAll(ctx context.Context, doomed []former) []error {
	errs := make([]error, len(doomed))
	var group errgroup.Group
	group.SetLimit(32)
	for i, f := range doomed {
		group.Go(func() error {
			_, errs[i] = p.Cluster.Delete(ctx, f.entry.Ref, f.live.GetUID())
			return nil
		})
	}
	_ = group.Wait() // the errors are in their slots
	return errs
}
