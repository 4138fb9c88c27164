package tree

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// repository is the git repository that a folder of the tree lies in: the one
// around the whole tree, or one whose top is a folder of it. It is the end of
// what rules of git reach from a file upwards.
type repository struct {
	worktree
	dir    string // the folder of the tree that it belongs to, full path
	prefix string // from the top of the repository to dir, with a slash after; "" at the top

	above   []above // .gitignore files above dir, the nearest first
	exclude source  // info/exclude
	global  source  // core.excludesFile
	shadow  found   // the rule that ignores dir itself, or one above it

	settings  settings
	config    []identity // of the files that settings come from
	index     identity
	listing   string   // what git ls-files printed
	tracked   []string // relative to dir, sorted bytewise
	gitErr    error    // why git did not say what it tracks
	refreshed bool
}

// above is a .gitignore file outside of the tree.
type above struct {
	source
	full string
	base int // bytes of its folder's path from the top, with the slash after
}

// worktree is where git keeps a working tree and what belongs to it.
type worktree struct {
	top    string // of the working tree
	gitDir string // with the index
	common string // with info/exclude and config; another one in linked worktrees
}

// findRepository returns the repository around dir, or nil. Names of files
// above it are relative to dir.
func findRepository(dir string) *repository {
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return nil
	}
	if real, err = filepath.Abs(real); err != nil {
		return nil
	}
	for top := real; ; top = filepath.Dir(top) {
		if w, ok := worktreeAt(top); ok {
			return newRepository(w, real)
		}
		if top == filepath.Dir(top) {
			return nil
		}
	}
}

func newRepository(w worktree, dir string) *repository {
	r := &repository{worktree: w, dir: dir}
	r.exclude.name = r.shown(filepath.Join(w.common, "info", "exclude"))
	if dir == w.top {
		return r
	}
	rel, err := filepath.Rel(w.top, dir)
	if err != nil {
		return r
	}
	r.prefix = filepath.ToSlash(rel) + "/"
	for at := filepath.Dir(dir); ; at = filepath.Dir(at) {
		full := filepath.Join(at, ".gitignore")
		base := 0
		if at != w.top {
			base = len(at) - len(strings.TrimSuffix(w.top, string(filepath.Separator)))
		}
		r.above = append(r.above, above{source: source{name: r.shown(full)}, full: full, base: base})
		if base == 0 {
			return r
		}
	}
}

// shown is how people find a file: relative to the tree where git's files lie
// in the same working tree, else its full path.
func (r *repository) shown(full string) string {
	if full != r.top && strings.HasPrefix(full, strings.TrimSuffix(r.top, string(filepath.Separator))+string(filepath.Separator)) {
		if rel, err := filepath.Rel(r.dir, full); err == nil {
			return filepath.ToSlash(rel)
		}
	}
	return full
}

// worktreeAt tells whether dir is the top of a working tree: .git is a
// repository, or a file that leads to one (linked worktrees, submodules).
func worktreeAt(dir string) (worktree, bool) {
	w := worktree{top: dir, gitDir: filepath.Join(dir, ".git")}
	info, err := os.Stat(w.gitDir)
	if err != nil {
		return w, false
	}
	if info.Mode().IsRegular() {
		to, ok := pointer(w.gitDir, "gitdir: ", dir)
		if !ok {
			return w, false
		}
		w.gitDir = to
	}
	w.common = w.gitDir
	if to, ok := pointer(filepath.Join(w.gitDir, "commondir"), "", w.gitDir); ok {
		w.common = to
	}
	for _, must := range []string{filepath.Join(w.gitDir, "HEAD"), filepath.Join(w.common, "objects"), filepath.Join(w.common, "refs")} {
		if _, err := os.Lstat(must); err != nil {
			return w, false
		}
	}
	return w, true
}

// pointer reads a file that holds nothing but a path, relative to base.
func pointer(file, before, base string) (string, bool) {
	const most = 64 << 10
	if info, err := os.Stat(file); err != nil || info.Size() > most {
		return "", false
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		return "", false
	}
	path, ok := strings.CutPrefix(strings.TrimRight(string(raw), "\r\n"), before)
	if !ok || path == "" {
		return "", false
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(base, path)
	}
	return filepath.Clean(path), true
}

// refresh brings up to date what lies outside of the tree and tells whether
// it may lead to another decision. Each file is looked at once; git is asked
// only after one of its own files changed.
func (r *repository) refresh(ctx context.Context) (changed bool, err error) {
	if changed, err = r.configure(ctx); err != nil {
		return false, err
	}
	// Like git, do without a file that cannot be read.
	look := func(s *source, full string) {
		c, _ := s.refresh(full, os.Stat)
		changed = changed || c
	}
	for i := range r.above {
		c, _ := r.above[i].refresh(r.above[i].full, os.Lstat)
		changed = changed || c
	}
	look(&r.exclude, filepath.Join(r.common, "info", "exclude"))
	if r.settings.excludesFile != "" {
		look(&r.global, r.settings.excludesFile)
	}
	if changed {
		r.shadow = r.shadowing()
	}
	c, err := r.list(ctx)
	r.refreshed = true
	return changed || c, err
}

// configure asks git for its settings when one of their files changed.
func (r *repository) configure(ctx context.Context) (changed bool, err error) {
	var ids []identity
	for _, f := range configFiles(r.worktree) {
		var id identity
		if info, err := os.Stat(f); err == nil {
			id = identify(info)
		}
		ids = append(ids, id)
	}
	if r.refreshed && slices.Equal(ids, r.config) {
		return false, nil
	}
	now, err := readSettings(ctx, r.worktree)
	if err != nil {
		return false, err
	}
	r.config = ids
	if now == r.settings {
		return false, nil
	}
	if now.excludesFile != r.settings.excludesFile {
		r.global = source{name: now.excludesFile}
	}
	r.settings = now
	return true, nil
}

// list asks git for tracked files when the index is another one.
func (r *repository) list(ctx context.Context) (changed bool, err error) {
	var id identity
	if info, err := os.Stat(filepath.Join(r.gitDir, "index")); err == nil {
		id = identify(info)
	}
	if r.refreshed && r.index == id {
		return false, nil
	}
	listing, err := lsFiles(ctx, r.dir)
	if ctx.Err() != nil {
		return false, ctx.Err()
	}
	r.gitErr = nil
	if err != nil {
		r.gitErr = &GitError{Dir: r.top, Err: err}
	}
	r.index = id
	if listing == r.listing {
		return false, nil
	}
	r.listing, r.tracked = listing, nil
	if listing != "" {
		r.tracked = strings.Split(strings.TrimSuffix(listing, "\x00"), "\x00")
	}
	if !slices.IsSorted(r.tracked) {
		slices.Sort(r.tracked)
	}
	return true, nil
}

// tracks tells whether git tracks the file with that path.
func (r *repository) tracks(path string) bool {
	_, ok := slices.BinarySearch(r.tracked, path)
	return ok
}

// tracksBelow tells whether git tracks a file in the folder with that path.
func (r *repository) tracksBelow(path string) bool {
	path += "/"
	i, _ := slices.BinarySearch(r.tracked, path)
	return i < len(r.tracked) && strings.HasPrefix(r.tracked[i], path)
}

// match returns what the rules outside of the tree say of a path in it.
func (r *repository) match(path, name string, dir bool) found {
	if r.shadow.rule != nil {
		return found{}
	}
	return r.matchFromTop(r.prefix+path, name, dir)
}

// matchFromTop asks the .gitignore files above the tree that lie above the
// path, then info/exclude, then core.excludesFile.
func (r *repository) matchFromTop(path, name string, dir bool) found {
	for i := range r.above {
		a := &r.above[i]
		if a.base > len(path)-len(name) {
			continue // beside or below the path
		}
		if f := a.match(path[a.base:], name, dir, r.settings.ignoreCase); f.rule != nil {
			return f
		}
	}
	for _, s := range []*source{&r.exclude, &r.global} {
		if f := s.match(path, name, dir, r.settings.ignoreCase); f.rule != nil {
			return f
		}
	}
	return found{}
}

// shadowing returns the rule that ignores dir as a whole, if there is one.
func (r *repository) shadowing() found {
	start := 0
	for i := range len(r.prefix) {
		if r.prefix[i] != '/' {
			continue
		}
		if f := r.matchFromTop(r.prefix[:i], r.prefix[start:i], true); f.ignores() {
			return f
		}
		start = i + 1
	}
	return found{}
}

// same tells whether two repositories are one place.
func (r *repository) same(other *repository) bool {
	if r == nil || other == nil {
		return r == other
	}
	return r.worktree == other.worktree && r.dir == other.dir
}
