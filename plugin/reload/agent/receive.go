package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/delta"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/generation"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/python"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

// prepare takes a frame of a generation, and stages it with the last one,
// which alone is answered.
func (a *Agent) prepare(ctx context.Context, c *client, m *wire.Prepare) error {
	if c.generation != m.Generation || c.complete && !m.Again {
		c.generation, c.received, c.staged = m.Generation, time.Now(), time.Time{}
		c.content.abort()
		c.content, c.puts = nil, nil
		a.settle.Stop()
		c.failed = a.store.Begin(m.Generation, m.Base, m.Root)
	}
	c.refused, c.complete = false, !m.More
	if c.failed == nil {
		c.failed = a.take(c, m)
	}
	if m.More {
		return nil
	}
	err := c.failed
	c.failed = nil
	if err != nil {
		return err
	}
	digest, err := a.store.Stage()
	if err != nil {
		return err
	}
	if c.checked = false; !m.Alone {
		if err := a.vet(ctx, c); err != nil {
			return err
		}
	}
	c.staged = time.Now()
	return c.out.Send(&wire.Staged{Generation: m.Generation, Digest: digest})
}

// vet refuses what would not compile, while the old process runs. Where none
// does yet, it may as well say so itself.
func (a *Agent) vet(ctx context.Context, c *client) error {
	current, _ := a.store.Current()
	if current == 0 || c.checked || a.Attached != nil {
		return nil
	}
	c.checked = true
	return a.check.Check(ctx, python.Change{Before: a.store.Path(current), Dir: a.store.Next(), Paths: c.puts})
}

// take adds a frame to the generation under way. Files that are complete in
// it are written several at a time, since each takes a dozen system calls.
func (a *Agent) take(c *client, m *wire.Prepare) error {
	changes := tree.Changes{Deletes: m.Deletes}
	var group errgroup.Group
	group.SetLimit(runtime.GOMAXPROCS(0))
	var err error
	for i := range m.Puts {
		p := &m.Puts[i]
		entry := tree.Entry{Path: p.Path, Kind: p.Kind, Size: p.Size, Sum: p.Sum, Target: p.Target}
		// A file in several frames is in the difference once; one that NEED
		// asked for is there already.
		if p.Offset == 0 && !m.Again {
			changes.Puts = append(changes.Puts, entry)
			c.puts = append(c.puts, p.Path)
		}
		switch {
		case p.Have || p.Kind == tree.Link:
		case whole(p):
			group.Go(func() error { return named(p, a.receive(p, entry)) })
		default:
			err = named(p, a.receivePart(c, p, entry))
		}
		if err != nil {
			break
		}
	}
	if err = errors.Join(err, group.Wait()); err != nil {
		return err
	}
	return a.store.Change(changes)
}

func named(p *wire.Put, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", p.Path, err)
}

// whole tells whether all of a file is in one frame.
func whole(p *wire.Put) bool {
	size := p.Offset
	for _, part := range p.Parts {
		size += part.Size
	}
	return p.Offset == 0 && size == p.Size
}

// content is a file that is on its way.
type content struct {
	sum  [32]byte
	to   *generation.Incoming
	base *os.File
	size int64 // bytes so far
}

func (c *content) abort() {
	if c == nil {
		return
	}
	c.to.Abort()
	c.release()
}

func (c *content) release() {
	if c.base != nil {
		_ = c.base.Close()
	}
}

// receive takes a file that is complete in its frame.
func (a *Agent) receive(p *wire.Put, entry tree.Entry) error {
	in, err := a.expect(p, entry)
	if err != nil || in == nil {
		return err
	}
	defer in.release()
	if err := in.unfold(p); err != nil {
		in.to.Abort()
		return err
	}
	return in.to.Close()
}

// receivePart takes a part of a file that comes in several frames.
func (a *Agent) receivePart(c *client, p *wire.Put, entry tree.Entry) error {
	if p.Offset == 0 {
		c.content.abort()
		var err error
		if c.content, err = a.expect(p, entry); err != nil {
			return err
		}
	}
	in := c.content
	if in == nil || in.sum != p.Sum || in.size != p.Offset {
		return nil // the rest of what was given up
	}
	if err := in.unfold(p); err != nil || in.size < p.Size {
		return err
	}
	c.content = nil
	in.release()
	return in.to.Close()
}

// expect opens where a content goes, and what it is a difference to. It
// returns nil when that is not there: the laptop sends the file whole when it
// hears what is missing.
func (a *Agent) expect(p *wire.Put, entry tree.Entry) (*content, error) {
	if p.Size > wire.MaxFile {
		return nil, &wire.TreeError{Path: p.Path, Reason: fmt.Sprintf("is larger than %d MiB", wire.MaxFile>>20)}
	}
	to, err := a.store.Receive(entry)
	if err != nil {
		return nil, err
	}
	in := &content{sum: p.Sum, to: to}
	if p.Base != [32]byte{} {
		if in.base, err = a.store.Open(p.Base); err != nil {
			in.abort()
			return nil, nil
		}
	}
	return in, nil
}

// unfold appends the parts of a put.
func (c *content) unfold(p *wire.Put) error {
	var base io.ReaderAt
	if c.base != nil {
		base = c.base
	}
	for _, part := range p.Parts {
		if c.size += part.Size; c.size > p.Size {
			return &wire.TreeError{Path: p.Path, Reason: "is longer than announced"}
		}
		if err := delta.Unfold(c.to, part, base); err != nil {
			return err
		}
	}
	return nil
}
