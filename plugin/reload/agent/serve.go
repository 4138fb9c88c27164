package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/generation"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/python"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

// client is a connected laptop.
type client struct {
	role    wire.Role
	session string
	name    string // for people
	in      *wire.Reader
	out     *wire.Writer
	hangUp  func()
	gone    chan struct{} // closed when the stream's goroutine is over

	generation uint64    // of the last PREPARE
	received   time.Time // its first frame
	staged     time.Time
	puts       []string // its paths that are new or changed
	checked    bool     // these were looked at
	complete   bool     // its last frame has come
	failed     error    // of a frame before the last
	refused    bool     // a pipelined COMMIT of that generation is dropped
	content    *content
}

// serve speaks with one client until it goes.
func (a *Agent) serve(ctx context.Context, stream net.Conn) {
	defer func() { _ = stream.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = stream.Close() })
	defer stop()
	pulse := newPulse(stream, a.Heartbeat.Lost)
	c := &client{in: wire.NewReader(pulse), out: pulse.out, hangUp: func() { _ = stream.Close() }, gone: make(chan struct{})}
	first, err := c.in.Read()
	if err != nil {
		return
	}
	hello, ok := first.(*wire.Hello)
	if !ok {
		return
	}
	defer a.leave(c)
	if err := a.welcome(c, hello); err != nil {
		_ = c.out.Send(wire.Refuse(0, err))
		return
	}
	pulse.heard = true
	for {
		m, err := c.in.Read()
		if err != nil {
			return
		}
		if err := a.handle(ctx, c, m); err != nil {
			return
		}
	}
}

// welcome answers HELLO. It returns a *wire.VersionError or *wire.BusyError.
func (a *Agent) welcome(c *client, hello *wire.Hello) error {
	if hello.Max < wire.MinVersion || hello.Min > wire.MaxVersion {
		return &wire.VersionError{AgentMin: wire.MinVersion, AgentMax: wire.MaxVersion, Min: hello.Min, Max: hello.Max}
	}
	c.role, c.session, c.name = hello.Role, hello.Session, hello.Owner
	mine := &wire.Welcome{Version: min(hello.Max, wire.MaxVersion), Pod: a.Pod, PodUID: a.PodUID, Container: a.Container}
	a.mu.Lock()
	if c.role == wire.Owner {
		for a.owner != nil {
			if a.owner.session != c.session {
				defer a.mu.Unlock()
				return &wire.BusyError{Owner: a.owner.name}
			}
			// Its own earlier stream, which it has lost: what that one still
			// does must not meet what this one begins.
			old := a.owner
			a.mu.Unlock()
			old.hangUp()
			<-old.gone
			a.mu.Lock()
		}
		a.owner = c
	}
	mine.Generation, mine.Digest = a.store.Current()
	if a.receipt != nil && a.receipt.Generation == mine.Generation {
		mine.Receipt = a.receipt
	}
	a.mu.Unlock()
	return c.out.Send(mine)
}

// leave frees the rank for another client. What was half-done is undone.
func (a *Agent) leave(c *client) {
	defer close(c.gone)
	c.content.abort()
	a.mu.Lock()
	mine := a.owner == c
	if mine {
		a.owner = nil
	}
	a.mu.Unlock()
	if mine {
		a.resume()
	}
}

// handle answers a message. An error ends the stream; what an agent will not
// do is answered instead.
func (a *Agent) handle(ctx context.Context, c *client, message wire.Message) error {
	if c.role != wire.Owner {
		switch message.(type) {
		case *wire.Prepare, *wire.Commit:
			return c.out.Send(wire.Refuse(0, errors.New("an observer cannot publish")))
		}
	}
	switch m := message.(type) {
	case *wire.Ping:
		return c.out.Send(&wire.Pong{})
	case *wire.Prepare:
		defer a.sign(c)()
		return a.answer(c, m.Generation, a.prepare(ctx, c, m))
	case *wire.Commit:
		defer a.sign(c)()
		if m.Pipelined && (c.refused || c.generation != m.Generation) {
			return nil // the answer to PREPARE said why
		}
		if c.generation == m.Generation && !c.staged.IsZero() {
			if err := a.vet(ctx, c); err != nil {
				return a.answer(c, m.Generation, err)
			}
		}
		receipt, err := a.commit(ctx, c, *m)
		if err != nil {
			return a.answer(c, m.Generation, err)
		}
		return c.out.Send(&wire.Running{Receipt: *receipt})
	case *wire.Verify:
		defer a.sign(c)()
		number, digest, found, err := a.store.Verify()
		if err != nil {
			return a.answer(c, 0, err)
		}
		answer := &wire.Verified{Generation: number, Digest: digest, Total: len(found)}
		for _, d := range found[:min(len(found), wire.MaxDifferences)] {
			answer.Differences = append(answer.Differences, wire.Difference(d))
		}
		return c.out.Send(answer)
	}
	return fmt.Errorf("%v from a client", message.Type())
}

// sign tells the client from time to time that the agent is there while it is
// too busy to read: a process may take long to stop.
func (a *Agent) sign(c *client) (end func()) {
	done := make(chan struct{})
	timer := time.AfterFunc(a.Heartbeat.Every, func() {
		tick := time.NewTicker(a.Heartbeat.Every)
		defer tick.Stop()
		for {
			if c.out.Send(&wire.Pong{}) != nil {
				return
			}
			select {
			case <-done:
				return
			case <-tick.C:
			}
		}
	})
	return func() { timer.Stop(); close(done) }
}

// answer says why something was not done.
func (a *Agent) answer(c *client, number uint64, err error) error {
	if err == nil {
		return nil
	}
	c.refused = true
	var missing *generation.MissingError
	switch {
	case errors.Is(err, generation.ErrBase):
		return c.out.Send(&wire.Need{Generation: number})
	case errors.As(err, &missing):
		return c.out.Send(&wire.Need{Generation: number, Sums: missing.Sums})
	}
	a.resume()
	return c.out.Send(wire.Refuse(number, typed(err)))
}

// typed turns what the volume says into what the wire carries.
func typed(err error) error {
	var noSpace *generation.NoSpaceError
	var digest *generation.DigestError
	var path *tree.PathError
	var syntax *python.SyntaxError
	switch {
	case errors.As(err, &noSpace):
		return &wire.NoSpaceError{Path: noSpace.Dir, Need: -1, Free: -1}
	case errors.As(err, &digest):
		return &wire.TreeError{Reason: digest.Error()}
	case errors.As(err, &path):
		return &wire.TreeError{Path: path.Path, Reason: path.Reason}
	case errors.As(err, &syntax):
		return &wire.SyntaxError{Text: err.Error()}
	}
	return err
}
