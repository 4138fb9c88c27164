// Package session is the laptop's side of the reload engine: one open stream
// a rank, and the gang that moves together. It knows no Kubernetes; who uses
// it hands in how to dial a rank.
package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

// Rank is one process of the gang.
type Rank struct {
	ID    string // unique: pod UID and container
	Name  string // for people
	Index int    // the rank's number, -1 when it has none
}

// Connection says how a rank was reached.
type Connection struct {
	Rank      Rank
	Dialled   time.Time
	Transport string // "" when the stream does not say
	Fallback  error  // why the transport is not the first choice; nil: it is
}

// transported is a stream that says what it travels on.
type transported interface {
	Transport() (name string, fallback error)
}

// isPermanent tells whether an error says of itself that dialling again is of
// no use.
func isPermanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}

// Dial opens the stream to a rank's agent. An error with a method Permanent
// that returns true ends the gang; after any other the rank is dialled again.
type Dial func(ctx context.Context, rank Rank) (io.ReadWriteCloser, error)

// RankError says which rank failed.
type RankError struct {
	Rank Rank
	Err  error
}

func (e *RankError) Error() string {
	if e.Rank.Index >= 0 {
		return fmt.Sprintf("rank %d (%s): %v", e.Rank.Index, e.Rank.Name, e.Err)
	}
	return fmt.Sprintf("%s: %v", e.Rank.Name, e.Err)
}
func (e *RankError) Unwrap() error { return e.Err }

// refusal is an agent's word that it will not do what it was asked; the rank
// is as it was.
type refusal struct{ error }

func (e refusal) Unwrap() error { return e.error }

// unread is a content that cannot be read on this machine; no rank was asked
// for anything it will not do.
type unread struct {
	error
	partly bool // frames before it were sent
}

func (e unread) Unwrap() error { return e.error }

// conn is an open stream to one rank. Its requests are made one at a time.
type conn struct {
	rank    Rank
	stream  io.ReadWriteCloser
	in      *wire.Reader
	out     *wire.Writer
	events  *Events
	beat    wire.Heartbeat
	dialled time.Time
	welcome wire.Welcome
	index   tree.Index // what the rank holds, where known
	// reported says that the receipt of what runs was handed out; Run's.
	reported bool
	flow     *flow

	answers chan wire.Message
	done    chan struct{}
	once    sync.Once
	err     error // why the stream ended; only after done
}

// silentError says that nothing was heard of the rank for too long.
type silentError struct{ after time.Duration }

func (e *silentError) Error() string {
	return fmt.Sprintf("the rank has not answered for %v", e.after)
}

// open dials a rank and exchanges HELLO.
func open(ctx context.Context, dial Dial, rank Rank, hello wire.Hello, events *Events, beat wire.Heartbeat) (*conn, error) {
	beat = beat.OrDefault()
	// A stream that opens and then says nothing must not hold the rank for ever.
	timed, cancel := context.WithTimeoutCause(ctx, 2*beat.Lost, &silentError{2 * beat.Lost})
	defer cancel()
	dialled := time.Now()
	stream, err := dial(ctx, rank)
	if err != nil {
		return nil, &RankError{rank, err}
	}
	flow := &flow{stream: stream, heard: make(chan struct{}, 1)}
	c := &conn{
		rank: rank, stream: stream, dialled: dialled, in: wire.NewReader(flow), out: wire.NewWriter(flow), flow: flow, events: events, beat: beat,
		answers: make(chan wire.Message, 1), done: make(chan struct{}),
	}
	stop := context.AfterFunc(timed, func() { _ = stream.Close() })
	hello.Min, hello.Max = wire.MinVersion, wire.MaxVersion
	err = c.greet(&hello)
	if !stop() && err == nil {
		err = context.Cause(timed)
	}
	if err != nil {
		_ = stream.Close()
		return nil, &RankError{rank, err}
	}
	go c.read()
	go c.heartbeat()
	return c, nil
}

// connection says how the rank was reached.
func (c *conn) connection() Connection {
	how := Connection{Rank: c.rank, Dialled: c.dialled}
	if t, ok := c.stream.(transported); ok {
		how.Transport, how.Fallback = t.Transport()
	}
	return how
}

func (c *conn) greet(hello *wire.Hello) error {
	if err := c.out.Send(hello); err != nil {
		return err
	}
	m, err := c.in.Read()
	if err != nil {
		return err
	}
	switch m := m.(type) {
	case *wire.Welcome:
		c.welcome = *m
		return nil
	case *wire.Refused:
		return m.Reason()
	}
	return fmt.Errorf("%v where WELCOME was expected", m.Type())
}

// read hands answers to the one who waits for them.
func (c *conn) read() {
	for {
		m, err := c.in.Read()
		if err != nil {
			c.close(err)
			return
		}
		switch m := m.(type) {
		case *wire.Pong:
		case *wire.Exited:
			if c.events.Exited != nil {
				c.events.Exited(c.rank, *m)
			}
		case *wire.Notice:
			if c.events.Notice != nil {
				c.events.Notice(c.rank, m.Text)
			}
		default:
			select {
			case c.answers <- m:
			case <-c.done:
				return
			}
		}
	}
}

func (c *conn) heartbeat() {
	ping := time.NewTicker(c.beat.Every)
	defer ping.Stop()
	lost := time.NewTimer(c.beat.Lost)
	defer lost.Stop()
	taken := int64(0)
	for {
		select {
		case <-c.done:
			return
		case <-c.flow.heard:
			lost.Reset(c.beat.Lost)
		case <-ping.C:
			// A write that blocks is a rank that does not read; lost ends it.
			go func() { _ = c.out.Send(&wire.Ping{}) }()
		case <-lost.C:
			// A rank that takes a large delivery lives: its answers, those to
			// PING too, come when it has read what was sent before.
			if now := c.flow.taken.Load(); now != taken {
				taken = now
				lost.Reset(c.beat.Lost)
				continue
			}
			c.close(&silentError{c.beat.Lost})
			return
		}
	}
}

func (c *conn) close(err error) {
	c.once.Do(func() {
		c.err = err
		close(c.done)
		_ = c.stream.Close()
	})
}

// receive waits for an answer. A REFUSED is an error.
func (c *conn) receive(ctx context.Context) (wire.Message, error) {
	select {
	case m := <-c.answers:
		if r, ok := m.(*wire.Refused); ok {
			return nil, refusal{r.Reason()}
		}
		return m, nil
	case <-c.done:
		return nil, c.err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// stage brings a version to the rank, up to STAGED. With a commit that
// follows at once, in the same piece, a lone rank needs no second round trip.
func (c *conn) stage(ctx context.Context, number uint64, v *Version, commit *wire.Commit) error {
	base, push := c.index, true
	if base == nil {
		// An empty volume gets everything; one that holds a tree which this
		// session does not know is asked what it lacks.
		push = c.welcome.Digest.IsZero()
	}
	frames := v.frames(ctx, number, base, push, commit != nil)
	for {
		if err := c.send(frames, commit); err != nil {
			return err
		}
		m, err := c.receive(ctx)
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case *wire.Staged:
			if m.Digest != v.Digest {
				return fmt.Errorf("staged %s, want %s", m.Digest.Short(), v.Digest.Short())
			}
			return nil
		case *wire.Need:
			switch {
			case len(m.Sums) > 0:
				frames = v.contents(ctx, number, base, m.Sums, commit != nil)
			case base == nil:
				return errors.New("the rank takes no tree at all")
			default:
				base, c.index = nil, nil
				frames = v.frames(ctx, number, nil, false, commit != nil)
			}
		default:
			return fmt.Errorf("%v where STAGED was expected", m.Type())
		}
	}
}

// send writes frames as they are made, and commit in one piece with the last.
func (c *conn) send(f *frames, commit *wire.Commit) error {
	for n, last := 0, false; !last; {
		var ready [][]byte
		var err error
		if ready, last, err = f.from(n); err != nil {
			return unread{err, n > 0}
		}
		if last && len(ready) == 0 {
			return errors.New("a difference ended without its last frame")
		}
		n += len(ready)
		for i := range ready {
			piece := ready[i : i+1]
			if last && commit != nil && i == len(ready)-1 {
				piece = append(piece, wire.Frame(commit))
			}
			if err := c.out.SendFrames(piece...); err != nil {
				return err
			}
			c.flow.taken.Add(1)
		}
	}
	return nil
}

// commit makes the staged version run. Pipelined says that COMMIT has been
// sent already.
func (c *conn) commit(ctx context.Context, v *Version, m *wire.Commit, pipelined bool) (*wire.Receipt, error) {
	for {
		if !pipelined {
			if err := c.out.Send(m); err != nil {
				return nil, err
			}
		}
		pipelined = false
		answer, err := c.receive(ctx)
		if err != nil {
			return nil, err
		}
		switch answer := answer.(type) {
		case *wire.Running:
			c.index = v.Index
			c.welcome.Generation, c.welcome.Digest = m.Generation, v.Digest
			r := answer.Receipt
			r.Rank = c.rank.Index
			return &r, nil
		case *wire.Need:
			// A program has written to files of the tree that the new one shares.
			if err := c.send(v.contents(ctx, m.Generation, c.index, answer.Sums, false), nil); err != nil {
				return nil, err
			}
			if _, err := c.receive(ctx); err != nil { // STAGED
				return nil, err
			}
		default:
			return nil, fmt.Errorf("%v where RUNNING was expected", answer.Type())
		}
	}
}

// Verify asks a rank what it has on disk; it may run beside a dev.
func Verify(ctx context.Context, dial Dial, rank Rank) (*wire.Verified, error) {
	var c *conn
	err := Retry(ctx, func() (err error) {
		c, err = open(ctx, dial, rank, wire.Hello{Role: wire.Observer}, &Events{}, wire.Heartbeat{})
		return err
	})
	if err != nil {
		return nil, err
	}
	defer c.close(io.EOF)
	if err := c.out.Send(&wire.Verify{}); err != nil {
		return nil, &RankError{rank, err}
	}
	m, err := c.receive(ctx)
	if err != nil {
		return nil, &RankError{rank, err}
	}
	v, ok := m.(*wire.Verified)
	if !ok {
		return nil, &RankError{rank, fmt.Errorf("%v where VERIFIED was expected", m.Type())}
	}
	return v, nil
}
