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

// Dial opens the stream to a rank's agent.
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

// BusyError says that another client delivers to the rank.
type BusyError struct{ Message string }

func (e *BusyError) Error() string { return e.Message }

// conn is an open stream to one rank. Its requests are made one at a time.
type conn struct {
	rank   Rank
	stream io.ReadWriteCloser
	wire   *wire.Conn
	hello  wire.Hello
	index  tree.Index // what the rank holds, where known
	exited func(Rank, wire.Exited)
	// reported says that the receipt of what runs was handed out; Run's.
	reported bool

	answers chan wire.Frame
	done    chan struct{}
	once    sync.Once
	err     error // why the stream ended; only after done
}

// errLost says that nothing was heard of the rank for too long.
var errLost = errors.New("the rank has not answered for 15 s")

// open dials a rank and exchanges HELLO.
func open(ctx context.Context, dial Dial, rank Rank, hello wire.Hello, exited func(Rank, wire.Exited)) (*conn, error) {
	stream, err := dial(ctx, rank)
	if err != nil {
		return nil, &RankError{rank, err}
	}
	c := &conn{rank: rank, stream: stream, wire: wire.NewConn(stream), exited: exited, answers: make(chan wire.Frame, 1), done: make(chan struct{})}
	stop := context.AfterFunc(ctx, func() { _ = stream.Close() })
	hello.MinVersion, hello.Version = 1, wire.Version
	err = func() error {
		if err := c.wire.Write(wire.TypeHello, hello); err != nil {
			return err
		}
		if err := c.wire.Accept(); err != nil {
			return err
		}
		f, err := c.wire.Read()
		if err != nil {
			return err
		}
		if f.Type == wire.TypeRefused {
			return refused(f)
		}
		return f.Decode(&c.hello)
	}()
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		_ = stream.Close()
		return nil, &RankError{rank, err}
	}
	heard := make(chan struct{}, 1)
	go c.read(heard)
	go c.heartbeat(heard)
	return c, nil
}

// read hands answers to the one who waits for them.
func (c *conn) read(heard chan<- struct{}) {
	for {
		f, err := c.wire.Read()
		if err != nil {
			c.close(err)
			return
		}
		select {
		case heard <- struct{}{}:
		default:
		}
		switch f.Type {
		case wire.TypePong:
		case wire.TypeExited:
			var m wire.Exited
			if f.Decode(&m) == nil && c.exited != nil {
				c.exited(c.rank, m)
			}
		default:
			select {
			case c.answers <- f:
			case <-c.done:
				return
			}
		}
	}
}

func (c *conn) heartbeat(heard <-chan struct{}) {
	ping := time.NewTicker(wire.HeartbeatEvery)
	defer ping.Stop()
	lost := time.NewTimer(wire.HeartbeatLost)
	defer lost.Stop()
	for {
		select {
		case <-c.done:
			return
		case <-heard:
			lost.Reset(wire.HeartbeatLost)
		case <-ping.C:
			// A write that blocks is a rank that does not read; lost ends it.
			go func() { _ = c.wire.Write(wire.TypePing, nil) }()
		case <-lost.C:
			c.close(errLost)
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

// receive waits for an answer of a type.
func (c *conn) receive(ctx context.Context, want wire.Type, into any) error {
	select {
	case f := <-c.answers:
		if f.Type == wire.TypeRefused {
			return refused(f)
		}
		if f.Type != want {
			return fmt.Errorf("answer of type %d, want %d", f.Type, want)
		}
		return f.Decode(into)
	case <-c.done:
		return c.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func refused(f wire.Frame) error {
	var r wire.Refused
	if err := f.Decode(&r); err != nil {
		return err
	}
	if r.Code == wire.CodeBusy {
		return &BusyError{r.Message}
	}
	return &r
}

// prepare brings a version to the rank, up to STAGED.
func (c *conn) prepare(ctx context.Context, number uint64, v *Version) error {
	for _, full := range []bool{c.index == nil, true} {
		m := wire.Prepare{Generation: number, Root: v.Digest}
		base := c.index
		if full {
			base = nil
		} else {
			m.Base = base.Digest()
		}
		changes := v.Index.Diff(base)
		m.Puts, m.Deletes = changes.Puts, changes.Deletes
		err := c.deliver(ctx, m, v, base)
		var no *wire.Refused
		if errors.As(err, &no) && no.Code == wire.CodeBase && !full {
			continue
		}
		return err
	}
	return nil
}

func (c *conn) deliver(ctx context.Context, m wire.Prepare, v *Version, base tree.Index) error {
	if err := c.wire.Write(wire.TypePrepare, m); err != nil {
		return err
	}
	var need wire.Need
	if err := c.receive(ctx, wire.TypeNeed, &need); err != nil {
		return err
	}
	for _, sum := range need.Sums {
		content, err := v.encoded(sum, base)
		if err != nil {
			return err
		}
		if err := c.wire.QueueContent(content); err != nil {
			return err
		}
	}
	if err := c.wire.Write(wire.TypeStage, nil); err != nil {
		return err
	}
	var staged wire.Staged
	if err := c.receive(ctx, wire.TypeStaged, &staged); err != nil {
		return err
	}
	if staged.Digest != v.Digest {
		return fmt.Errorf("staged %s, want %s", staged.Digest.Short(), v.Digest.Short())
	}
	return nil
}

// commit makes the staged version run.
func (c *conn) commit(ctx context.Context, number uint64, v *Version) (*wire.Receipt, error) {
	if err := c.wire.Write(wire.TypeCommit, wire.Commit{Generation: number}); err != nil {
		return nil, err
	}
	var r wire.Receipt
	if err := c.receive(ctx, wire.TypeRunning, &r); err != nil {
		return nil, err
	}
	c.index = v.Index
	c.hello.Generation, c.hello.Digest = number, v.Digest
	r.Rank = c.rank.Index
	return &r, nil
}

// Verify asks a rank what it has on disk; it may run beside a dev.
func Verify(ctx context.Context, dial Dial, rank Rank) (*wire.Verified, error) {
	c, err := open(ctx, dial, rank, wire.Hello{Observer: true}, nil)
	if err != nil {
		return nil, err
	}
	defer c.close(io.EOF)
	if err := c.wire.Write(wire.TypeVerify, nil); err != nil {
		return nil, &RankError{rank, err}
	}
	var v wire.Verified
	if err := c.receive(ctx, wire.TypeVerified, &v); err != nil {
		return nil, &RankError{rank, err}
	}
	return &v, nil
}
