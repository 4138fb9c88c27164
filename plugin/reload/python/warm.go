package python

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/supervise"
)

const (
	// forkWait is how long a run waits for a process to fork into, or for that
	// to begin. Chosen: a cold start is better after that.
	forkWait = time.Second
	// refill is how long the next spare waits behind a run, which has better
	// use for the processors. Chosen.
	refill = 500 * time.Millisecond
	// lives is how often an interpreter that was ready may end by itself.
	// Chosen: where memory is short, importing again makes it worse.
	lives = 3
)

// warm is an interpreter with its modules imported, and the next after it.
type warm struct {
	command command
	spec    supervise.Spec
	options Options
	log     *once

	spares  chan *spare   // unbuffered: one is offered until somebody takes it
	hurry   chan struct{} // somebody waits for one
	closing chan struct{}
	done    chan struct{}

	mu  sync.Mutex
	why error // why there are no spares; nil: there are
}

// newWarm starts the interpreter of a command in the background.
func newWarm(c command, spec supervise.Spec, o Options, log *once) *warm {
	w := &warm{
		command: c, spec: spec, options: o, log: log,
		spares: make(chan *spare), hurry: make(chan struct{}, 1), closing: make(chan struct{}), done: make(chan struct{}),
		why: fmt.Errorf("still importing %s", strings.Join(o.Preload, ", ")),
	}
	go w.run()
	return w
}

// fits tells whether a command is one that the interpreter was started for:
// its options cannot be changed any more.
func (w *warm) fits(c command) bool {
	return c.interpreter == w.command.interpreter && slices.Equal(c.options, w.command.options)
}

// take returns a spare, which is then the caller's, or says why there is none.
func (w *warm) take() (*spare, error) {
	w.mu.Lock()
	why := w.why
	w.mu.Unlock()
	if why != nil {
		return nil, why
	}
	select {
	case s := <-w.spares:
		return s, nil
	default:
	}
	select {
	case w.hurry <- struct{}{}:
	default:
	}
	timer := time.NewTimer(forkWait)
	defer timer.Stop()
	select {
	case s := <-w.spares:
		return s, nil
	case <-w.done:
		return nil, errors.New("the fork server ended")
	case <-timer.C:
		return nil, fmt.Errorf("the fork server has forked nothing for %v", forkWait)
	}
}

func (w *warm) set(why error) {
	w.mu.Lock()
	w.why = why
	w.mu.Unlock()
}

// off says why there will be no spares.
func (w *warm) off(why error) {
	w.set(why)
	w.log.say("runs start without preloaded modules: %v", why)
}

func (w *warm) run() {
	defer close(w.done)
	// Spares lose their parent at once, and are ours.
	if err := supervise.Subreaper(); err != nil {
		w.off(err)
		return
	}
	for range lives {
		begun := time.Now()
		s, err := w.begin()
		if err != nil {
			if !w.isClosing() {
				w.off(err)
			}
			return
		}
		w.set(nil)
		w.log.say("runs are forked from a Python that has imported %s, in %.1f s", strings.Join(w.options.Preload, ", "), time.Since(begun).Seconds())
		err = w.offer(s)
		s.close()
		if w.isClosing() {
			return
		}
		w.set(fmt.Errorf("the fork server was lost (%w) and starts anew", err))
	}
	w.off(fmt.Errorf("the fork server was lost %d times", lives))
}

// begin starts an interpreter and returns when the modules are imported.
func (w *warm) begin() (*server, error) {
	name := w.command.interpreter
	if strings.Contains(name, "/") && !filepath.IsAbs(name) {
		name = filepath.Join(w.spec.Dir, name)
	}
	if mount := w.options.Mount; mount != "" && strings.HasPrefix(name, mount+"/") {
		return nil, errors.New("the interpreter lies in the code")
	}
	// An empty folder, by which entries of PYTHONPATH that mean the working
	// directory are told from others.
	home := filepath.Join(w.options.Dir, "fork")
	if err := os.MkdirAll(home, 0o777); err != nil {
		return nil, err
	}
	spec := supervise.Spec{Argv: append([]string{name}, w.command.options...), Dir: home}
	for _, e := range w.spec.Env {
		if name, _, _ := strings.Cut(e, "="); !perGeneration[name] {
			spec.Env = append(spec.Env, e)
		}
	}
	behind := []string{"4", w.options.Mount, fmt.Sprint(len(w.options.Preload))}
	behind = slices.Concat(behind, w.options.Preload, []string{w.command.program}, w.command.args)
	s, err := newServer(spec, behind, w.options)
	if err != nil {
		return nil, err
	}
	go func() {
		select {
		case <-w.closing:
			s.kill()
		case <-s.process.Done:
		}
	}()
	return s, s.ready()
}

// offer forks spares, one at a time, until the interpreter ends.
func (w *warm) offer(z *server) error {
	for {
		s, err := z.fork()
		if err != nil {
			return err
		}
		select {
		case w.spares <- s:
		case <-s.process.Done:
			s.close()
			return fmt.Errorf("what it forked ended with %s", ended(s.process))
		case <-z.process.Done:
			s.close()
			return fmt.Errorf("it ended with %s", ended(z.process))
		case <-w.closing:
			s.close()
			return nil
		}
		timer := time.NewTimer(refill)
		select {
		case <-timer.C:
		case <-w.hurry:
		case <-w.closing:
		}
		timer.Stop()
	}
}

func (w *warm) isClosing() bool {
	select {
	case <-w.closing:
		return true
	default:
		return false
	}
}

// close ends the interpreter and its spare; call it once.
func (w *warm) close() {
	close(w.closing)
	<-w.done
}
