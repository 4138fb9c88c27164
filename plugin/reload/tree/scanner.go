package tree

import (
	"context"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Options say what a scan leaves out and who hears of it.
type Options struct {
	// Ignore holds patterns in gitignore syntax. They win over those of all
	// files.
	Ignore []string
	// IgnoreName and IgnoreLines say where each of them stands, for Explain.
	// Both may be left out.
	IgnoreName  string
	IgnoreLines []int
	// Enter is called with every folder of the tree before it is listed, "."
	// first: a watch set there misses nothing that the listing does not see.
	Enter func(dir string)
	// Read is called with the content of every file of at most ReadBytes that
	// a scan had to read, from several goroutines. It may keep the bytes.
	Read func(e Entry, content []byte)

	bare bool // no defaults, nothing held back; for the comparison with git
}

// ReadBytes is the size up to which Options.Read sees a file.
const ReadBytes = 256 << 10

// Scan returns the tree in the folder root. It returns a *RootError,
// *ReadError, *ChangingError or *PathError.
func Scan(ctx context.Context, root string, o Options) (Index, error) {
	return NewScanner(root, o).Scan(ctx)
}

// Scanner scans one folder again and again and reads only what changed. Not
// safe for concurrent use.
type Scanner struct {
	root     string
	o        Options
	defaults *source
	project  *source
	top      *folder
	nested   []*folder // that are the top of a repository of their own
	broken   bool      // the last scan ended half-way; look at everything again
	warnings []Warning
	holds    bool   // something was held back once
	reread   string // path that Reread ended at
	owed     int64  // bytes that it read too many
}

// NewScanner makes a scanner that has seen nothing yet.
func NewScanner(root string, o Options) *Scanner {
	s := &Scanner{root: root, o: o, project: listed(cmpOr(o.IgnoreName, "ignore list"), o.Ignore, o.IgnoreLines)}
	if !o.bare {
		s.defaults = listed("default", Defaults, nil)
	}
	return s
}

// folder is what is known of one folder.
type folder struct {
	path     string // "" for the root
	parent   *folder
	git, own *source     // its .gitignore and .kubectl-ai-ignore
	repo     *repository // that it is the top of; for the root, the one around it
	shut     *verdict    // it is ignored, and entered for what git tracks in it
	held     []HeldBack  // files in it that were held back
	children []child     // in the order of their entries in the index
}

// child is a file or a folder; exactly one of them is set.
type child struct {
	key  string // the name, with a slash after it for a folder
	file *file
	sub  *folder
}

// Scan looks at every folder and file of the tree.
func (s *Scanner) Scan(ctx context.Context) (Index, error) {
	if s.top == nil {
		s.top = &folder{}
	}
	return s.settle(ctx, func(p *pass) error {
		if _, err := s.outside(ctx, true); err != nil {
			return err
		}
		return p.list(s.top, true)
	})
}

// Rescan looks at the given folders and at those that are new in them; the
// rest is taken as the last scan left it, unless rules outside of the tree or
// git's index changed. Folders that are not part of the tree are no error.
func (s *Scanner) Rescan(ctx context.Context, dirs []string) (Index, error) {
	if s.top == nil || s.broken {
		return s.Scan(ctx)
	}
	return s.settle(ctx, func(p *pass) error {
		changed, err := s.outside(ctx, false)
		if err != nil {
			return err
		}
		if changed {
			return p.list(s.top, true)
		}
		for _, dir := range dirs {
			if err := p.list(s.nearest(dir), false); err != nil {
				return err
			}
		}
		return nil
	})
}

// Warnings returns what the last scan left out because it is no file.
func (s *Scanner) Warnings() []Warning { return slices.Clone(s.warnings) }

// Folders returns how many folders the tree has.
func (s *Scanner) Folders() int { return count(s.top) }

func count(f *folder) int {
	if f == nil {
		return 0
	}
	n := 1
	for _, c := range f.children {
		n += count(c.sub)
	}
	return n
}

// settle lists and reads until nothing vanishes in between.
func (s *Scanner) settle(ctx context.Context, first func(*pass) error) (Index, error) {
	s.warnings = s.warnings[:0]
	p := &pass{ctx: ctx, s: s}
	err := first(p)
	for i := 0; err == nil; i++ {
		var again []*folder
		if again, err = p.read(); err != nil || len(again) == 0 { //nolint:contextcheck // a pass lives inside one call and holds its context
			break
		}
		if i == attempts {
			err = &ChangingError{cmpOr(again[0].path, ".")}
			break
		}
		for _, f := range again {
			if err = p.list(f, false); err != nil {
				break
			}
		}
	}
	if s.broken = err != nil; s.broken {
		return nil, err
	}
	ix := flatten(make(Index, 0, 256), s.top)
	slices.SortFunc(s.warnings, func(a, b Warning) int { return strings.Compare(a.Path, b.Path) })
	s.warnings = slices.Compact(s.warnings)
	return ix, nil
}

func cmpOr(s, fallback string) string {
	if s == "" {
		return fallback
	}
	return s
}

// nearest returns the folder with that path, or the closest above it.
func (s *Scanner) nearest(dir string) *folder {
	f := s.top
	if dir = path.Clean(dir); dir == "." {
		return f
	}
	for name := range strings.SplitSeq(dir, "/") {
		i, ok := f.find(name + "/")
		if !ok {
			return f
		}
		f = f.children[i].sub
	}
	return f
}

func (f *folder) find(key string) (int, bool) {
	return slices.BinarySearchFunc(f.children, key, func(c child, k string) int { return strings.Compare(c.key, k) })
}

func (f *folder) join(name string) string {
	if f.path == "" {
		return name
	}
	return f.path + "/" + name
}

func flatten(ix Index, f *folder) Index {
	for _, c := range f.children {
		if c.sub != nil {
			ix = flatten(ix, c.sub)
		} else {
			ix = append(ix, c.file.Entry)
		}
	}
	return ix
}

func (s *Scanner) full(rel string) string { return filepath.Join(s.root, filepath.FromSlash(rel)) }
