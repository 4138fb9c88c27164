package session

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

// Events is what the gang reports. Calls come from the goroutine of Run, but
// for Exited and Notice.
type Events struct {
	// Connected says that a rank's agent has answered.
	Connected func(Connection)
	// Delivered says that all connected ranks run a generation.
	Delivered func(Delivery)
	// Refused says that a version could not be delivered: no rank changed.
	Refused func(v *Version, err error)
	// Lost says that the stream to a rank ended; it is dialled again.
	Lost func(rank Rank, err error)
	// Exited says that a rank's process ended by itself.
	Exited func(rank Rank, exited wire.Exited)
	// Notice is a word of a rank's agent, such as that its volume fills.
	Notice func(rank Rank, text string)
}

// Delivery is one generation that ranks run.
type Delivery struct {
	Generation uint64
	Version    *Version
	Receipts   []wire.Receipt // one a rank, by rank
	Staged     time.Time      // when the last rank had it verified on disk
	Done       time.Time
	Adopted    bool // the ranks ran this tree already; nothing was restarted
	SentBytes  int64
}

// Gang moves ranks from generation to generation, all or none.
type Gang struct {
	// Heartbeat of the streams; set it before Run.
	Heartbeat wire.Heartbeat

	dial    Dial
	client  string
	session string // the agents know a stream of this gang by it
	events  Events

	add     chan Rank
	remove  chan string
	up      chan *conn
	down    chan *conn
	publish chan *Version
	wake    chan struct{}
}

// NewGang returns a gang; client is who asks, for people.
func NewGang(dial Dial, client string, events Events) *Gang {
	return &Gang{
		dial: dial, client: client, session: rand.Text(), events: events,
		add: make(chan Rank), remove: make(chan string), up: make(chan *conn), down: make(chan *conn), publish: make(chan *Version), wake: make(chan struct{}),
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
	run        string // name of runFor's run
	runFor     uint64
	gathering  time.Time // until when ranks that are dialled are waited for
	background sync.WaitGroup
}

// runOf returns the name under which ranks of a generation meet: a new one for
// a new generation, the others' for a rank that joins them late.
func (s *state) runOf(number uint64, conns []*conn) string {
	if number != s.runFor {
		s.runFor, s.run = number, fmt.Sprintf("%d-%s", number, rand.Text()[:8])
		for _, c := range conns {
			if r := c.welcome.Receipt; r != nil && r.Generation == number && r.Run != "" {
				s.run = r.Run
			}
		}
	}
	return s.run
}

// Run serves the gang until ctx ends. A rank that is busy with another
// client is a *wire.BusyError; what is permanent is returned as Dial gave it.
func (g *Gang) Run(ctx context.Context) error {
	s := &state{conns: map[string]*conn{}, dialing: map[string]context.CancelFunc{}}
	defer s.background.Wait()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer func() {
		for _, c := range s.conns {
			c.close(io.EOF)
		}
	}()
	for {
		select {
		case <-ctx.Done():
			if cause := context.Cause(ctx); isRefused(cause) || isPermanent(cause) {
				return cause
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
			s.highest = max(s.highest, c.welcome.Generation)
			if g.events.Connected != nil {
				g.events.Connected(c.connection())
			}
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
			if s.want != nil && s.want.Digest == v.Digest && s.generation != 0 && !v.Again {
				continue
			}
			s.want, s.generation = v, 0
			g.settle(ctx, s)
		case <-g.wake:
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

// gather is how long ranks that are known but not connected are waited for,
// so that a gang which comes back moves as one.
const gather = 500 * time.Millisecond

func (g *Gang) wakeAfter(ctx context.Context, d time.Duration) {
	time.AfterFunc(d, func() { send(ctx, g.wake, struct{}{}) })
}

// connect dials a rank in the background until it answers.
func (g *Gang) connect(ctx context.Context, fail context.CancelCauseFunc, s *state, r Rank) {
	s.gathering = time.Now().Add(gather)
	dialCtx, stop := context.WithCancel(ctx)
	s.dialing[r.ID] = stop
	go func() {
		pause := 50 * time.Millisecond
		for {
			c, err := open(dialCtx, g.dial, r, wire.Hello{Role: wire.Owner, Session: g.session, Owner: g.client}, &g.events, g.Heartbeat)
			if err == nil {
				send(dialCtx, g.up, c)
				return
			}
			// The relay of a client that was cut takes a moment to go.
			if isPermanent(err) || isRefused(err) && pause > time.Second {
				fail(err)
				return
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
	if left := time.Until(s.gathering); len(s.conns) < len(s.dialing) && left > 0 {
		g.wakeAfter(ctx, left)
		return
	}
	conns := slices.SortedFunc(maps.Values(s.conns), func(a, b *conn) int { return a.rank.Index - b.rank.Index })
	holds := func(c *conn, number uint64) bool {
		return c.welcome.Digest == s.want.Digest && c.welcome.Generation == number
	}
	number, fresh := s.generation, s.generation == 0
	first := conns[0].welcome.Generation
	switch {
	case fresh && !s.want.Again && first != 0 && !slices.ContainsFunc(conns, func(c *conn) bool { return !holds(c, first) }):
		number = first // all ranks have this very tree already
	case fresh, slices.ContainsFunc(conns, func(c *conn) bool {
		return c.welcome.Generation >= number && !holds(c, number)
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
		case c.welcome.Receipt == nil:
			ready = append(ready, c)
		case fresh || !c.reported:
			r := *c.welcome.Receipt
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
			for _, c := range conns {
				c.index = s.want.Index
			}
			v := s.want
			s.background.Go(func() { v.Warm(ctx) })
		}
		return
	}
	d.SentBytes = -sent(conns)
	commit := &wire.Commit{Generation: number, Run: s.runOf(number, conns)}
	if len(conns) == 1 && len(behind) == 1 {
		g.deliverAlone(ctx, s, d, behind[0], commit)
		return
	}
	staged, err := g.stage(ctx, number, s.want, behind)
	if err != nil {
		g.refused(ctx, s.want, err)
		return
	}
	staged = append(staged, ready...)
	d.Staged = time.Now()
	receipts := make([]*wire.Receipt, len(staged))
	var group errgroup.Group
	for i, c := range staged {
		group.Go(func() error {
			r, err := c.commit(ctx, s.want, commit, false)
			if err != nil {
				c.close(err) // it is dialled again, and brought here then
				return nil
			}
			receipts[i], c.welcome.Receipt, c.reported = r, r, true
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
	d.SentBytes += sent(conns)
	s.generation = number
	if len(d.Receipts) > 0 {
		g.events.Delivered(d)
	}
}

// sent returns how many bytes the streams have carried to the ranks.
func sent(conns []*conn) (n int64) {
	for _, c := range conns {
		n += c.out.Sent()
	}
	return n
}

// deliverAlone brings the version to a gang of one: nobody has to be waited
// for, so that COMMIT travels with PREPARE.
func (g *Gang) deliverAlone(ctx context.Context, s *state, d Delivery, c *conn, commit *wire.Commit) {
	pipelined := *commit
	pipelined.Pipelined = true
	err := c.stage(ctx, commit.Generation, s.want, &pipelined)
	d.Staged = time.Now()
	var r *wire.Receipt
	if err == nil {
		r, err = c.commit(ctx, s.want, commit, true)
	}
	if err == nil {
		c.welcome.Receipt, c.reported = r, true
		d.Receipts, d.Done = append(d.Receipts, *r), time.Now()
		d.SentBytes += c.out.Sent()
		s.generation = commit.Generation
		g.events.Delivered(d)
		return
	}
	if why, fatal := g.verdict(c, commit.Generation, err); fatal {
		g.refused(ctx, s.want, why)
	}
}

// retryAfter is how long a file is given to become again what was scanned:
// if it stays another, the next scan has brought that by then.
const retryAfter = 200 * time.Millisecond

// refused tells why no rank changed.
func (g *Gang) refused(ctx context.Context, v *Version, err error) {
	switch {
	case ctx.Err() != nil:
	case errors.Is(err, ErrChanged):
		g.wakeAfter(ctx, retryAfter)
	default:
		g.events.Refused(v, err)
	}
}

// verdict tells whether an error of one rank stands in the way of all; the
// loss of a stream does not: the rank is dialled again, and brought along then.
func (g *Gang) verdict(c *conn, number uint64, err error) (error, bool) {
	var refused refusal
	var local unread
	switch {
	case errors.As(err, &refused):
		return &RankError{c.rank, fmt.Errorf("refused generation %d: %w", number, err)}, true
	case errors.As(err, &local):
		// The rank may hold a part of what is not sent any more.
		return err, true
	}
	// The stream failed, or an answer makes no sense: what the rank holds by
	// now is not known.
	c.close(err)
	return err, false
}

// stage brings a version to all ranks and returns those that have it. A rank
// whose stream ended is left out; a rank that refuses fails all.
func (g *Gang) stage(ctx context.Context, number uint64, v *Version, conns []*conn) ([]*conn, error) {
	errs := make([]error, len(conns))
	var group errgroup.Group
	for i, c := range conns {
		group.Go(func() error {
			errs[i] = c.stage(ctx, number, v, nil)
			return nil
		})
	}
	_ = group.Wait()
	var staged []*conn
	var refusals []error
	for i, c := range conns {
		if errs[i] == nil {
			staged = append(staged, c)
		} else if why, fatal := g.verdict(c, number, errs[i]); fatal {
			refusals = append(refusals, why)
		}
	}
	return staged, errors.Join(refusals...)
}

// isRefused tells whether an agent will not have this client: another holds
// the rank, or the two share no version of the protocol.
func isRefused(err error) bool {
	var busy *wire.BusyError
	var version *wire.VersionError
	return errors.As(err, &busy) || errors.As(err, &version)
}
