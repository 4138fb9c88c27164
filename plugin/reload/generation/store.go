// Package generation keeps complete code trees on a pod's volume and makes
// one of them current by flipping one link, so that nobody sees half a tree.
//
// The volume is mounted at the place where containers expect the code, which
// therefore cannot itself be the link. It holds
//
//	.kubectl-ai/gen/<n>/…         complete trees, hard links where unchanged
//	.kubectl-ai/gen/<n>.manifest  what the tree is; its SHA-256 is the digest
//	.kubectl-ai/current           link to gen/<n>
//	.kubectl-ai/next/…            the current tree once more, ahead of a save
//	.kubectl-ai/incoming/…        contents on their way
//	.kubectl-ai/data/…            what programs wrote inside folders of code
//	<name>                        link to .kubectl-ai/current/<name>, or what
//	                              programs wrote at the top, kept for good
//
// (the kubelet's atomic writer of ConfigMaps works alike).
//
// A save costs what it changes, not what the tree holds: next is made ready
// between saves, from the oldest generation where there are enough, because
// that one differs from the current one by a few files. A changed file or
// mode is always a new inode. What a program writes into its own source is
// found by the file's times and hash, and never linked into the generation
// after it.
package generation

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

const (
	own      = tree.Reserved
	gens     = own + "/gen"
	current  = own + "/current"
	next     = own + "/next"
	incoming = own + "/incoming"
	data     = own + "/data"
)

// keep is how many generations stay on the volume, chosen so that a reader
// that has resolved one has some saves' time to finish.
const keep = 5

// ErrNotStaged says that a generation is not complete on the volume.
var ErrNotStaged = errors.New("generation is not staged")

// ErrBase says that the volume does not hold the tree that a difference
// builds on.
var ErrBase = errors.New("the volume does not hold the base of the difference")

// NoSpaceError says that the volume is full; the old tree is untouched.
type NoSpaceError struct {
	Dir string
	Err error
}

func (e *NoSpaceError) Error() string { return fmt.Sprintf("%s is full: %v", e.Dir, e.Err) }
func (e *NoSpaceError) Unwrap() error { return e.Err }

// DigestError says that what is on disk is not what was announced.
type DigestError struct{ Want, Got tree.Digest }

func (e *DigestError) Error() string {
	return fmt.Sprintf("the staged tree is %s, announced was %s", e.Got.Short(), e.Want.Short())
}

// MissingError lists contents that have to come before a generation can be
// staged or committed: nobody sent them, and the volume does not hold them
// intact.
type MissingError struct{ Sums [][32]byte }

func (e *MissingError) Error() string { return fmt.Sprintf("%d contents are missing", len(e.Sums)) }

// Store is the volume of one container. It is safe for concurrent use.
type Store struct {
	dir  string
	root *os.Root // nothing leaves the volume, whatever a path says

	mu      sync.Mutex
	number  uint64 // committed; 0: none
	digest  tree.Digest
	index   tree.Index
	marks   []mark // of index's files, as they were written
	layout  *node  // of index
	damaged map[int]bool
	ready   bool // next holds the current tree
	plan    *plan
	lived   []past   // generations before the current one that a process may write to
	after   exposure // what the last commit could not do at the volume's top
}

// Open opens the volume mounted at dir and restores what is committed on it.
func Open(dir string) (*Store, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the code volume: %w", err)
	}
	s := &Store{dir: dir, root: root, layout: &node{}, damaged: map[int]bool{}}
	for _, d := range []string{own, gens, incoming, data} {
		if err := root.MkdirAll(d, 0o777); err != nil {
			return nil, s.wrap("prepare the code volume", err)
		}
	}
	if err := s.restore(); err != nil {
		return nil, err
	}
	return s, nil
}

// Close releases the volume.
func (s *Store) Close() error { return s.root.Close() }

// restore reads which generation was current, if any. Marks are lost with the
// process that made them, so every file is hashed.
func (s *Store) restore() error {
	target, err := s.root.Readlink(current)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return s.wrap("read the current generation", err)
	}
	n, err := strconv.ParseUint(path.Base(target), 10, 64)
	if err != nil {
		return fmt.Errorf("current generation is called %q", target)
	}
	raw, err := s.root.ReadFile(manifest(n))
	if err != nil {
		return s.wrap("read the manifest", err)
	}
	if s.index, err = tree.ParseManifest(raw); err != nil {
		return fmt.Errorf("generation %d: %w", n, err)
	}
	s.number, s.digest, s.layout = n, sha256.Sum256(raw), layOut(s.index)
	for i, e := range s.index {
		if e.Kind == tree.Link { // a manifest has no targets
			if target, err := s.root.Readlink(folder(n) + "/" + e.Path); err == nil && sha256.Sum256([]byte(target)) == e.Sum {
				s.index[i].Target = target
			}
		}
	}
	s.marks = make([]mark, len(s.index))
	s.rehash()
	s.recall()
	return nil
}

// Current returns the committed generation, 0 when there is none.
func (s *Store) Current() (uint64, tree.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.number, s.digest
}

// Path returns the resolved folder of a committed generation.
func (s *Store) Path(number uint64) string { return s.dir + "/" + folder(number) }

// Next returns the folder in which a staged generation is until it is
// committed.
func (s *Store) Next() string { return s.dir + "/" + next }

// Commit makes the staged generation the current one. Call it while no
// process runs in an earlier one: what programs wrote beside their code moves
// along. Readers see the old tree or the new one, never a mix (rename(2)).
//
// A *MissingError says that a program has written to a file which the staged
// tree shares; the generation can be staged again once its content came.
func (s *Store) Commit(number uint64) error { return s.commit(number, false) }

// CommitUnder is Commit while a process runs on in an earlier generation. That
// one stays on the volume and nothing in it moves: a file there may be half
// written. The next Commit finds what the process wrote, wherever it did.
func (s *Store) CommitUnder(number uint64) error { return s.commit(number, true) }

func (s *Store) commit(number uint64, runsOn bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.plan
	if p == nil || !p.staged || p.number != number {
		return fmt.Errorf("commit generation %d: %w", number, ErrNotStaged)
	}
	action := fmt.Sprintf("commit generation %d", number)
	if s.number != 0 {
		if s.sweep(); p.shares(s) {
			p.staged = false
			return &MissingError{s.missing(p)}
		}
		if !runsOn {
			if err := s.carry(); err != nil {
				return s.wrap(action, err)
			}
		}
	}
	after, err := s.expose(p, next)
	if err == nil {
		err = s.remember(runsOn)
	}
	if err == nil && runsOn {
		after.taken = nil // the output keeps its name while its program runs
		err = s.share()
	}
	if err == nil {
		err = s.flip(number)
	}
	if err != nil {
		return s.wrap(action, err)
	}
	s.number, s.digest, s.index, s.marks, s.layout = number, p.root, p.index, p.marks, p.layout
	s.plan, s.ready = nil, false
	clear(s.damaged)
	s.after = s.finish(after)
	top := s.openFolder(folder(number))
	s.layout.stamp(top)
	closeFolder(top)
	return nil
}

// flip makes next the generation of that number, and it the current one. What
// is current stays so where that fails.
func (s *Store) flip(number uint64) error {
	if err := s.root.RemoveAll(folder(number)); err != nil {
		return err
	}
	if err := s.root.Rename(next, folder(number)); err != nil {
		return err
	}
	link := own + "/current.next"
	_ = s.root.Remove(link)
	err := s.root.Symlink("gen/"+strconv.FormatUint(number, 10), link)
	if err == nil {
		err = s.root.Rename(link, current)
	}
	if err != nil {
		return errors.Join(err, s.root.Rename(folder(number), next))
	}
	return nil
}

// full is the part of a volume from which on its user hears of it.
const full = 0.8

// Room returns the bytes that are free on the volume, and whether it is so
// full that a generation or two more may not fit.
func (s *Store) Room() (free int64, filling bool) {
	var st unix.Statfs_t
	if unix.Statfs(s.dir, &st) != nil || st.Blocks == 0 {
		return 0, false
	}
	free = int64(st.Bavail) * st.Bsize
	s.mu.Lock()
	size := s.index.Size()
	s.mu.Unlock()
	// On a large disk, a fifth of it is plenty whatever is used.
	return free, float64(st.Bavail) < (1-full)*float64(st.Blocks) && free < 10*size+(64<<20)
}

// Settle does between saves what a save should not wait for: it looks for
// files that programs have written to, and makes next ready. A save that
// comes earlier does it itself.
func (s *Store) Settle() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.plan == nil {
		s.after = s.finish(s.after)
	}
	if s.number == 0 || s.plan != nil || s.ready {
		return nil
	}
	s.sweep()
	return s.wrap("prepare for the next generation", s.prepare())
}

// prepare makes next the current tree once more.
func (s *Store) prepare() error {
	if s.ready {
		return nil
	}
	if _, err := s.root.Lstat(next); errors.Is(err, fs.ErrNotExist) {
		s.recycle()
	}
	if err := s.mirror(); err != nil {
		return err
	}
	s.ready = true
	return nil
}

// recycle takes the oldest generation as the beginning of next and removes
// those beyond the last few. What cannot be removed now is removed later.
func (s *Store) recycle() {
	entries, err := fs.ReadDir(s.root.FS(), gens)
	if err != nil {
		return
	}
	var numbers []uint64
	for _, e := range entries {
		if n, err := strconv.ParseUint(e.Name(), 10, 64); err == nil && n != s.number {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	removed := false
	for ; len(numbers) >= keep; numbers = numbers[1:] {
		oldest := numbers[0]
		if s.inUse(oldest) || s.livedThrough(oldest) {
			continue // a program still lives in it
		}
		if len(numbers) == keep {
			if s.root.Rename(folder(oldest), next) == nil {
				_ = s.root.Remove(manifest(oldest))
			}
			break
		}
		if !removed {
			s.sweep() // removing links moves the files' change times
		}
		_ = s.root.RemoveAll(folder(oldest))
		_ = s.root.Remove(manifest(oldest))
		removed = true
	}
	if removed {
		s.refresh()
	}
}

func (s *Store) wrap(action string, err error) error {
	if err == nil {
		return nil
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		err = &NoSpaceError{Dir: s.dir, Err: err}
	}
	return fmt.Errorf("%s: %w", action, err)
}

func folder(number uint64) string   { return gens + "/" + strconv.FormatUint(number, 10) }
func manifest(number uint64) string { return folder(number) + ".manifest" }
