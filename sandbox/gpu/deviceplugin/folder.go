package deviceplugin

import (
	"context"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// folder says when a socket in a folder may have come or gone.
type folder struct {
	changed chan struct{} // capacity 1: many events are one

	dir     string
	log     *slog.Logger
	watcher *fsnotify.Watcher // nil when events cannot be had
	stop    chan struct{}
	done    chan struct{}
}

// watch starts to watch dir. Without events of the file system it polls more
// often.
func watch(dir string, poll time.Duration, noEvents bool, log *slog.Logger) *folder {
	f := &folder{changed: make(chan struct{}, 1), dir: dir, log: log, stop: make(chan struct{}), done: make(chan struct{})}
	if !noEvents {
		watcher, err := fsnotify.NewWatcher()
		if err != nil {
			log.Warn("no file system events, polling", "error", err)
		} else {
			f.watcher = watcher
		}
	}
	if f.watcher == nil {
		poll /= 5
	}
	go f.run(poll)
	return f
}

func (f *folder) run(poll time.Duration) {
	defer close(f.done)
	tick := time.NewTicker(poll)
	defer tick.Stop()
	var (
		events chan fsnotify.Event
		lost   chan error
	)
	if f.watcher != nil {
		events, lost = f.watcher.Events, f.watcher.Errors
	}
	for {
		select {
		case <-f.stop:
			return
		case e := <-events:
			if filepath.Ext(e.Name) != socketSuffix {
				continue
			}
		case err := <-lost: // events were lost: look
			f.log.Warn("file system events were lost", "error", err)
		case <-tick.C:
		}
		signal(f.changed)
	}
}

// again watches the folder if it is another one of the same name by now.
// Watching twice is watching once.
func (f *folder) again() {
	if f.watcher == nil {
		return
	}
	if err := f.watcher.Add(f.dir); err != nil {
		f.log.Warn("no events of the folder, polling", "dir", f.dir, "error", err)
	}
}

// wait returns after a change or the time, or with the error of ctx.
func (f *folder) wait(ctx context.Context, limit time.Duration) error {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-f.changed:
	case <-timer.C:
	}
	return nil
}

func (f *folder) close() {
	close(f.stop)
	<-f.done
	if f.watcher != nil {
		if err := f.watcher.Close(); err != nil {
			f.log.Warn("close the watch", "error", err)
		}
	}
}
