// Package generation keeps complete code trees on a pod's volume and makes
// one of them current by flipping one link, so that nobody sees half a tree.
//
// The volume is mounted at the place where containers expect the code, which
// therefore cannot itself be the link. It holds
//
//	.kubectl-ai/gen/<n>/…         complete trees, hard links where unchanged
//	.kubectl-ai/gen/<n>.manifest  what the tree is; its SHA-256 is the digest
//	.kubectl-ai/current           link to gen/<n>
//	.kubectl-ai/data/…            what programs wrote inside folders of code
//	<name>                        link to .kubectl-ai/current/<name>, or what
//	                              programs wrote at the top, kept for good
//
// (the kubelet's atomic writer of ConfigMaps works alike).
package generation

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

const (
	own     = tree.Reserved
	gens    = own + "/gen"
	current = own + "/current"
	staging = own + "/staging"
	blobs   = own + "/incoming"
	data    = own + "/data"
)

// keep is how many generations stay on the volume.
const keep = 5

// ErrNotStaged says that a generation is not complete on the volume.
var ErrNotStaged = errors.New("generation is not staged")

// NoSpaceError says that the volume is full; the old tree is untouched.
type NoSpaceError struct {
	Dir string
	Err error
}

func (e *NoSpaceError) Error() string { return fmt.Sprintf("%s is full: %v", e.Dir, e.Err) }
func (e *NoSpaceError) Unwrap() error { return e.Err }

// DigestError says that a tree on disk is not the one that was announced.
type DigestError struct{ Want, Got tree.Digest }

func (e *DigestError) Error() string {
	return fmt.Sprintf("the staged tree is %s, announced was %s", e.Got.Short(), e.Want.Short())
}

// Store is the volume of one container. It is safe for concurrent use.
type Store struct {
	dir  string
	root *os.Root // nothing leaves the volume, whatever a path says

	mu      sync.Mutex
	number  uint64 // committed; 0: none
	index   tree.Index
	written map[string]mark // files of the current tree as they were written
	plan    *plan
}

// mark recognises a file that something else wrote to.
type mark struct {
	size     int64
	modified time.Time
}

// plan is a generation on its way to being staged.
type plan struct {
	number uint64
	digest tree.Digest
	index  tree.Index
	need   map[[32]byte]bool
	staged bool
}

// Open opens the volume mounted at dir and restores what is committed on it.
func Open(dir string) (*Store, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open the code volume: %w", err)
	}
	s := &Store{dir: dir, root: root, written: map[string]mark{}}
	for _, d := range []string{own, gens, blobs, data} {
		if err := mkdir(root, d); err != nil {
			return nil, s.wrap("prepare the code volume", err)
		}
	}
	if err := s.restore(); err != nil {
		return nil, err
	}
	return s, nil
}

// restore reads which generation was current, if any.
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
	s.number = n
	// Marks are lost with the process; whatever differs is found by hashing.
	for _, e := range s.index {
		if sum, kind, err := s.hash(folder(n) + "/" + e.Path); err == nil && sum == e.Sum && kind == e.Kind {
			s.remember(n, e)
		}
	}
	return nil
}

// Current returns the committed generation, 0 when there is none.
func (s *Store) Current() (uint64, tree.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.number == 0 {
		return 0, tree.Digest{}
	}
	return s.number, s.index.Digest()
}

// Path returns the resolved folder of a committed generation.
func (s *Store) Path(number uint64) string { return s.dir + "/" + folder(number) }

// Prepare begins a generation that changes makes of the current tree, or of
// nothing when full. It returns the contents that Put has to bring: those
// that are not on the volume, and those whose file something else has changed
// since it was written. An earlier unfinished generation is dropped.
func (s *Store) Prepare(number uint64, digest tree.Digest, full bool, changes tree.Changes) ([][32]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	base := s.index
	if full {
		base = nil
	}
	index := base.Apply(changes)
	if err := index.Check(); err != nil {
		return nil, err
	}
	if got := index.Digest(); got != digest {
		return nil, &DigestError{Want: digest, Got: got}
	}
	if number <= s.number {
		return nil, fmt.Errorf("generation %d is not after generation %d", number, s.number)
	}
	s.plan = &plan{number: number, digest: digest, index: index, need: map[[32]byte]bool{}}
	have := map[[32]byte]bool{}
	for _, e := range s.index {
		if e.Kind != tree.Link && s.intact(e) {
			have[e.Sum] = true
		}
	}
	var need [][32]byte
	for _, e := range index {
		if e.Kind == tree.Link || have[e.Sum] || s.plan.need[e.Sum] {
			continue
		}
		s.plan.need[e.Sum] = true
		need = append(need, e.Sum)
	}
	if err := s.root.RemoveAll(blobs); err != nil {
		return nil, s.wrap("clear what was staged", err)
	}
	return need, s.wrap("prepare staging", mkdir(s.root, blobs))
}

// Put brings a content that Prepare asked for. Its sum has been checked.
func (s *Store) Put(sum [32]byte, content []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.plan == nil || !s.plan.need[sum] {
		return fmt.Errorf("content %x was not asked for", sum[:6])
	}
	if err := s.root.WriteFile(blob(sum), content, 0o644); err != nil {
		return s.wrap("write content", err)
	}
	delete(s.plan.need, sum)
	return nil
}

// Base returns a content of the current tree, for use as a dictionary.
func (s *Store) Base(sum [32]byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.index {
		if e.Sum == sum && e.Kind != tree.Link {
			return s.root.ReadFile(folder(s.number) + "/" + e.Path)
		}
	}
	return nil, fmt.Errorf("content %x is not on the volume", sum[:6])
}

// Stage builds the prepared tree beside the current one. Nothing that runs
// sees it.
func (s *Store) Stage() (tree.Digest, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.plan
	if p == nil || len(p.need) > 0 {
		return tree.Digest{}, fmt.Errorf("stage: %w", ErrNotStaged)
	}
	if err := s.build(p); err != nil {
		return tree.Digest{}, s.wrap(fmt.Sprintf("stage generation %d", p.number), err)
	}
	p.staged = true
	return p.digest, nil
}

func (s *Store) build(p *plan) error {
	if err := s.root.RemoveAll(staging); err != nil {
		return err
	}
	if err := mkdir(s.root, staging); err != nil {
		return err
	}
	// Sources of unchanged contents, by sum and kind: a changed mode is a new
	// inode, or the old generation would change with it.
	sources := map[string]string{}
	for _, e := range s.index {
		if e.Kind != tree.Link && s.intact(e) {
			sources[string(e.Sum[:])+e.Kind.String()] = folder(s.number) + "/" + e.Path
			sources[string(e.Sum[:])] = folder(s.number) + "/" + e.Path
		}
	}
	made := map[string]bool{".": true}
	for _, e := range p.index {
		if dir := path.Dir(e.Path); !made[dir] {
			if err := s.root.MkdirAll(staging+"/"+dir, 0o777); err != nil {
				return err
			}
			made[dir] = true
		}
		if err := s.place(e, sources); err != nil {
			return err
		}
	}
	if err := s.root.WriteFile(manifest(p.number), p.index.Manifest(), 0o644); err != nil {
		return err
	}
	if err := s.root.RemoveAll(folder(p.number)); err != nil {
		return err
	}
	return s.root.Rename(staging, folder(p.number))
}

// place puts one entry into the staged tree.
func (s *Store) place(e tree.Entry, sources map[string]string) error {
	to := staging + "/" + e.Path
	if e.Kind == tree.Link {
		return s.root.Symlink(e.Target, to)
	}
	if from, ok := sources[string(e.Sum[:])+e.Kind.String()]; ok {
		// Not through the root, which would open every folder on the way: both
		// paths were checked, and lie in trees that this store made.
		if err := os.Link(s.dir+"/"+from, s.dir+"/"+to); err == nil {
			return nil
		}
		// Some volumes know no hard links; a copy does as well.
	}
	from, ok := sources[string(e.Sum[:])]
	if !ok {
		from = blob(e.Sum)
	}
	content, err := s.root.ReadFile(from)
	if err != nil {
		return err
	}
	mode := fs.FileMode(0o644)
	if e.Kind == tree.Executable {
		mode = 0o755
	}
	if err := s.root.WriteFile(to, content, mode); err != nil {
		return err
	}
	return s.root.Chmod(to, mode)
}

// Commit makes the staged generation the current one. Call it while no
// process runs in the old one: what programs wrote beside their code moves
// along. Readers see the old tree or the new one, never a mix (rename(2)).
func (s *Store) Commit(number uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.plan
	if p == nil || !p.staged || p.number != number {
		return fmt.Errorf("commit generation %d: %w", number, ErrNotStaged)
	}
	action := fmt.Sprintf("commit generation %d", number)
	if s.number != 0 {
		if err := s.carry(s.number); err != nil {
			return s.wrap(action, err)
		}
	}
	if err := s.expose(p); err != nil {
		return s.wrap(action, err)
	}
	next := own + "/current.next"
	_ = s.root.Remove(next)
	if err := s.root.Symlink("gen/"+strconv.FormatUint(number, 10), next); err != nil {
		return s.wrap(action, err)
	}
	if err := s.root.Rename(next, current); err != nil {
		return s.wrap(action, err)
	}
	s.number, s.index, s.plan = number, p.index, nil
	s.written = make(map[string]mark, len(p.index))
	for _, e := range p.index {
		s.remember(number, e)
	}
	s.prune()
	return nil
}

// prune removes generations beyond the last few. What cannot be removed now
// is removed after a later commit.
func (s *Store) prune() {
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
	for len(numbers) >= keep {
		_ = s.root.RemoveAll(folder(numbers[0]))
		_ = s.root.Remove(manifest(numbers[0]))
		numbers = numbers[1:]
	}
}

func (s *Store) remember(number uint64, e tree.Entry) {
	if info, err := os.Lstat(s.Path(number) + "/" + e.Path); err == nil {
		s.written[e.Path] = mark{info.Size(), info.ModTime()}
	}
}

// intact tells whether a file of the current tree is still as it was written.
func (s *Store) intact(e tree.Entry) bool {
	info, err := os.Lstat(s.Path(s.number) + "/" + e.Path)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	m, ok := s.written[e.Path]
	return ok && m.size == info.Size() && m.modified.Equal(info.ModTime())
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
func blob(sum [32]byte) string      { return fmt.Sprintf("%s/%x", blobs, sum) }

// mkdir makes a folder that other users of the pod may use as well: the
// container may run under another user than the one that made it.
func mkdir(root *os.Root, dir string) error {
	if err := root.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	return nil
}

// depth returns the way up from a path's folder to the volume.
func depth(p string) string { return strings.Repeat("../", strings.Count(p, "/")) }
