package agent

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

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

func (a *Agent) take(c *client, m *wire.Prepare) error {
	changes := tree.Changes{Deletes: m.Deletes}
	for i := range m.Puts {
		p := &m.Puts[i]
		entry := tree.Entry{Path: p.Path, Kind: p.Kind, Size: p.Size, Sum: p.Sum, Target: p.Target}
		// A file in several frames is in the difference once; one that NEED
		// asked for is there already.
		if p.Offset == 0 && !m.Again {
			changes.Puts = append(changes.Puts, entry)
			c.puts = append(c.puts, p.Path)
		}
		if p.Have || p.Kind == tree.Link {
			continue
		}
		if err := a.receive(c, p, entry); err != nil {
			return fmt.Errorf("%s: %w", p.Path, err)
		}
	}
	return a.store.Change(changes)
}

// content is a file that is on its way in several frames.
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
	if c.base != nil {
		_ = c.base.Close()
	}
}

// receive unfolds the parts of a put.
func (a *Agent) receive(c *client, p *wire.Put, entry tree.Entry) error {
	if p.Size > wire.MaxFile {
		return &wire.TreeError{Path: p.Path, Reason: fmt.Sprintf("is larger than %d MiB", wire.MaxFile>>20)}
	}
	in := c.content
	if p.Offset == 0 {
		in.abort()
		c.content = nil
		to, err := a.store.Receive(entry)
		if err != nil {
			return err
		}
		in = &content{sum: p.Sum, to: to}
		c.content = in
		if p.Base != [32]byte{} {
			if in.base, err = a.store.Open(p.Base); err != nil {
				// The laptop sends it whole when it hears what is missing.
				in.abort()
				c.content = nil
				return nil
			}
		}
	}
	if in == nil || in.sum != p.Sum || in.size != p.Offset {
		return nil // the rest of what was given up above
	}
	var base io.ReaderAt
	if in.base != nil {
		base = in.base
	}
	for _, part := range p.Parts {
		if in.size += part.Size; in.size > p.Size {
			return &wire.TreeError{Path: p.Path, Reason: "is longer than announced"}
		}
		if err := delta.Unfold(in.to, part, base); err != nil {
			return err
		}
	}
	if in.size < p.Size {
		return nil
	}
	c.content = nil
	if in.base != nil {
		_ = in.base.Close()
	}
	return in.to.Close()
}
