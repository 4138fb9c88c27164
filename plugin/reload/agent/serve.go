package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/generation"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

// client is a connected laptop.
type client struct {
	name string
	conn *wire.Conn

	received time.Time // of the last PREPARE
	prepared uint64
	parts    map[[32]byte]wire.Content // contents whose parts still come
	held     int                       // bytes of parts
}

// serve speaks with one client until it goes.
func (a *Agent) serve(ctx context.Context, stream net.Conn) {
	defer func() { _ = stream.Close() }()
	stop := context.AfterFunc(ctx, func() { _ = stream.Close() })
	defer stop()
	alive := func() { _ = stream.SetReadDeadline(time.Now().Add(wire.HeartbeatLost)) }
	alive()
	c := &client{conn: wire.NewConn(stream), parts: map[[32]byte]wire.Content{}}
	if c.conn.Accept() != nil {
		return
	}
	f, err := c.conn.Read()
	if err != nil || f.Type != wire.TypeHello {
		return
	}
	var hello wire.Hello
	if f.Decode(&hello) != nil {
		return
	}
	if !a.welcome(c, hello) {
		return
	}
	defer func() {
		a.mu.Lock()
		if a.client == c {
			a.client = nil
		}
		a.mu.Unlock()
	}()
	for {
		alive()
		f, err := c.conn.Read()
		if err != nil {
			return
		}
		if hello.Observer && f.Type != wire.TypeVerify && f.Type != wire.TypePing {
			return
		}
		if err := a.handle(c, f); err != nil {
			if c.conn.Write(wire.TypeRefused, refusal(c.prepared, err)) != nil {
				return
			}
		}
	}
}

// welcome answers HELLO; false: the client was refused.
func (a *Agent) welcome(c *client, hello wire.Hello) bool {
	c.name = hello.Client
	mine := wire.Hello{MinVersion: 1, Version: wire.Version, Pod: a.Pod, PodUID: a.PodUID, Container: a.Container}
	if wire.Common(mine, hello) == 0 {
		_ = c.conn.Write(wire.TypeRefused, wire.Refused{Code: wire.CodeVersion, Message: fmt.Sprintf("the agent speaks version %d, the client %d to %d", wire.Version, hello.MinVersion, hello.Version)})
		return false
	}
	a.mu.Lock()
	if !hello.Observer {
		if a.client != nil {
			other := a.client.name
			a.mu.Unlock()
			_ = c.conn.Write(wire.TypeRefused, wire.Refused{Code: wire.CodeBusy, Message: "another kubectl ai dev is connected: " + other})
			return false
		}
		a.client = c
	}
	mine.Generation, mine.Digest = a.store.Current()
	if a.receipt != nil && a.receipt.Generation == mine.Generation {
		mine.Receipt = a.receipt
	}
	a.mu.Unlock()
	return c.conn.Write(wire.TypeHello, mine) == nil
}

func (a *Agent) handle(c *client, f wire.Frame) error {
	switch f.Type {
	case wire.TypePing:
		return c.conn.Write(wire.TypePong, nil)
	case wire.TypePrepare:
		return a.prepare(c, f)
	case wire.TypeContent:
		return a.content(c, f)
	case wire.TypeStage:
		digest, err := a.store.Stage()
		if err != nil {
			return err
		}
		return c.conn.Write(wire.TypeStaged, wire.Staged{Generation: c.prepared, Digest: digest})
	case wire.TypeCommit:
		var m wire.Commit
		if err := f.Decode(&m); err != nil {
			return err
		}
		receipt, err := a.commit(m.Generation, c.received)
		if err != nil {
			return err
		}
		return c.conn.Write(wire.TypeRunning, receipt)
	case wire.TypeVerify:
		number, digest, found, err := a.store.Verify()
		if err != nil {
			return err
		}
		answer := wire.Verified{Generation: number, Digest: digest}
		for _, d := range found {
			answer.Differences = append(answer.Differences, wire.Difference(d))
		}
		return c.conn.Write(wire.TypeVerified, answer)
	}
	return fmt.Errorf("frame of unknown type %d", f.Type)
}

// prepare asks for what is missing. A change that brings its own contents
// needs no answer: the client sends them along, and NEED only names what else
// has to come.
func (a *Agent) prepare(c *client, f wire.Frame) error {
	c.received = time.Now()
	c.parts, c.held = map[[32]byte]wire.Content{}, 0
	var m wire.Prepare
	if err := f.Decode(&m); err != nil {
		return err
	}
	c.prepared = m.Generation
	full := m.Base == tree.Digest{}
	if _, have := a.store.Current(); !full && have != m.Base {
		return &wire.Refused{Code: wire.CodeBase, Message: "the rank holds " + have.Short() + ", not " + m.Base.Short()}
	}
	need, err := a.store.Prepare(m.Generation, m.Root, full, tree.Changes{Puts: m.Puts, Deletes: m.Deletes})
	if err != nil {
		return err
	}
	return c.conn.Write(wire.TypeNeed, wire.Need{Sums: need})
}

// content takes a part of a file, and the file when it was the last.
func (a *Agent) content(c *client, f wire.Frame) error {
	part, err := f.Content()
	if err != nil {
		return err
	}
	whole := c.parts[part.Sum]
	whole.Sum, whole.Encoding, whole.Base = part.Sum, part.Encoding, part.Base
	whole.Bytes = append(whole.Bytes, part.Bytes...)
	if c.held += len(part.Bytes); c.held > wire.MaxFile {
		return fmt.Errorf("a file of more than %d bytes cannot be delivered", wire.MaxFile)
	}
	if part.More {
		c.parts[part.Sum] = whole
		return nil
	}
	delete(c.parts, part.Sum)
	c.held -= len(whole.Bytes)
	var base []byte
	if whole.Base != [32]byte{} {
		if base, err = a.store.Base(whole.Base); err != nil {
			return err
		}
	}
	content, err := wire.Decode(whole, base)
	if err != nil {
		return err
	}
	return a.store.Put(whole.Sum, content)
}

// refusal gives an error its code.
func refusal(number uint64, err error) *wire.Refused {
	var refused *wire.Refused
	if errors.As(err, &refused) {
		refused.Generation = number
		return refused
	}
	r := &wire.Refused{Generation: number, Code: wire.CodeIO, Message: err.Error()}
	var noSpace *generation.NoSpaceError
	var digest *generation.DigestError
	var path *tree.PathError
	switch {
	case errors.As(err, &noSpace):
		r.Code = wire.CodeNoSpace
	case errors.As(err, &digest):
		r.Code = wire.CodeDigest
	case errors.As(err, &path):
		r.Code = wire.CodeInvalid
	}
	return r
}
