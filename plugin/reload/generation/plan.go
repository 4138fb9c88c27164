package generation

import (
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// plan is a generation on its way to being staged.
type plan struct {
	number  uint64
	base    tree.Index
	root    tree.Digest
	changes tree.Changes
	came    map[[32]byte]string // contents and where on the volume they are
	opened  bool                // next is being turned into this generation
	dir     string              // of the content that came last
	folder  int                 // that folder of next, -1: none

	index  tree.Index // from here on what Stage made
	marks  []mark
	layout *node
	staged bool
	// repaired are the damaged files of the current tree, by their place in
	// its index, that the plan does not share.
	repaired map[int]bool
}

// shares tells whether the plan was built with a file that a program has
// written to since.
func (p *plan) shares(s *Store) bool {
	for i := range s.damaged {
		if p.repaired[i] {
			continue
		}
		old := s.index[i]
		if e, ok := p.index.Find(old.Path); ok && e.Kind == old.Kind && e.Sum == old.Sum {
			return true
		}
	}
	return false
}

// Begin starts a generation that changes make of the tree with digest base,
// or of nothing when base is zero. An earlier one that was not committed is
// dropped. It returns ErrBase when the current tree is another.
func (s *Store) Begin(number uint64, base, root tree.Digest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if number <= s.number {
		return fmt.Errorf("generation %d is not after generation %d", number, s.number)
	}
	p := &plan{number: number, root: root, came: map[[32]byte]string{}, folder: -1}
	switch {
	case base == tree.Digest{}:
	case base == s.digest && s.number != 0:
		p.base = s.index
	default:
		return ErrBase
	}
	if s.plan != nil {
		s.drop()
	}
	s.plan = p
	return nil
}

// drop forgets a plan with all that came for it.
func (s *Store) drop() {
	s.plan.closeFolder()
	_ = s.root.Remove(manifest(s.plan.number))
	_ = s.root.RemoveAll(incoming)
	_ = s.root.MkdirAll(incoming, 0o777)
	s.plan = nil
}

// Change adds to the difference. Nothing of it is checked before Stage.
func (s *Store) Change(changes tree.Changes) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.plan == nil {
		return ErrNotStaged
	}
	s.plan.changes.Puts = append(s.plan.changes.Puts, changes.Puts...)
	s.plan.changes.Deletes = append(s.plan.changes.Deletes, changes.Deletes...)
	return nil
}

// Stage builds the tree beside the current one and returns its digest, taken
// over what is on disk. Nothing that runs sees it. It returns a
// *MissingError, *DigestError or *tree.PathError.
func (s *Store) Stage() (tree.Digest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.plan
	if p == nil {
		return tree.Digest{}, fmt.Errorf("stage: %w", ErrNotStaged)
	}
	index := p.base.Apply(p.changes)
	if err := index.CheckChanged(p.base, p.changes); err != nil {
		return tree.Digest{}, err
	}
	lines := index.Manifest()
	if got := tree.Digest(sha256.Sum256(lines)); got != p.root {
		return tree.Digest{}, &DigestError{Want: p.root, Got: got}
	}
	if p.staged {
		return p.root, nil
	}
	p.index = index
	action := fmt.Sprintf("stage generation %d", p.number)
	if err := s.openNext(); err != nil {
		return tree.Digest{}, s.wrap(action, err)
	}
	if missing := s.missing(p); len(missing) > 0 {
		return tree.Digest{}, &MissingError{missing}
	}
	err := s.build(p)
	clear(p.came)
	p.closeFolder()
	p.opened = false // to be built again, next has to be a mirror first
	var missing *MissingError
	if errors.As(err, &missing) { // found only now; what came is to come again
		return tree.Digest{}, &MissingError{s.missing(p)}
	}
	if err != nil {
		return tree.Digest{}, s.wrap(action, err)
	}
	if err := s.root.WriteFile(manifest(p.number), lines, 0o644); err != nil {
		return tree.Digest{}, s.wrap(action, err)
	}
	p.staged = true
	return p.root, nil
}
