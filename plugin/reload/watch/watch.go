// Package watch says when a folder may have changed. Events only wake the one
// who looks: what changed is decided by content, so a missed event costs the
// time until the next sweep and nothing else.
package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Timing of a burst of events, of sweeps, and of a checkout in progress.
const (
	quiet    = 4 * time.Millisecond  // a burst ends when nothing came for so long
	longest  = 40 * time.Millisecond // and is looked at after so long at the latest
	sweep    = 3 * time.Second       // without any event
	checkout = 2 * time.Second       // how long git's index.lock holds a look back
)

// never are folders that no watch is spent on.
var never = map[string]bool{".git": true, "node_modules": true, ".venv": true, "venv": true, "__pycache__": true, ".kubectl-ai": true}

// Watch sends on changed whenever the tree below root may have changed, until
// ctx ends. A look that is still due is not queued twice. When the system's
// watch limit is short, note is told and sweeps alone remain.
func Watch(ctx context.Context, root string, changed chan<- struct{}, note func(string)) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		note(fmt.Sprintf("watching by sweeps every %v: %v", sweep, err))
		return poll(ctx, changed)
	}
	defer func() { _ = w.Close() }()
	if err := add(w, root); err != nil {
		note(fmt.Sprintf("watching by sweeps every %v: %v (raise fs.inotify.max_user_watches)", sweep, err))
		_ = w.Close()
		return poll(ctx, changed)
	}
	sweeps := time.NewTicker(sweep)
	defer sweeps.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-w.Events:
			if !ok {
				return poll(ctx, changed)
			}
			follow(w, e)
			burst(ctx, w)
			hold(ctx, root)
			wake(changed)
		case err, ok := <-w.Errors:
			if !ok {
				return poll(ctx, changed)
			}
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				note(fmt.Sprintf("watching: %v", err))
			}
			wake(changed) // look at everything
		case <-sweeps.C:
			wake(changed)
		}
	}
}

// wake leaves word that a look is due.
func wake(changed chan<- struct{}) {
	select {
	case changed <- struct{}{}:
	default:
	}
}

func poll(ctx context.Context, changed chan<- struct{}) error {
	t := time.NewTicker(sweep)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-t.C:
			wake(changed)
		}
	}
}

// add watches a folder and those below it, each before it is listed: what is
// made meanwhile is then an event.
func add(w *fsnotify.Watcher, dir string) error {
	if err := w.Add(dir); err != nil {
		return err
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.IsDir() && !never[e.Name()] {
			if err := add(w, filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

func follow(w *fsnotify.Watcher, e fsnotify.Event) {
	if !e.Has(fsnotify.Create) || never[filepath.Base(e.Name)] {
		return
	}
	if info, err := os.Lstat(e.Name); err == nil && info.IsDir() {
		_ = add(w, e.Name) // a sweep finds what a full table of watches misses
	}
}

// burst waits for the end of a burst of events.
func burst(ctx context.Context, w *fsnotify.Watcher) {
	end := time.NewTimer(longest)
	defer end.Stop()
	pause := time.NewTimer(quiet)
	defer pause.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-end.C:
			return
		case <-pause.C:
			return
		case e, ok := <-w.Events:
			if !ok {
				return
			}
			follow(w, e)
			pause.Reset(quiet)
		}
	}
}

// hold waits while git writes the working tree.
func hold(ctx context.Context, root string) {
	lock := ""
	for dir := root; ; dir = filepath.Dir(dir) {
		if info, err := os.Stat(filepath.Join(dir, ".git")); err == nil && info.IsDir() {
			lock = filepath.Join(dir, ".git", "index.lock")
			break
		}
		if dir == filepath.Dir(dir) {
			return
		}
	}
	end := time.NewTimer(checkout)
	defer end.Stop()
	t := time.NewTicker(5 * time.Millisecond)
	defer t.Stop()
	for {
		if _, err := os.Lstat(lock); err != nil {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-end.C:
			return
		case <-t.C:
		}
	}
}
