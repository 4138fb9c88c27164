package tree

import (
	"context"
	"os"
	"path/filepath"
	"slices"
)

// Cause is what decided whether a path is part of the tree.
type Cause string

// The causes.
const (
	NoRule      Cause = "none"        // nothing speaks against it
	ByRule      Cause = "rule"        // a rule of a file, or of the project's list
	ByDefault   Cause = "default"     // one of Defaults
	ByTracking  Cause = "tracked"     // git tracks it, whatever its rules say
	ByHolding   Cause = "held-back"   // it may be a secret, or is large
	Never       Cause = "never"       // .git, and what agents keep for themselves
	NotAFile    Cause = "not-a-file"  // a socket, a pipe, a device
	BeyondALink Cause = "beyond-link" // below a symbolic link, which is not followed
	BelowAFile  Cause = "below-file"  // below what is no folder
)

// verdict says whether a path is part of the tree, and what decided.
type verdict struct {
	out     bool
	cause   Cause
	found            // the rule, where one decided or was overruled
	folder  string   // that the rule ignores, and the path with it; else ""
	allowed bool     // a rule of the user's own takes just this path back
	shut    *verdict // of a folder: ignored, and entered for what git tracks in it
}

// decide is the order of all rules:
//
//  1. .git and the agents' folder are never part of a tree.
//  2. The project's list, then .kubectl-ai-ignore files, the deepest first.
//  3. What git tracks belongs.
//  4. What lies in a folder that is ignored is ignored.
//  5. The rules of git: .gitignore files, the deepest first, up to the top of
//     the repository; info/exclude; core.excludesFile.
//  6. Defaults.
//
// A rule of 2 cannot take back what 4 ignores, as in git, where no rule can.
func (s *Scanner) decide(in *folder, full, name string, dir bool) verdict {
	if name == ".git" || full == Reserved {
		return verdict{out: true, cause: Never}
	}
	own := s.ownRule(in, full, name, dir)
	if own.ignores() {
		return verdict{out: true, cause: ByRule, found: own}
	}
	v := verdict{cause: NoRule, allowed: own.rule != nil}
	if in.shut != nil {
		v.out, v.cause, v.found, v.folder = true, in.shut.cause, in.shut.found, in.shut.folder
	} else if own.rule != nil {
		v.cause, v.found = ByRule, own
	} else if git := s.gitRule(in, full, name, dir); git.rule != nil {
		v.out, v.cause, v.found = git.ignores(), ByRule, git
	} else if f := s.defaults.match(full, name, dir, false); f.rule != nil {
		v.out, v.cause, v.found = f.ignores(), ByDefault, f
	}
	if !v.out {
		return v
	}
	switch tracked, below := s.tracked(in, full, dir); {
	case tracked:
		v.out, v.cause = false, ByTracking
	case below:
		shut := v
		if shut.folder == "" {
			shut.folder = full
		}
		v.out, v.cause, v.shut = false, ByTracking, &shut
	}
	return v
}

// ownRule asks the rules that are the user's for kubectl ai alone.
func (s *Scanner) ownRule(in *folder, full, name string, dir bool) found {
	if f := s.project.match(full, name, dir, false); f.rule != nil {
		return f
	}
	for at := in; at != nil; at = at.parent {
		if f := at.own.match(at.rel(full), name, dir, false); f.rule != nil {
			return f
		}
	}
	return found{}
}

// gitRule asks the rules of git, up to the top of the repository.
func (s *Scanner) gitRule(in *folder, full, name string, dir bool) found {
	fold := false
	if r, _ := in.repository(); r != nil {
		fold = r.settings.ignoreCase
	}
	for at := in; at != nil; at = at.parent {
		if f := at.git.match(at.rel(full), name, dir, fold); f.rule != nil {
			return f
		}
		if at.repo != nil {
			return at.repo.match(at.rel(full), name, dir)
		}
	}
	return found{}
}

// tracked tells whether git tracks the path, or, of a folder, something in it.
func (s *Scanner) tracked(in *folder, full string, dir bool) (itself, below bool) {
	r, at := in.repository()
	if r == nil {
		return false, false
	}
	rel := at.rel(full)
	if !dir {
		return r.tracks(rel), false
	}
	if r.tracks(rel) { // a submodule, unless a folder took a file's place
		_, err := os.Lstat(filepath.Join(s.full(full), ".git"))
		return err == nil, false
	}
	return false, r.tracksBelow(rel)
}

// repository returns the repository that the folder's files lie in, and the
// folder that it belongs to.
func (f *folder) repository() (*repository, *folder) {
	for ; f != nil; f = f.parent {
		if f.repo != nil {
			return f.repo, f
		}
	}
	return nil, nil
}

// rel returns a path below the folder as seen from it.
func (f *folder) rel(full string) string {
	if f.path == "" {
		return full
	}
	return full[len(f.path)+1:]
}

// outside brings up to date what decides and lies outside of the folders that
// a pass lists: rules above the tree, git's own, the index. With look it also
// looks for the repository anew. It tells whether anything changed.
func (s *Scanner) outside(ctx context.Context, look bool) (changed bool, err error) {
	if look {
		if r := findRepository(s.root); !r.same(s.top.repo) {
			s.top.repo, changed = r, true
		}
	}
	s.nested = slices.DeleteFunc(s.nested, func(f *folder) bool { return f.repo == nil || s.nearest(f.path) != f })
	for _, f := range append([]*folder{s.top}, s.nested...) {
		if f.repo == nil {
			continue
		}
		c, err := f.repo.refresh(ctx)
		if err != nil {
			return false, err
		}
		changed = changed || c
	}
	return changed, nil
}

// attach notes whether a folder below the root is the top of a repository of
// its own, where the rules of the one around it end. It tells whether that
// changed.
func (s *Scanner) attach(ctx context.Context, f *folder, dotGit bool) (changed bool, err error) {
	if f.parent == nil {
		return false, nil // found from outside
	}
	var now *repository
	if dotGit {
		if dir, err := filepath.Abs(s.full(f.path)); err == nil {
			if w, ok := worktreeAt(dir); ok {
				now = newRepository(w, dir)
			}
		}
	}
	if now.same(f.repo) {
		return false, nil
	}
	f.repo = now
	if now == nil {
		return true, nil
	}
	now.exclude.name = s.shown(now.exclude.name, f)
	s.nested = append(s.nested, f)
	_, err = now.refresh(ctx)
	return true, err
}

// shown turns a name that is relative to a folder into one relative to the
// tree.
func (s *Scanner) shown(name string, f *folder) string {
	if filepath.IsAbs(name) {
		return name
	}
	return f.join(name)
}

// GitError returns why git did not say which files it tracks, so that none is
// taken as tracked, or nil.
func (s *Scanner) GitError() error {
	if s.top == nil {
		return nil
	}
	for _, f := range append([]*folder{s.top}, s.nested...) {
		if f.repo != nil && f.repo.gitErr != nil {
			return f.repo.gitErr
		}
	}
	return nil
}
