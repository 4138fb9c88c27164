package reloadtest

import (
	"context"
	"errors"

	"golang.org/x/sync/errgroup"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/session"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/watch"
)

// errEmpty says that a folder that held code holds none.
var errEmpty = errors.New("the folder is empty")

// follow publishes the tree of a folder, and again whenever its content
// changes, as the loop of `kubectl ai dev` does. It is the one place that
// joins watcher, scanner and gang.
func follow(ctx context.Context, o Options, cache *session.Cache, publish func(context.Context, *session.Version), report func(error)) error {
	// o.MaxWatches becomes an option of the watcher when it has one.
	scanner := tree.NewScanner(o.Dir, o.Scan)
	changed := make(chan struct{}, 1)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		return watch.Watch(ctx, o.Dir, changed, func(s string) { report(errors.New(s)) })
	})
	group.Go(func() error {
		var last tree.Digest
		for {
			index, err := scanner.Scan(ctx)
			switch {
			case ctx.Err() != nil:
				return nil
			case err != nil:
				report(err)
			case len(index) == 0 && last != tree.Digest{}:
				report(errEmpty)
			default:
				if digest := index.Digest(); digest != last {
					last = digest
					publish(ctx, session.NewVersion(o.Dir, index, cache))
				}
			}
			select {
			case <-ctx.Done():
				return nil
			case <-changed:
			}
		}
	})
	return group.Wait()
}
