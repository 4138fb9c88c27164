package generation

import (
	"errors"
	"io/fs"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// past is a generation that was current. A process that was started in it and
// not since has it as its working directory, whatever is current now.
type past struct {
	number uint64
	index  tree.Index
	layout *node
}

// lives names the generations before the current one that a process has lived
// through, one a line, so that an agent which is started again looks there.
const lives = own + "/lives"

// remember notes that the current generation is replaced under a process that
// runs on, or, when none does, that nobody writes to earlier ones any more.
func (s *Store) remember(runsOn bool) error {
	if !runsOn || s.number == 0 {
		if len(s.lived) == 0 {
			return nil
		}
		s.lived = nil
		if err := s.root.Remove(lives); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	if n := len(s.lived); n > 0 && s.lived[n-1].number == s.number {
		return nil // of a flip that failed
	}
	// The process was started in the first, and may write there at any time.
	// Of those after it only what holds something is of interest.
	for i := len(s.lived) - 1; i > 0; i-- {
		if !s.holdsOutputs(s.lived[i]) {
			s.lived = slices.Delete(s.lived, i, i+1)
		}
	}
	s.lived = append(s.lived, past{s.number, s.index, s.layout})
	var lines strings.Builder
	for _, g := range s.lived {
		lines.WriteString(strconv.FormatUint(g.number, 10) + "\n")
	}
	return s.root.WriteFile(lives, []byte(lines.String()), 0o644)
}

// holdsOutputs tells whether a program has written to a generation, links of
// ours apart that have kept their names.
func (s *Store) holdsOutputs(g past) bool {
	return s.outputs(g, func(from, p string) error {
		if at, ok := s.elsewhere(from); ok && strings.HasSuffix(at, "/"+p) {
			return nil
		}
		return fs.ErrExist
	}) != nil
}

// share links what the process has written so far into next, from where it
// wrote it. The mount shows what is new at the top.
func (s *Store) share() error {
	for _, g := range s.lived {
		err := s.outputs(g, func(from, p string) error {
			if _, ok := s.elsewhere(from); ok {
				return nil // linked on from where it is
			}
			to := next + "/" + p
			if !strings.Contains(p, "/") {
				// As for what is kept, the tree's link leads to the volume's.
				if err := s.symlink(from, p); err != nil {
					return err
				}
				from = p
			}
			err := s.symlink(depth(folder(g.number)+"/"+p)+from, to)
			if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) {
				return nil // the folder is no code any more
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// livedThrough tells whether the process that runs has seen a generation: all
// that it wrote there is still to be carried.
func (s *Store) livedThrough(number uint64) bool {
	return slices.ContainsFunc(s.lived, func(g past) bool { return g.number == number })
}

// recall does at an agent's start what remember's generations wait for: their
// process is gone. What cannot be done is left to the next commit.
func (s *Store) recall() {
	raw, err := s.root.ReadFile(lives)
	if err != nil {
		return
	}
	for line := range strings.Lines(string(raw)) {
		n, err := strconv.ParseUint(strings.TrimSpace(line), 10, 64)
		if err != nil || n >= s.number {
			continue
		}
		lines, err := s.root.ReadFile(manifest(n))
		if err != nil {
			continue
		}
		index, err := tree.ParseManifest(lines)
		if err != nil {
			continue
		}
		g := past{n, index, layOut(index)}
		_ = g.layout.each(func(n *node) error { n.racy = true; return nil })
		s.lived = append(s.lived, g)
	}
	if len(s.lived) == 0 || s.carry() != nil {
		return
	}
	if _, err := s.expose(&plan{number: s.number, index: s.index, layout: s.layout}, folder(s.number)); err == nil {
		_ = s.remember(false)
	}
}
