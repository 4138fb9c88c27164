// Package watch says which folders may have changed. Events only mark folders
// as dirty: what changed is decided by content, so a missed event costs the
// time until the next sweep and nothing else.
package watch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Timing, chosen: an editor that replaces a file by a complete one is taken at
// its word almost at once; a file that is written in place gets time for the
// next write; many files are a burst.
const (
	replaced = 1 * time.Millisecond   // quiet after a rename onto a file
	written  = 3 * time.Millisecond   // quiet after writes in place
	many     = 5 * time.Millisecond   // quiet in a burst
	longest  = 40 * time.Millisecond  // a burst is looked at after so long at the latest
	crowd    = 50                     // from so many files on it is a tool's work,
	crowded  = 200 * time.Millisecond // which is better seen when it is complete
	checkout = 2 * time.Second        // how long git's index.lock holds a look back

	quiet   = 5 * time.Second        // then everything is looked at, events or not
	poll    = 500 * time.Millisecond // the same where watches are short
	leisure = 400                    // a sweep may cost so small a part of the time
)

// Options of a watcher. The zero value is the system's limit and silence.
type Options struct {
	// MaxWatches bounds the folders that are watched; 0: the system's limit.
	MaxWatches int
	// Note is told, once, when the limit is short and sweeps remain alone.
	Note func(string)
}

// Dirty is where to look.
type Dirty struct {
	Dirs []string // slash-separated, relative to the root, "." for the root itself
	All  bool     // everywhere
}

// Watcher watches the folders that Enter names. Next and Enter are called from
// one goroutine: who scans.
type Watcher struct {
	root string
	o    Options

	events  *fsnotify.Watcher // nil: none to be had
	errs    chan error        // what listen heard
	heard   sync.WaitGroup    // for listen
	watched map[string]bool   // by relative folder
	short   string            // why sweeps remain alone; empty: they do not

	noted sync.Once
	swept time.Time     // when Next last asked for everything
	cost  time.Duration // of the last look at everything
	idle  bool          // nothing but sweeps since
	all   bool          // Next has just asked for everything
}

// New watches nothing yet: Enter adds the folders of a tree as a scan finds
// them.
func New(root string, o Options) *Watcher {
	w := &Watcher{root: root, o: o, watched: map[string]bool{}}
	var err error
	if w.events, err = fsnotify.NewWatcher(); err != nil {
		w.tooShort(fmt.Errorf("%w (raise fs.inotify.max_user_instances)", err))
		return w
	}
	w.errs = make(chan error, 1)
	errs := w.events.Errors
	w.heard.Go(func() { w.listen(errs) })
	return w
}

// listen takes errors off fsnotify, which reports some while it holds the lock
// that Add and Remove wait for: whoever calls those must not be the one who
// listens. One error stands for all that come before it is looked at.
func (w *Watcher) listen(errs <-chan error) {
	defer close(w.errs)
	for err := range errs {
		if errors.Is(err, syscall.EINVAL) {
			continue // the system had ended the watch of a folder that is gone
		}
		select {
		case w.errs <- err:
		default:
		}
	}
}

// Close releases the watches.
func (w *Watcher) Close() error {
	defer w.heard.Wait()
	if w.events == nil {
		return nil
	}
	return w.events.Close()
}

// Enter watches a folder. Call it before listing the folder: what is made
// meanwhile is then an event.
func (w *Watcher) Enter(dir string) {
	if w.events == nil || w.watched[dir] {
		return
	}
	if w.o.MaxWatches > 0 && len(w.watched) >= w.o.MaxWatches {
		w.tooShort(fmt.Errorf("more than %d folders", w.o.MaxWatches))
		return
	}
	err := w.events.Add(filepath.Join(w.root, filepath.FromSlash(dir)))
	switch {
	case err == nil:
		w.watched[dir] = true
	case errors.Is(err, fs.ErrNotExist):
	default:
		w.tooShort(fmt.Errorf("%w (raise fs.inotify.max_user_watches)", err))
	}
}

func (w *Watcher) tooShort(err error) {
	w.short = err.Error()
	w.noted.Do(func() {
		if w.o.Note != nil {
			w.o.Note(fmt.Sprintf("not every folder can be watched: %s; looking at all files every %v instead", w.short, poll))
		}
	})
}

// Next waits until something may have changed and says where. It returns the
// cause when ctx ends.
func (w *Watcher) Next(ctx context.Context) (Dirty, error) {
	sweep := time.NewTimer(w.pause())
	defer sweep.Stop()
	b := &burst{w: w, dirs: map[string]bool{}}
	events, errs := w.channels()
	select {
	case <-ctx.Done():
		return Dirty{}, context.Cause(ctx)
	case <-sweep.C:
		w.idle = true
		return w.everything(), nil
	case err, ok := <-errs:
		b.fail(err, ok)
	case e, ok := <-events:
		b.add(e, ok)
	}
	w.idle = false
	if err := b.collect(ctx); err != nil {
		return Dirty{}, err
	}
	if b.all {
		return w.everything(), nil
	}
	dirs := make([]string, 0, len(b.dirs))
	for dir := range b.dirs {
		dirs = append(dirs, dir)
	}
	slices.Sort(dirs)
	return Dirty{Dirs: dirs}, nil
}

func (w *Watcher) everything() Dirty {
	w.swept, w.all = time.Now(), true
	return Dirty{All: true}
}

// Looked says that the look which Next asked for is over: what it took tells
// how often everything can be looked at.
func (w *Watcher) Looked() {
	if w.all {
		w.cost, w.all = time.Since(w.swept), false
	}
}

// pause is how long to wait for events before everything is looked at: soon
// after something happened, then ever so rarely that it costs little.
func (w *Watcher) pause() time.Duration {
	switch {
	case w.short != "", !w.watched["."]:
		return max(poll, 20*w.cost)
	case w.idle:
		return max(quiet, leisure*w.cost)
	}
	return quiet
}

func (w *Watcher) channels() (<-chan fsnotify.Event, <-chan error) {
	if w.events == nil {
		return nil, nil
	}
	return w.events.Events, w.errs
}

// burst is what is known of events that belong together.
type burst struct {
	w      *Watcher
	dirs   map[string]bool
	files  map[string]bool
	all    bool
	before fsnotify.Op // of the last event but one
	last   fsnotify.Op
}

// collect takes events until none has come for a while, and none may be
// expected: git holds its lock for as long as it writes the working tree.
func (b *burst) collect(ctx context.Context) error {
	start := time.Now()
	timer := time.NewTimer(b.rest())
	defer timer.Stop()
	events, errs := b.w.channels()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case err, ok := <-errs:
			if b.fail(err, ok); !ok {
				errs = nil
			}
		case e, ok := <-events:
			if b.add(e, ok); !ok {
				events = nil
			}
			limit := longest
			if len(b.files) > crowd {
				limit = crowded
			}
			if time.Since(start) < limit {
				timer.Reset(b.rest())
			}
		case <-timer.C:
			if time.Since(start) > checkout || !locked(b.w.root) {
				return nil
			}
			timer.Reset(many)
		}
	}
}

// rest is how long after the last event a burst is over.
func (b *burst) rest() time.Duration {
	switch {
	case len(b.files) > 2:
		return many
	case b.before.Has(fsnotify.Rename) && b.last.Has(fsnotify.Create):
		return replaced
	}
	return written
}

func (b *burst) fail(err error, ok bool) {
	b.all = true // events were lost
	if !ok {
		b.w.events = nil
		b.w.tooShort(errors.New("the system's watcher has ended"))
		return
	}
	if !errors.Is(err, fsnotify.ErrEventOverflow) {
		b.w.tooShort(err)
	}
}

func (b *burst) add(e fsnotify.Event, ok bool) {
	if !ok {
		b.fail(nil, false)
		return
	}
	rel, err := filepath.Rel(b.w.root, e.Name)
	if err != nil || e.Op == 0 {
		return
	}
	rel = filepath.ToSlash(rel)
	if b.files == nil {
		b.files = map[string]bool{}
	}
	b.files[rel] = true
	b.before, b.last = b.last, e.Op
	if rel == "." || strings.HasPrefix(rel, "../") {
		b.all = true
		if e.Has(fsnotify.Remove | fsnotify.Rename) {
			b.w.forget(".")
		}
		return
	}
	b.dirs[parent(rel)] = true
	if b.w.watched[rel] && e.Has(fsnotify.Remove|fsnotify.Rename) {
		// The watches of a folder that moved stay with it, and would speak of
		// it by its old name.
		b.w.forget(rel)
		b.all = true
	}
	// Of a burst's files none is asked for: many are waited for alike.
	if e.Has(fsnotify.Create) && len(b.files) <= 2 {
		if info, err := os.Lstat(e.Name); err == nil && info.IsDir() {
			b.last = 0 // its content may still come
		}
	}
}

// forget ends the watches of a folder and of those below it.
func (w *Watcher) forget(dir string) {
	for watched := range w.watched {
		if watched == dir || dir == "." || strings.HasPrefix(watched, dir+"/") {
			delete(w.watched, watched)
			if w.events != nil {
				_ = w.events.Remove(filepath.Join(w.root, filepath.FromSlash(watched))) // most are gone already
			}
		}
	}
}

func parent(rel string) string {
	if i := strings.LastIndexByte(rel, '/'); i >= 0 {
		return rel[:i]
	}
	return "."
}

// locked tells whether git is writing the working tree that holds root.
func locked(root string) bool {
	for dir := root; ; dir = filepath.Dir(dir) {
		git := filepath.Join(dir, ".git")
		if info, err := os.Stat(git); err == nil {
			if !info.IsDir() { // a worktree or submodule: gitdir: <path>
				raw, err := os.ReadFile(git)
				if err != nil {
					return false
				}
				git = strings.TrimSpace(strings.TrimPrefix(string(raw), "gitdir:"))
				if !filepath.IsAbs(git) {
					git = filepath.Join(dir, git)
				}
			}
			_, err := os.Lstat(filepath.Join(git, "index.lock"))
			return err == nil
		}
		if dir == filepath.Dir(dir) {
			return false
		}
	}
}
