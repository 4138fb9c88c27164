package session

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

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
	d.Reaction = g.Policies.reaction(s.want, behind)
	commit := &wire.Commit{Generation: number, Action: d.Reaction.Action, Signals: d.Reaction.Signals, Run: s.runOf(number, conns, d.Reaction.Action)}
	if len(conns) == 1 && len(behind) == 1 {
		g.deliverAlone(ctx, s, d, behind[0], commit)
		return
	}
	staged, err := g.stage(ctx, number, s.want, behind)
	if err != nil {
		g.refused(ctx, s, err)
		return
	}
	staged = append(staged, ready...)
	d.Staged = time.Now()
	receipts := make([]*wire.Receipt, len(staged))
	errs := make([]error, len(staged))
	var group errgroup.Group
	for i, c := range staged {
		group.Go(func() error {
			if receipts[i], errs[i] = c.commit(ctx, s.want, commit, false); errs[i] == nil {
				c.welcome.Receipt, c.reported = receipts[i], true
			}
			return nil
		})
	}
	_ = group.Wait()
	var refusals []error
	for i, c := range staged {
		if errs[i] != nil {
			if why, fatal := g.verdict(c, number, errs[i]); fatal {
				refusals = append(refusals, why)
			}
		}
	}
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
	if len(refusals) > 0 { // these ranks run on as they were, until the next version
		g.refused(ctx, s, errors.Join(refusals...))
	} else if len(d.Receipts) == len(conns) {
		s.want.forget()
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
		s.want.forget()
		g.events.Delivered(d)
		return
	}
	if why, fatal := g.verdict(c, commit.Generation, err); fatal {
		g.refused(ctx, s, why)
	}
}

// retryAfter is how long a file is given to become again what was scanned:
// if it stays another, the next scan has brought that by then.
const retryAfter = 200 * time.Millisecond

// refused tells why a version is not what the ranks run. One that was to come
// back is given up for the one before, or a rank that joins would get neither.
func (g *Gang) refused(ctx context.Context, s *state, err error) {
	v := s.want
	switch {
	case ctx.Err() != nil:
	case errors.Is(err, ErrChanged):
		g.wakeAfter(ctx, retryAfter)
	default:
		if v.Again && s.generation == 0 && s.before != nil {
			s.want, s.generation = s.before, s.beforeAs
		}
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
		if local.partly {
			c.close(err) // the rank waits for what is not sent any more
		}
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
