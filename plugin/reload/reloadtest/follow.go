package reloadtest

import (
	"context"
	"errors"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/session"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/watch"
)

// follow publishes the tree of a folder, and again whenever its content
// changes, with the follower of `kubectl ai dev`. A first look that fails is
// tried again: tests begin with folders in any state.
func follow(ctx context.Context, l *Laptop) {
	for ctx.Err() == nil {
		f := &session.Follower{
			Root: l.Dir, Tree: l.o.Scan, Cache: l.cache, RereadEvery: l.o.RereadEvery,
			Watch: watch.Options{MaxWatches: l.o.MaxWatches, Note: func(s string) { l.report(errors.New(s)) }},
			Published: func(v *session.Version, _ time.Time) {
				l.mu.Lock()
				defer l.mu.Unlock()
				l.published[v.Digest] = true
			},
			Trouble: func(err error) {
				if err != nil {
					l.report(err)
				}
			},
		}
		if err := f.Run(ctx, l.Gang); err != nil {
			l.report(err)
		}
	}
}
