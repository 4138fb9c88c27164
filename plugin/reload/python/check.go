package python

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/supervise"
)

// CheckWait is how long a Check may hold a save. Chosen: a file takes a
// millisecond, two hundred some fifty (measured).
const CheckWait = 500 * time.Millisecond

// largestRequest bounds a request in bytes; files beyond it go unchecked.
const largestRequest = 1 << 20

// Change is the way from the tree that runs to the one that is to run.
type Change struct {
	Before string   // folder of the tree that runs; empty: none does
	Dir    string   // folder of the tree that is to run
	Paths  []string // what differs in it, slash-separated; others than .py are left out
}

// Checker compiles files in a resident interpreter. It is safe for concurrent
// use; checks go one after another.
type Checker struct {
	spec supervise.Spec // whose interpreter it is
	wait time.Duration
	once

	mu       sync.Mutex // held while a check is under way
	number   uint64
	resident *resident // nil: none, or it starts
	off      error     // why there will never be one; ErrNotPython: the code may bring one
	starting chan struct{}
	closing  chan struct{} // closed by Close
}

// resident is the process of check.py.
type resident struct {
	process *supervise.Process
	in, out *os.File
	lines   *bufio.Reader
}

func (r *resident) close() {
	_ = r.in.Close()
	r.process.Stop(syscall.SIGKILL, 0)
	_ = r.out.Close()
}

// NewChecker returns a checker for what spec runs, in the background of which
// its process starts. Stop it with Close.
func NewChecker(spec supervise.Spec, log Printf) *Checker {
	c := &Checker{spec: spec, wait: CheckWait, once: once{log: log}, closing: make(chan struct{})}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.startLocked()
	return c
}

// startLocked starts the process in the background; the caller holds the mutex.
func (c *Checker) startLocked() {
	if (c.off != nil && !errors.Is(c.off, ErrNotPython)) || c.starting != nil || c.isClosing() {
		return
	}
	started := make(chan struct{})
	c.starting = started
	go func() {
		defer close(started)
		r, err := c.begin()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.starting = nil
		switch {
		case err != nil:
			c.off = err
		case c.isClosing():
			r.close()
		default:
			c.resident, c.off = r, nil
		}
	}()
}

// begin starts the process and returns when it is ready.
func (c *Checker) begin() (*resident, error) {
	name, err := checker(c.spec)
	if err != nil {
		return nil, err
	}
	file, err := supervise.Look(supervise.Spec{Argv: []string{name}, Dir: c.spec.Dir, Env: c.spec.Env})
	if err != nil {
		return nil, err
	}
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = null.Close() }()
	inRead, inWrite, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer func() { _ = inRead.Close() }()
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		_ = inWrite.Close()
		return nil, err
	}
	defer func() { _ = outWrite.Close() }()
	// Neither the environment's paths nor site: the compiler is built in.
	spec := supervise.Spec{Argv: []string{file, "-I", "-S", "-W", "ignore"}, Dir: "/", Env: c.spec.Env}
	p, err := start(spec, checkSource, nil, inRead, outWrite, null)
	if err != nil {
		_, _ = inWrite.Close(), outRead.Close()
		return nil, err
	}
	_ = outWrite.Close() // or the process's end would not be ours
	r := &resident{process: p, in: inWrite, out: outRead, lines: newLines(outRead)}
	ready := make(chan struct{})
	defer close(ready)
	go func() {
		select {
		case <-c.closing:
			p.Stop(syscall.SIGKILL, 0)
		case <-ready:
		}
	}()
	word, err := line(r.lines)
	if err != nil || !strings.HasPrefix(word, "ready ") {
		r.close()
		if err == nil {
			return nil, fmt.Errorf("%s: %s", file, strings.TrimPrefix(word, "no "))
		}
		return nil, fmt.Errorf("%s ended with %s", file, ended(p))
	}
	return r, nil
}

// Check returns a *SyntaxError, or several joined in the order of paths, when
// files of a change would not compile. It takes CheckWait at most, and returns
// nil for what it could not check: the log says so once.
func (c *Checker) Check(ctx context.Context, change Change) error {
	body := []byte(change.Before + "\x00" + change.Dir)
	var paths []string
	for _, p := range change.Paths {
		if strings.HasSuffix(p, ".py") && len(body)+len(p) < largestRequest {
			body = append(append(body, 0), p...)
			paths = append(paths, p)
		}
	}
	if len(paths) == 0 {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.readyLocked()
	if r == nil {
		return nil
	}
	c.number++
	found, err := c.ask(ctx, r, paths, body)
	if err != nil {
		// What it would still say answers nobody: begin anew.
		r.close()
		c.resident = nil
		c.startLocked()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			err = fmt.Errorf("checking takes more than %v", c.wait)
		}
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		c.say("not all changed Python files were checked before they run: %v", err)
	}
	errs := make([]error, len(found))
	for i, e := range found {
		errs[i] = e
	}
	if len(errs) == 1 {
		return errs[0]
	}
	return errors.Join(errs...)
}

// readyLocked returns the process, or nil after saying why there is none.
func (c *Checker) readyLocked() *resident {
	if r := c.resident; r != nil {
		select {
		case <-r.process.Done:
			r.close()
			c.resident = nil
			c.startLocked()
			if exit := r.process.Exit(); exit.Code == 0 {
				c.say("Python files are not checked before they run: the checker starts anew")
			} else {
				c.say("Python files are not checked before they run: the checker ended with %s and starts anew", ended(r.process))
			}
			return nil
		default:
			return r
		}
	}
	why := c.off
	if why == nil {
		why = errors.New("the checker still starts")
	}
	c.say("Python files are not checked before they run: %v", why)
	c.startLocked()
	return nil
}

// ask sends a request and returns what is answered in time.
func (c *Checker) ask(ctx context.Context, r *resident, paths []string, body []byte) ([]*SyntaxError, error) {
	until := time.Now().Add(c.wait)
	if err := errors.Join(r.in.SetWriteDeadline(until), r.out.SetReadDeadline(until)); err != nil {
		return nil, err
	}
	ending := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { // a past deadline ends both
		_, _ = r.in.SetWriteDeadline(time.Unix(1, 0)), r.out.SetReadDeadline(time.Unix(1, 0))
		close(ending)
	})
	defer func() {
		if !stop() {
			<-ending // or it would end the next request
		}
	}()
	request := fmt.Appendf(nil, "%d\x00%s", c.number, body)
	if _, err := fmt.Fprintf(r.in, "%d\n%s", len(request), request); err != nil {
		return nil, err
	}
	return answers(r.lines, c.number, paths)
}

func (c *Checker) isClosing() bool {
	select {
	case <-c.closing:
		return true
	default:
		return false
	}
}

// Close ends the process; call it once.
func (c *Checker) Close() {
	close(c.closing)
	c.mu.Lock()
	r, starting := c.resident, c.starting
	c.resident = nil
	c.mu.Unlock()
	if r != nil {
		r.close()
	}
	if starting != nil {
		<-starting
	}
}
