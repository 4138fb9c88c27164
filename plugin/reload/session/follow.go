package session

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/watch"
)

// ErrEmpty says that a folder which held code holds none: more likely a
// checkout under way than what ranks should run.
var ErrEmpty = errors.New("the folder holds no code any more")

// A few files are read again every so often, chosen to cost about a
// thousandth of the time and to keep a save that comes meanwhile waiting for a
// few milliseconds. It takes a tree of 5,000 files of 50 MB five minutes.
const (
	rereadEvery = 15 * time.Second
	rereadFiles = 250
	rereadBytes = 4 << 20
)

// Publisher takes a version that ranks are to run, as a Gang does.
type Publisher interface {
	Publish(ctx context.Context, v *Version)
}

// Follower publishes the tree in a folder, and again whenever its content
// changes. It reads the folder and never writes to it.
type Follower struct {
	Root  string
	Tree  tree.Options
	Watch watch.Options
	Cache *Cache

	// Published hears of a version before the publisher does, with the time from
	// which its delivery is counted: when the look that found it began.
	Published func(v *Version, seen time.Time)
	// Trouble hears why the folder cannot be delivered as it is; nil: it can
	// again. The ranks run on with what they have.
	Trouble func(err error)
	// RereadEvery is how often a few files are read again of which nothing
	// seems to have changed; 0: every 15 s without a save.
	RereadEvery time.Duration
	// Scanned sees the scanner after every look that succeeded, for what was
	// left out.
	Scanned func(*tree.Scanner)
}

// Run follows the folder until ctx ends. The first look must succeed.
func (f *Follower) Run(ctx context.Context, to Publisher) error {
	watcher := watch.New(f.Root, f.Watch)
	defer func() { _ = watcher.Close() }()
	dirty := watch.Dirty{All: true}
	options := f.Tree
	options.Enter = watcher.Enter
	options.Read = func(e tree.Entry, content []byte) { f.Cache.offer(e.Sum, content, dirty.All) }
	scanner := tree.NewScanner(f.Root, options)
	every := cmp.Or(f.RereadEvery, rereadEvery)
	reread := time.Now()
	var last tree.Digest
	for {
		seen := time.Now()
		var index tree.Index
		var err error
		if dirty.All {
			index, err = scanner.Scan(ctx)
		} else {
			index, err = scanner.Rescan(ctx, dirty.Dirs)
		}
		watcher.Looked()
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && last.IsZero():
			return err
		case err != nil:
			f.trouble(err)
		case len(index) == 0 && !last.IsZero():
			f.trouble(ErrEmpty)
		default:
			f.trouble(nil)
			if f.Scanned != nil {
				f.Scanned(scanner)
			}
			if digest := index.Digest(); digest != last {
				last = digest
				v := NewVersion(f.Root, index, f.Cache)
				if f.Published != nil {
					f.Published(v, seen)
				}
				to.Publish(ctx, v)
			}
		}
		// Everything was looked at, so that nobody waits for a save.
		if dirty.All && time.Since(reread) >= every {
			reread = time.Now()
			if found := scanner.Reread(ctx, rereadFiles, rereadBytes); len(found) > 0 {
				dirty = watch.Dirty{Dirs: found}
				continue
			}
		}
		if dirty, err = watcher.Next(ctx); err != nil {
			return nil
		}
	}
}

func (f *Follower) trouble(err error) {
	if f.Trouble != nil {
		f.Trouble(err)
	}
}
