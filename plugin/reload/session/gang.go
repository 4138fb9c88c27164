package session

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

// Events is what the gang reports. Calls come from the goroutine of Run, but
// for Exited.
type Events struct {
	// Delivered says that all connected ranks run a generation.
	Delivered func(Delivery)
	// Refused says that a version could not be delivered: no rank changed.
	Refused func(err error)
	// Lost says that the stream to a rank ended; it is dialled again.
	Lost func(rank Rank, err error)
	// Exited says that a rank's process ended by itself.
	Exited func(rank Rank, exited wire.Exited)
}

// Delivery is one generation that ranks run.
type Delivery struct {
	Generation uint64
	Version    *Version
	Receipts   []wire.Receipt // one a rank, by rank
	Staged     time.Time      // when the last rank had it verified on disk
	Done       time.Time
	Adopted    bool // the ranks ran this tree already; nothing was restarted
}

// Gang moves ranks from generation to generation, all or none.
type Gang struct {
	dial   Dial
	client string
	events Events

	add     chan Rank
	remove  chan string
	up      chan *conn
	down    chan *conn
	publish chan *Version
}

// NewGang returns a gang; client is who asks, for people.
func NewGang(dial Dial, client string, events Events) *Gang {
	return &Gang{
		dial: dial, client: client, events: events,
		add: make(chan Rank), remove: make(chan string), up: make(chan *conn), down: make(chan *conn), publish: make(chan *Version),
	}
}

// Add brings a rank whose container runs; it is dialled until it answers.
func (g *Gang) Add(ctx context.Context, r Rank) { send(ctx, g.add, r) }

// Remove forgets a rank that is gone for good.
func (g *Gang) Remove(ctx context.Context, id string) { send(ctx, g.remove, id) }

// Publish makes a version the one that all ranks have to run. A version that
// comes while another is on its way follows it.
func (g *Gang) Publish(ctx context.Context, v *Version) { send(ctx, g.publish, v) }

func send[T any](ctx context.Context, to chan<- T, v T) {
	select {
	case to <- v:
	case <-ctx.Done():
	}
}

// state is owned by Run.
type state struct {
	conns      map[string]*conn
	dialing    map[string]context.CancelFunc
	want       *Version
	generation uint64 // of want; 0: not delivered yet
	highest    uint64 // ever seen on a rank
}

// Run serves the gang until ctx ends. A rank that is busy with another
// client is a *BusyError.
func (g *Gang) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := &state{conns: map[string]*conn{}, dialing: map[string]context.CancelFunc{}}
	defer func() {
		for _, c := range s.conns {
			c.close(io.EOF)
		}
	}()
	for {
		select {
		case <-ctx.Done():
			if busy := (*BusyError)(nil); errors.As(context.Cause(ctx), &busy) {
				return context.Cause(ctx)
			}
			return nil
		case r := <-g.add:
			g.forget(s, r.ID)
			g.connect(ctx, cancel, s, r)
		case id := <-g.remove:
			g.forget(s, id)
		case c := <-g.up:
			if _, wanted := s.dialing[c.rank.ID]; !wanted || s.conns[c.rank.ID] != nil {
				c.close(io.EOF)
				continue
			}
			s.conns[c.rank.ID] = c
			s.highest = max(s.highest, c.hello.Generation)
			go func() {
				<-c.done
				send(ctx, g.down, c)
			}()
			g.settle(ctx, s)
		case c := <-g.down:
			if s.conns[c.rank.ID] == c {
				g.lost(ctx, cancel, s, c, c.err)
			}
		case v := <-g.publish:
			if s.want != nil && s.want.Digest == v.Digest && s.generation != 0 {
				continue
			}
			s.want, s.generation = v, 0
			g.settle(ctx, s)
		}
	}
}

func (g *Gang) forget(s *state, id string) {
	if stop := s.dialing[id]; stop != nil {
		stop()
		delete(s.dialing, id)
	}
	if c := s.conns[id]; c != nil {
		delete(s.conns, id)
		c.close(io.EOF)
	}
}

// connect dials a rank in the background until it answers.
func (g *Gang) connect(ctx context.Context, fail context.CancelCauseFunc, s *state, r Rank) {
	dialCtx, stop := context.WithCancel(ctx)
	s.dialing[r.ID] = stop
	go func() {
		pause := 50 * time.Millisecond
		for {
			c, err := open(dialCtx, g.dial, r, wire.Hello{Client: g.client}, g.events.Exited)
			if err == nil {
				send(dialCtx, g.up, c)
				return
			}
			if busy := (*BusyError)(nil); errors.As(err, &busy) {
				// The relay of a client that was cut takes a moment to go.
				if pause > time.Second {
					fail(err)
					return
				}
			}
			timer := time.NewTimer(pause)
			select {
			case <-dialCtx.Done():
				timer.Stop()
				return
			case <-timer.C:
			}
			pause = min(2*pause, 2*time.Second)
		}
	}()
}

// lost drops a stream and dials the rank again.
func (g *Gang) lost(ctx context.Context, fail context.CancelCauseFunc, s *state, c *conn, err error) {
	delete(s.conns, c.rank.ID)
	c.close(err)
	if g.events.Lost != nil {
		g.events.Lost(c.rank, err)
	}
	g.connect(ctx, fail, s, c.rank)
}

// settle brings every connected rank to the wanted version: first all have
// it staged, then all start it. If one refuses, none starts it.
func (g *Gang) settle(ctx context.Context, s *state) {
	if s.want == nil || len(s.conns) == 0 {
		return
	}
	conns := slices.SortedFunc(maps.Values(s.conns), func(a, b *conn) int { return a.rank.Index - b.rank.Index })
	holds := func(c *conn, number uint64) bool {
		return c.hello.Digest == s.want.Digest && c.hello.Generation == number
	}
	number, fresh := s.generation, s.generation == 0
	first := conns[0].hello.Generation
	switch {
	case fresh && first != 0 && !slices.ContainsFunc(conns, func(c *conn) bool { return !holds(c, first) }):
		number = first // all ranks have this very tree already
	case fresh, slices.ContainsFunc(conns, func(c *conn) bool {
		return c.hello.Generation >= number && !holds(c, number)
	}):
		number = s.highest + 1
	}
	s.highest = max(s.highest, number)
	var behind, ready []*conn // without the tree; with it, but with no process in it
	d := Delivery{Version: s.want, Generation: number}
	for _, c := range conns {
		switch {
		case !holds(c, number):
			behind = append(behind, c)
		case c.hello.Receipt == nil:
			ready = append(ready, c)
		case fresh || !c.reported:
			r := *c.hello.Receipt
			r.Rank = c.rank.Index
			c.reported = true
			d.Receipts = append(d.Receipts, r)
		}
	}
	if len(behind)+len(ready) == 0 {
		s.generation = number
		if len(d.Receipts) > 0 {
			d.Adopted, d.Staged, d.Done = true, time.Now(), time.Now()
			g.events.Delivered(d)
		}
		return
	}
	staged, err := g.prepare(ctx, number, s.want, behind)
	if err != nil {
		if !errors.Is(err, ErrChanged) && ctx.Err() == nil {
			g.events.Refused(err)
		}
		return
	}
	staged = append(staged, ready...)
	d.Staged = time.Now()
	receipts := make([]*wire.Receipt, len(staged))
	var group errgroup.Group
	for i, c := range staged {
		group.Go(func() error {
			r, err := c.commit(ctx, number, s.want)
			if err != nil {
				c.close(err) // it is dialled again, and brought here then
				return nil
			}
			receipts[i], c.hello.Receipt, c.reported = r, r, true
			return nil
		})
	}
	_ = group.Wait()
	for _, r := range receipts {
		if r != nil {
			d.Receipts = append(d.Receipts, *r)
		}
	}
	d.Done = time.Now()
	s.generation = number
	if len(d.Receipts) > 0 {
		g.events.Delivered(d)
	}
}

// prepare stages a version on all ranks and returns those that have it. A
// rank whose stream ended is left out; a rank that refuses fails all.
func (g *Gang) prepare(ctx context.Context, number uint64, v *Version, conns []*conn) ([]*conn, error) {
	errs := make([]error, len(conns))
	var group errgroup.Group
	for i, c := range conns {
		group.Go(func() error {
			errs[i] = c.prepare(ctx, number, v)
			return nil
		})
	}
	_ = group.Wait()
	var staged []*conn
	var refusals []error
	for i, c := range conns {
		var refused *wire.Refused
		switch {
		case errs[i] == nil:
			staged = append(staged, c)
		case errors.As(errs[i], &refused), errors.Is(errs[i], ErrChanged):
			refusals = append(refusals, &RankError{c.rank, fmt.Errorf("refused generation %d: %w", number, errs[i])})
		case isClosed(c):
			// Gone meanwhile: it is dialled again, and brought here then.
		default:
			refusals = append(refusals, &RankError{c.rank, errs[i]})
		}
	}
	return staged, errors.Join(refusals...)
}

func isClosed(c *conn) bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}
