package logs

import (
	"context"
	"slices"
	"time"
)

// Selection is what of a run's logs is wanted. Its zero value wants everything.
type Selection struct {
	Ranks    []int     // none: all
	Since    time.Time // lines before are left out
	Tail     int       // of each rank the last; 0: all
	Previous bool      // of each rank the container before the last one
}

// rank tells what is told apart in a run: a container of a rank, whatever pod
// it is in.
type rank struct {
	index     int
	container string
	pod       string // where pods have no number
}

func rankOf(l Line) rank {
	r := rank{index: l.Rank, container: l.Container}
	if l.Rank < 0 {
		r.pod = l.Pod
	}
	return r
}

// Missing is a container whose log is only in the copy.
type Missing struct {
	Rank  int
	Pod   string
	Until time.Time // its last line that was kept
}

// Reading is one look at the logs of a run.
type Reading struct {
	Open Opener
	Selection
	// Keep gets every line of the wanted ranks, whatever Since and Tail leave
	// out of it: a copy that began in the middle would have a hole.
	Keep func(Line)
}

// part is all that is known of one container.
type part struct {
	first  Line // stands for the identity
	kept   []Line
	live   *Container
	start  time.Time
	last   Line
	wanted bool
}

// Past delivers what was said up to now in the order of time: from containers,
// those that still have a log, and from the copy what these do not have any
// more. It returns the last line of each container, and which containers are
// only in the copy. Its error joins those of the logs that could not be read to
// their ends, whose lines come from the copy as far as it goes, or is
// deliver's.
func (r *Reading) Past(ctx context.Context, kept []Line, containers []Container, deliver func(Line) error) (last []Line, missing []Missing, err error) {
	parts := split(kept, containers)
	r.choose(parts)
	var sources []source
	var owners []*part
	for _, p := range parts {
		if !p.wanted {
			continue
		}
		if p.live == nil {
			missing = append(missing, Missing{p.first.Rank, p.first.Pod, p.kept[len(p.kept)-1].Time})
		}
		sources = append(sources, p.source(r.Open))
		owners = append(owners, p)
	}
	byInstance := map[string]*part{}
	for _, p := range owners {
		byInstance[p.first.instance()] = p
	}
	say := deliver
	var ends tails
	if r.Tail > 0 {
		ends = tails{most: r.Tail, lines: map[rank][]Line{}}
		say = ends.add
	}
	err = merge(ctx, sources, func(l Line) error {
		byInstance[l.instance()].last = l
		if r.Keep != nil {
			r.Keep(l)
		}
		if l.Time.Before(r.Since) {
			return nil
		}
		return say(l)
	})
	if r.Tail > 0 {
		for _, l := range ends.sorted() {
			if tailErr := deliver(l); tailErr != nil {
				return nil, missing, tailErr
			}
		}
	}
	for _, p := range owners {
		if !p.last.Time.IsZero() {
			last = append(last, p.last)
		}
	}
	return last, missing, err
}

// Wants says whether a line that comes later belongs to the selection.
func (s Selection) Wants(l Line) bool {
	return (len(s.Ranks) == 0 || slices.Contains(s.Ranks, max(l.Rank, 0))) && !l.Time.Before(s.Since)
}

// split sorts what is known by container.
func split(kept []Line, containers []Container) []*part {
	var parts []*part
	index := map[string]*part{}
	get := func(l Line) *part {
		p := index[l.instance()]
		if p == nil {
			p = &part{first: l, start: l.Time}
			index[l.instance()] = p
			parts = append(parts, p)
		}
		return p
	}
	for _, l := range kept {
		p := get(l)
		p.kept = append(p.kept, l)
	}
	for i := range containers {
		p := get(containers[i].line(containers[i].Started, ""))
		p.live = &containers[i]
	}
	return parts
}

// Restarted says whether a rank had a container before its last one.
func Restarted(kept []Line, containers []Container) bool {
	r := Reading{Selection: Selection{Previous: true}}
	parts := split(kept, containers)
	r.choose(parts)
	return slices.ContainsFunc(parts, func(p *part) bool { return p.wanted })
}

// choose marks what the selection wants.
func (r *Reading) choose(parts []*part) {
	of := map[rank][]*part{}
	for _, p := range parts {
		p.wanted = len(r.Ranks) == 0 || slices.Contains(r.Ranks, max(p.first.Rank, 0))
		of[rankOf(p.first)] = append(of[rankOf(p.first)], p)
	}
	if !r.Previous {
		return
	}
	for _, of := range of {
		slices.SortStableFunc(of, func(a, b *part) int {
			if a.first.PodUID == b.first.PodUID {
				return a.first.Restart - b.first.Restart
			}
			return a.start.Compare(b.start)
		})
		for i, p := range of {
			p.wanted = p.wanted && i == len(of)-2
		}
	}
}

// source delivers what is known of a container: its log, before it what only
// the copy has, and after it where the log could not be read.
func (p *part) source(open Opener) source {
	return func(ctx context.Context, deliver func(Line)) error {
		rest := p.kept
		if p.live == nil {
			for _, l := range rest {
				deliver(l)
			}
			return nil
		}
		began := false
		var last Line
		err := read(ctx, open, *p.live, time.Time{}, false, func(l Line) {
			if !began {
				began = true
				for len(rest) > 0 && rest[0].Time.Before(l.Time) { // the node has thrown these away
					deliver(rest[0])
					rest = rest[1:]
				}
			}
			last = l
			deliver(l)
		})
		if began {
			// Where the copy goes on after the log broke.
			i := slices.IndexFunc(rest, func(l Line) bool { return l.Time.After(last.Time) })
			if i < 0 {
				i = len(rest)
			}
			rest = rest[i:]
		}
		for _, l := range rest {
			deliver(l)
		}
		return err
	}
}

// tails keeps the last lines of each rank.
type tails struct {
	most  int
	lines map[rank][]Line
}

func (t *tails) add(l Line) error {
	of := append(t.lines[rankOf(l)], l)
	if len(of) > 2*t.most {
		of = append(of[:0], of[len(of)-t.most:]...)
	}
	t.lines[rankOf(l)] = of
	return nil
}

func (t *tails) sorted() []Line {
	var out []Line
	for _, of := range t.lines {
		out = append(out, of[max(0, len(of)-t.most):]...)
	}
	slices.SortStableFunc(out, byTime)
	return out
}
