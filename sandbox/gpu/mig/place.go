package mig

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// Instance is a profile at its place on a GPU.
type Instance struct {
	Profile
	At model.Placement
}

// UnknownProfileError says that a board has no such profile.
type UnknownProfileError struct {
	Board, Profile string
	Known          []string
}

func (e *UnknownProfileError) Error() string {
	if len(e.Known) == 0 {
		return fmt.Sprintf("%s cannot be cut: the board has no MIG", e.Board)
	}
	return fmt.Sprintf("%s has no MIG profile %s; it has %s", e.Board, e.Profile, strings.Join(e.Known, ", "))
}

// PlacementError says why instances do not fit on a GPU together.
type PlacementError struct {
	GPU    int
	Reason string
}

func (e *PlacementError) Error() string {
	return fmt.Sprintf("MIG layout of GPU %d: %s", e.GPU, e.Reason)
}

// Place returns the instances of a GPU, by where they lie. It returns
// *UnknownProfileError and *PlacementError.
func (l Layout) Place(board string, gpu int) ([]Instance, error) {
	table := Tables()[board]
	if l.All != "" {
		return placeAll(board, table, l.All)
	}
	var wanted []Profile
	cut := l.of(gpu)
	for _, name := range slices.Sorted(maps.Keys(cut)) {
		p, err := lookup(board, table, name)
		if err != nil {
			return nil, err
		}
		if cut[name] > p.MaxInstances {
			return nil, &PlacementError{gpu, fmt.Sprintf("%d × %s: the board has at most %d of them", cut[name], name, p.MaxInstances)}
		}
		wanted = append(wanted, slices.Repeat([]Profile{p}, cut[name])...)
	}
	// The largest first: a small one fits in what is left, and not the other
	// way round.
	slices.SortStableFunc(wanted, func(a, b Profile) int { return cmp.Compare(b.size(), a.size()) })
	placed, stuck := place(wanted, nil)
	if stuck != nil {
		return nil, &PlacementError{gpu, stuck.reason()}
	}
	slices.SortFunc(placed, byStart)
	return placed, nil
}

func placeAll(board string, table []Profile, name string) ([]Instance, error) {
	p, err := lookup(board, table, name)
	if err != nil {
		return nil, err
	}
	var placed []Instance
	for _, at := range p.Placements {
		if len(placed) < p.MaxInstances && free(at, placed) {
			placed = append(placed, Instance{p, at})
		}
	}
	return placed, nil
}

func lookup(board string, table []Profile, name string) (Profile, error) {
	unknown := &UnknownProfileError{Board: board, Profile: name}
	for _, p := range table {
		if p.Name == name {
			return p, nil
		}
		unknown.Known = append(unknown.Known, p.Name)
	}
	return Profile{}, unknown
}

func (p Profile) size() int {
	if len(p.Placements) == 0 {
		return 0
	}
	return p.Placements[0].Size
}

func byStart(a, b Instance) int { return cmp.Compare(a.At.Start, b.At.Start) }

// stuckAt is the furthest that placing has come.
type stuckAt struct {
	placed []Instance
	next   Profile
}

// place finds a place for each profile, trying all: at most seven instances
// fit on a GPU.
func place(wanted []Profile, placed []Instance) ([]Instance, *stuckAt) {
	if len(wanted) == 0 {
		return placed, nil
	}
	furthest := &stuckAt{slices.Clone(placed), wanted[0]}
	for _, at := range wanted[0].Placements {
		if !free(at, placed) {
			continue
		}
		all, stuck := place(wanted[1:], append(slices.Clone(placed), Instance{wanted[0], at}))
		if stuck == nil {
			return all, nil
		}
		if len(stuck.placed) > len(furthest.placed) {
			furthest = stuck
		}
	}
	return nil, furthest
}

func free(at model.Placement, placed []Instance) bool {
	return !slices.ContainsFunc(placed, func(i Instance) bool {
		return at.Start < i.At.Start+i.At.Size && i.At.Start < at.Start+at.Size
	})
}

func (s *stuckAt) reason() string {
	var may, taken []string
	for _, at := range s.next.Placements {
		may = append(may, span(at))
	}
	slices.SortFunc(s.placed, byStart)
	for _, i := range s.placed {
		taken = append(taken, fmt.Sprintf("%s at %s", i.Name, span(i.At)))
	}
	return fmt.Sprintf("%s can lie at memory slices %s, and none of these is free: %s", s.next.Name, strings.Join(may, " or "), strings.Join(taken, ", "))
}

func span(at model.Placement) string {
	if at.Size == 1 {
		return fmt.Sprint(at.Start)
	}
	return fmt.Sprintf("%d-%d", at.Start, at.Start+at.Size-1)
}
