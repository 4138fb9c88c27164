package session

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

// Events is what the gang reports. Calls come from the goroutine of Run, but
// for Exited and Notice.
type Events struct {
	// Connected says that a rank's agent has answered.
	Connected func(Connection)
	// Delivered says that all connected ranks run a generation.
	Delivered func(Delivery)
	// Refused says that a version could not be delivered. The ranks that
	// refused it run on as they were; so do all where none has begun.
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
	Reaction   Reaction
	SentBytes  int64
}

// Gang moves ranks from generation to generation, all or none.
type Gang struct {
	// Heartbeat of the streams; set it before Run.
	Heartbeat wire.Heartbeat
	// Policies say which changes restart nothing; set them before Run.
	Policies Policies

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
	generation uint64   // of want; 0: not delivered yet
	before     *Version // what ran before want, as generation beforeAs
	beforeAs   uint64
	highest    uint64 // ever seen on a rank
	run        string // name of runFor's run
	runFor     uint64
	gathering  time.Time // until when ranks that are dialled are waited for
	background sync.WaitGroup
}

// runOf returns the name under which ranks of a generation meet: a new one
// where they are started anew, the others' for a rank that joins them late.
func (s *state) runOf(number uint64, conns []*conn, action wire.Action) string {
	if number == s.runFor {
		return s.run
	}
	fresh := fmt.Sprintf("%d-%s", number, rand.Text()[:8])
	if action == wire.Restart || s.run == "" {
		s.run = fresh
		for _, c := range conns {
			if r := c.welcome.Receipt; r != nil && r.Run != "" && (r.Generation == number || action != wire.Restart) {
				s.run = r.Run
			}
		}
	}
	s.runFor = number
	return s.run
}

// recognise finds out which tree a rank holds that was dialled again, so that
// only the difference to it is sent and counts.
func (s *state) recognise(c *conn) {
	for _, v := range []*Version{s.want, s.before} {
		if v != nil && v.Digest == c.welcome.Digest {
			c.index = v.Index
		}
	}
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
			s.recognise(c)
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
			if s.generation != 0 {
				s.before, s.beforeAs = s.want, s.generation
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
				select {
				case g.up <- c:
				case <-dialCtx.Done():
					c.close(io.EOF)
				}
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

// isRefused tells whether an agent will not have this client: another holds
// the rank, or the two share no version of the protocol.
func isRefused(err error) bool {
	var busy *wire.BusyError
	var version *wire.VersionError
	return errors.As(err, &busy) || errors.As(err, &version)
}
