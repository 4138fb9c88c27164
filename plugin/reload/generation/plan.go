package generation

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

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

// Receive takes the content of an entry; close it when all was written.
func (s *Store) Receive(e tree.Entry) (*Incoming, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.plan == nil {
		return nil, ErrNotStaged
	}
	if err := tree.CheckPath(e.Path); err != nil {
		return nil, err
	}
	in := &Incoming{s: s, plan: s.plan, entry: e}
	if err := s.openNext(); err != nil {
		return nil, s.wrap("prepare for content", err)
	}
	if in.f = s.plan.create(s, e); in.f != nil {
		in.at = next + "/" + e.Path
		return in, nil
	}
	// Something is in the way until the difference is complete.
	in.at = fmt.Sprintf("%s/%x", incoming, e.Sum)
	var err error
	if in.f, err = s.root.OpenFile(in.at, os.O_RDWR|os.O_CREATE|os.O_TRUNC, mode(e.Kind)); err != nil {
		return nil, s.wrap("write content", err)
	}
	return in, nil
}

// openNext takes next for the plan: from now on it is no mirror any more.
func (s *Store) openNext() error {
	if s.plan.opened {
		return nil
	}
	if err := s.prepare(); err != nil {
		return err
	}
	s.plan.opened, s.ready = true, false
	return nil
}

// create makes the file of an entry in next, nil where that cannot be yet.
// Contents come in the order of their paths, so that the folder is mostly
// that of the one before.
func (p *plan) create(s *Store, e tree.Entry) *os.File {
	dir, name := path.Split(e.Path)
	if p.folder < 0 || p.dir != dir {
		p.closeFolder()
		// Where the current tree has a link or a file, next still has it too.
		for up := path.Dir(e.Path); up != "."; up = path.Dir(up) {
			if _, leaf := s.index.Find(up); leaf {
				return nil
			}
		}
		if s.root.MkdirAll(path.Join(next, dir), 0o777) != nil {
			return nil
		}
		if p.folder = s.openFolder(path.Join(next, dir)); p.folder < 0 {
			return nil
		}
		p.dir = dir
	}
	if err := unix.Unlinkat(p.folder, name, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return nil
	}
	fd, err := unix.Openat(p.folder, name, unix.O_RDWR|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW|unix.O_CLOEXEC, uint32(mode(e.Kind)))
	if err != nil {
		return nil
	}
	return os.NewFile(uintptr(fd), e.Path)
}

func (p *plan) closeFolder() {
	closeFolder(p.folder)
	p.folder = -1
}

// Incoming is a content on its way.
type Incoming struct {
	s     *Store
	plan  *plan
	entry tree.Entry
	at    string // on the volume
	f     *os.File
	size  int64
}

// Write appends to the content.
func (in *Incoming) Write(p []byte) (int, error) {
	n, err := in.f.Write(p)
	in.size += int64(n)
	return n, in.s.wrap("write content", err)
}

// Close hashes what is on disk. It returns a *DigestError when that is not
// the content that was announced.
func (in *Incoming) Close() error {
	defer func() { _ = in.f.Close() }()
	h := sha256.New()
	if _, err := io.Copy(h, io.NewSectionReader(in.f, 0, in.size)); err != nil {
		return in.s.wrap("read content back", err)
	}
	if got := tree.Digest(h.Sum(nil)); got != in.entry.Sum {
		return &DigestError{Want: in.entry.Sum, Got: got}
	}
	// Whatever the umask: the mode is part of the tree.
	want := mode(in.entry.Kind)
	var st unix.Stat_t
	if err := unix.Fstat(int(in.f.Fd()), &st); err != nil || fs.FileMode(st.Mode)&fs.ModePerm != want {
		if err := in.f.Chmod(want); err != nil {
			return in.s.wrap("write content", err)
		}
	}
	in.s.mu.Lock()
	defer in.s.mu.Unlock()
	in.plan.came[in.entry.Sum] = in.at
	return nil
}

// Abort gives up on the content.
func (in *Incoming) Abort() { _ = in.f.Close() }

// Open returns a content of the current tree, to build another on. It looks
// before whether a program has written to it.
func (s *Store) Open(sum [32]byte) (*os.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, e := range s.index {
		if e.Sum != sum || e.Kind == tree.Link {
			continue
		}
		p := folder(s.number) + "/" + e.Path
		var now mark
		if err := now.take(s.dir + "/" + p); err != nil {
			s.damaged[i] = true
			continue
		}
		if now != s.marks[i] {
			s.check(i, now)
		}
		if !s.damaged[i] {
			return s.root.Open(p)
		}
	}
	return nil, fmt.Errorf("content %x: %w", sum[:6], fs.ErrNotExist)
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
	if err != nil {
		return tree.Digest{}, s.wrap(action, err)
	}
	if err := s.root.WriteFile(manifest(p.number), lines, 0o644); err != nil {
		return tree.Digest{}, s.wrap(action, err)
	}
	p.staged = true
	return p.root, nil
}

// puts returns what next has to get: what differs from the current tree, and
// the files of it that programs have written to.
func (s *Store) puts(p *plan) tree.Changes {
	c := p.index.Diff(s.index)
	for i := range s.damaged {
		old := s.index[i]
		if e, ok := p.index.Find(old.Path); ok && e.Kind == old.Kind && e.Sum == old.Sum {
			c.Puts = append(c.Puts, e)
		}
	}
	return c
}

// missing returns the contents without which the plan cannot be built.
func (s *Store) missing(p *plan) [][32]byte {
	var sums [][32]byte
	asked := map[[32]byte]bool{}
	var held map[[32]byte]int
	for _, e := range s.puts(p).Puts {
		if e.Kind == tree.Link || p.came[e.Sum] != "" || asked[e.Sum] {
			continue
		}
		if held == nil {
			held = s.held()
		}
		if _, ok := held[e.Sum]; !ok {
			sums, asked[e.Sum] = append(sums, e.Sum), true
		}
	}
	return sums
}

// held finds intact files of the current tree by content.
func (s *Store) held() map[[32]byte]int {
	m := make(map[[32]byte]int, len(s.index))
	for i, e := range s.index {
		if e.Kind != tree.Link && !s.damaged[i] {
			m[e.Sum] = i
		}
	}
	return m
}

// build turns next, which is the current tree, into the plan's.
func (s *Store) build(p *plan) error {
	changes := s.puts(p)
	p.repaired = maps.Clone(s.damaged)
	for _, gone := range changes.Deletes {
		if err := s.clear(next + "/" + gone); err != nil {
			return err
		}
		// Folders that hold nothing any more are not part of a tree.
		for dir := path.Dir(gone); dir != "."; dir = path.Dir(dir) {
			if s.root.Remove(next+"/"+dir) != nil {
				break
			}
		}
	}
	b := &builder{s: s, p: p, placed: map[string]string{}, touched: map[string]bool{}}
	for _, e := range changes.Puts {
		if err := b.place(e); err != nil {
			return err
		}
		b.touched[e.Path] = true
	}
	p.layout = layOut(p.index)
	p.marks = make([]mark, len(p.index))
	j := 0
	for i, e := range p.index {
		for j < len(s.index) && s.index[j].Path < e.Path {
			j++
		}
		if !b.touched[e.Path] && j < len(s.index) && s.index[j].Path == e.Path {
			p.marks[i] = s.marks[j]
			continue
		}
		if err := p.marks[i].take(s.dir + "/" + next + "/" + e.Path); err != nil {
			return err
		}
	}
	return nil
}

// builder places entries into next.
type builder struct {
	s       *Store
	p       *plan
	placed  map[string]string // kind and content → a path of the volume that has it
	touched map[string]bool   // paths of the new tree whose inode is not the old one's, or has another time
	held    map[[32]byte]int
}

func key(kind tree.Kind, sum [32]byte) string { return string(append([]byte{byte(kind)}, sum[:]...)) }

func (b *builder) place(e tree.Entry) error {
	s, to, k := b.s, next+"/"+e.Path, key(e.Kind, e.Sum)
	came := b.p.came[e.Sum]
	if came == to { // it was written where it belongs
		b.placed[k] = to
		return nil
	}
	if dir := path.Dir(e.Path); dir != "." {
		if err := s.root.MkdirAll(next+"/"+dir, 0o777); err != nil {
			return err
		}
	}
	if err := s.clear(to); err != nil {
		return err
	}
	if e.Kind == tree.Link {
		return s.root.Symlink(e.Target, to)
	}
	if from, ok := b.placed[k]; ok {
		if s.link(from, to) == nil {
			return nil
		}
		return s.copy(from, to, e.Kind)
	}
	b.placed[k] = to
	if came != "" {
		// For another path or as another kind: an inode of its own.
		return s.copy(came, to, e.Kind)
	}
	if b.held == nil {
		b.held = s.held()
	}
	i, ok := b.held[e.Sum]
	if !ok {
		return &MissingError{[][32]byte{e.Sum}}
	}
	old := s.index[i]
	from := folder(s.number) + "/" + old.Path
	// A changed mode is a new inode, or the old generation would change too.
	if old.Kind == e.Kind && s.link(from, to) == nil {
		b.touched[old.Path] = true // its inode has a new time
		return s.marks[i].take(s.dir + "/" + from)
	}
	return s.copy(from, to, e.Kind)
}

// clear removes whatever has a name in next.
func (s *Store) clear(p string) error {
	err := s.root.Remove(p)
	if err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil
	}
	return s.root.RemoveAll(p)
}

func (s *Store) link(from, to string) error {
	// Not through the root, which would open every folder on the way: both
	// paths were checked, and lie in trees that this store made.
	return unix.Linkat(unix.AT_FDCWD, s.dir+"/"+from, unix.AT_FDCWD, s.dir+"/"+to, 0)
}

// copy makes an inode of its own.
func (s *Store) copy(from, to string, kind tree.Kind) error {
	in, err := s.root.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := s.root.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Chmod(mode(kind)), out.Close())
}

func mode(kind tree.Kind) fs.FileMode {
	if kind == tree.Executable {
		return 0o755
	}
	return 0o644
}

// depth returns the way up from a path's folder to the volume.
func depth(p string) string { return strings.Repeat("../", strings.Count(p, "/")) }
