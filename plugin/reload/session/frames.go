package session

import (
	"context"
	"fmt"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/delta"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

// frameBytes is about how large a PREPARE frame becomes.
const frameBytes = 256 << 10

// background is the number of contents from which frames are made while
// those before them are sent.
const background = 64

// frames returns the PREPARE frames that turn base into the version. With
// push they carry the contents that base does not have.
func (v *Version) frames(ctx context.Context, number uint64, base tree.Index, push, alone bool) *frames {
	key := frameKey{number: number, push: push, alone: alone}
	if base != nil {
		key.base = base.Digest()
	}
	v.mu.Lock()
	f, ok := v.encoded[key]
	if !ok {
		f = newFrames()
		v.encoded[key] = f
	}
	v.mu.Unlock()
	if ok {
		return f
	}
	changes := v.Index.Diff(base)
	b := &framer{to: f, head: wire.Prepare{Generation: number, Base: key.base, Root: v.Digest, Alone: alone}}
	for _, gone := range changes.Deletes {
		b.delete(gone)
	}
	var held map[[32]byte]bool
	if len(changes.Deletes) > 0 { // only then something may have been renamed
		held = make(map[[32]byte]bool, len(base))
		for _, e := range base {
			held[e.Sum] = true
		}
	}
	sent := map[[32]byte]bool{}
	var puts []put
	for _, e := range changes.Puts {
		old, _ := base.Find(e.Path)
		same := old.Kind != 0 && old.Sum == e.Sum // only its mode changed
		have := !push || held[e.Sum] || same || sent[e.Sum]
		sent[e.Sum] = true
		puts = append(puts, put{entry: e, old: old, have: have || e.Kind == tree.Link})
	}
	v.fill(ctx, f, b, puts, func() {
		v.mu.Lock()
		defer v.mu.Unlock()
		delete(v.encoded, key) // a file may be as it was when this is tried again
	})
	return f
}

// fill makes frames, in the background where they are many: it ends by itself
// or with ctx.
func (v *Version) fill(ctx context.Context, f *frames, b *framer, puts []put, failed func()) {
	fill := func() {
		err := v.encodeAll(ctx, b, puts)
		if err != nil {
			failed()
		}
		f.end(b.last(), err)
	}
	if len(puts) < background {
		fill()
	} else {
		go fill()
	}
}

// contents returns frames that carry what a rank asked for by NEED, whole.
func (v *Version) contents(ctx context.Context, number uint64, base tree.Index, sums [][32]byte, alone bool) *frames {
	f := newFrames()
	wanted := make(map[[32]byte]bool, len(sums))
	for _, s := range sums {
		wanted[s] = true
	}
	b := &framer{to: f, head: wire.Prepare{Generation: number, Root: v.Digest, Again: true, Alone: alone}}
	if base != nil {
		b.head.Base = base.Digest()
	}
	var puts []put
	for _, e := range v.Index {
		if e.Kind != tree.Link && wanted[e.Sum] {
			delete(wanted, e.Sum)
			puts = append(puts, put{entry: e})
		}
	}
	if len(wanted) > 0 {
		f.end(nil, fmt.Errorf("the rank asks for %d unknown contents", len(wanted)))
		return f
	}
	v.fill(ctx, f, b, puts, func() {})
	return f
}

// frames are made by one goroutine and sent by several, to a rank each.
type frames struct {
	mu   sync.Mutex
	more *sync.Cond
	all  [][]byte
	done bool
	err  error
}

func newFrames() *frames {
	f := &frames{}
	f.more = sync.NewCond(&f.mu)
	return f
}

func (f *frames) add(frame []byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.all = append(f.all, frame)
	f.more.Broadcast()
}

// end adds the last frame, or says why there is none.
func (f *frames) end(frame []byte, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err == nil {
		f.all = append(f.all, frame)
	}
	f.done, f.err = true, err
	f.more.Broadcast()
}

// from waits for frames after the first n and returns those that are ready,
// and whether they are the last.
func (f *frames) from(n int) (ready [][]byte, last bool, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for len(f.all) == n && !f.done {
		f.more.Wait()
	}
	if f.err != nil {
		return nil, true, f.err
	}
	return f.all[n:len(f.all):len(f.all)], f.done, nil
}

// put is an entry to send and what it replaces.
type put struct {
	entry, old tree.Entry
	have       bool
	parts      []wire.Part
	base       [32]byte
}

// encodeAll reads and encodes contents, several at once where there are many.
func (v *Version) encodeAll(ctx context.Context, b *framer, puts []put) error {
	// A window of them at a time: a first delivery can be large.
	const window = 128
	for len(puts) > 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		some := puts[:min(window, len(puts))]
		puts = puts[len(some):]
		var group errgroup.Group
		group.SetLimit(runtime.GOMAXPROCS(0))
		for i := range some {
			if some[i].have {
				continue
			}
			if len(some) == 1 {
				if err := v.encode(&some[i]); err != nil {
					return err
				}
				continue
			}
			group.Go(func() error { return v.encode(&some[i]) })
		}
		if err := group.Wait(); err != nil {
			return err
		}
		for i := range some {
			b.put(&some[i])
		}
	}
	return nil
}

// encode fills in a put's parts, as a difference to the version of the same
// path before it where that is at hand.
func (v *Version) encode(p *put) error {
	content, err := v.Read(p.entry)
	if err != nil {
		return err
	}
	var base []byte
	if p.old.Kind == tree.File || p.old.Kind == tree.Executable {
		base = v.cache.get(p.old.Sum)
	}
	p.parts = delta.Encode(base, content)
	if delta.Refers(p.parts) {
		p.base = p.old.Sum
	}
	return nil
}

// framer packs puts into frames.
type framer struct {
	to   *frames
	head wire.Prepare
	now  wire.Prepare
	size int
}

func (b *framer) delete(path string) {
	b.now.Deletes = append(b.now.Deletes, path)
	b.grow(len(path) + 4)
}

// put adds an entry, its parts in several frames when they are many.
func (b *framer) put(p *put) {
	e := p.entry
	m := wire.Put{Path: e.Path, Kind: e.Kind, Size: e.Size, Sum: e.Sum, Target: e.Target, Have: p.have, Base: p.base}
	size := len(e.Path) + len(e.Target) + 96
	at := int64(0)
	for _, part := range p.parts {
		m.Parts = append(m.Parts, part)
		at += part.Size
		if size += len(part.Data) + 24; size >= frameBytes {
			b.now.Puts = append(b.now.Puts, m)
			b.grow(size)
			m.Offset, m.Parts, size = at, nil, len(e.Path)+96
		}
	}
	if m.Offset == 0 || len(m.Parts) > 0 {
		b.now.Puts = append(b.now.Puts, m)
		b.grow(size)
	}
}

func (b *framer) grow(n int) {
	if b.size += n; b.size >= frameBytes {
		b.flush()
	}
}

func (b *framer) flush() {
	b.to.add(b.frame(true))
	b.now, b.size = wire.Prepare{}, 0
}

// last returns the frame that ends the difference.
func (b *framer) last() []byte { return b.frame(false) }

func (b *framer) frame(more bool) []byte {
	m := b.head
	m.More, m.Deletes, m.Puts = more, b.now.Deletes, b.now.Puts
	return wire.Frame(&m)
}
