package agent

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/delta"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/generation"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

// prepare takes a frame of a generation, and stages it with the last one.
func (a *Agent) prepare(c *client, m *wire.Prepare) error {
	if c.generation != m.Generation || c.received.IsZero() {
		c.generation, c.received, c.staged, c.refused = m.Generation, time.Now(), time.Time{}, false
		c.content.abort()
		c.content = nil
		if err := a.store.Begin(m.Generation, m.Base, m.Root); err != nil {
			return err
		}
	} else if c.refused {
		// Frames that answer NEED begin the same generation's second try.
		c.refused = false
	}
	changes := tree.Changes{Deletes: m.Deletes}
	for i := range m.Puts {
		p := &m.Puts[i]
		// A file in several frames is in the difference once; one that NEED
		// asked for is there already.
		if p.Offset == 0 && !m.Again {
			changes.Puts = append(changes.Puts, tree.Entry{Path: p.Path, Kind: p.Kind, Size: p.Size, Sum: p.Sum, Target: p.Target})
		}
		if p.Have || p.Kind == tree.Link {
			continue
		}
		if err := a.receive(c, p); err != nil {
			return fmt.Errorf("%s: %w", p.Path, err)
		}
	}
	if err := a.store.Change(changes); err != nil {
		return err
	}
	if m.More {
		return nil
	}
	digest, err := a.store.Stage()
	if err != nil {
		return err
	}
	c.staged = time.Now()
	return c.out.Send(&wire.Staged{Generation: m.Generation, Digest: digest})
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
func (a *Agent) receive(c *client, p *wire.Put) error {
	if p.Size > wire.MaxFile {
		return &wire.TreeError{Path: p.Path, Reason: fmt.Sprintf("is larger than %d MiB", wire.MaxFile>>20)}
	}
	in := c.content
	if p.Offset == 0 {
		in.abort()
		c.content = nil
		to, err := a.store.Receive(p.Sum)
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
