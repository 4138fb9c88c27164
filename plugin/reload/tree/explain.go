package tree

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// RuleAt is a rule and where it stands.
type RuleAt struct {
	File    string `json:"file"`           // relative to the tree, or a full path; "default"
	Line    int    `json:"line,omitempty"` // 0: not known
	Pattern string `json:"pattern"`        // as written
}

func (r RuleAt) String() string {
	if r.Line == 0 {
		return r.File + ": " + r.Pattern
	}
	return fmt.Sprintf("%s:%d: %s", r.File, r.Line, r.Pattern)
}

// Explanation says whether a path is part of the tree, and what decides.
type Explanation struct {
	Path     string // relative to the tree
	Included bool
	Cause    Cause
	Rule     *RuleAt // that decides, or that tracking overrules
	Folder   string  // that the rule ignores, with the path in it
	Held     *HeldBack
}

// Report is what Explain has found out.
type Report struct {
	Paths []Explanation
	// Shadow is the rule of the repository that ignores the whole tree. It
	// was named as code, so that the repository's rules then do not count.
	Shadow *RuleAt
	// Git is why git did not say what it tracks, or nil.
	Git error
}

// Explain says for paths relative to root, as CheckPath wants them, whether a
// scan with these options has them, and why. They need not be there: what is
// not is taken as a file, with a slash at its end as a folder. It returns a
// *RootError, *ReadError or *PathError.
func Explain(ctx context.Context, root string, o Options, paths []string) (*Report, error) {
	info, err := os.Stat(root)
	if err == nil && !info.IsDir() {
		err = fs.ErrInvalid
	}
	if err != nil {
		return nil, &RootError{root, err}
	}
	e := &explainer{s: NewScanner(root, o), folders: map[string]*step{}}
	e.s.top = &folder{}
	if _, err := e.s.outside(ctx, true); err != nil {
		return nil, err
	}
	top, err := e.enter(ctx, e.s.top, verdict{cause: NoRule})
	if err != nil {
		return nil, err
	}
	e.folders[""] = top
	report := &Report{}
	for _, p := range paths {
		one, err := e.explain(ctx, p)
		if err != nil {
			return nil, err
		}
		report.Paths = append(report.Paths, one)
	}
	if r := e.s.top.repo; r != nil {
		report.Shadow = ruleAt(r.shadow)
	}
	report.Git = e.s.GitError()
	return report, nil
}

// explainer walks down to paths the way that a scan does, without listing.
type explainer struct {
	s       *Scanner
	folders map[string]*step
}

// step is a folder on the way and what was decided about it.
type step struct {
	folder *folder
	verdict
}

func (e *explainer) enter(ctx context.Context, f *folder, v verdict) (*step, error) {
	f.shut = v.shut
	if v.out {
		return &step{f, v}, nil // and its files of rules do not count
	}
	maybe := func(string) bool { return true }
	if _, err := e.s.loadRules(f, maybe); err != nil {
		return nil, err
	}
	_, err := e.s.attach(ctx, f, true)
	return &step{f, v}, err
}

func (e *explainer) explain(ctx context.Context, path string) (Explanation, error) {
	path, asFolder := strings.CutSuffix(path, "/")
	if path == "." {
		return Explanation{Path: path, Included: true, Cause: NoRule}, nil
	}
	if err := CheckPath(path); err != nil && (!fs.ValidPath(path) || !strings.HasPrefix(path+"/", Reserved+"/")) {
		return Explanation{}, err
	}
	above, err := e.folder(ctx, parentOf(path))
	if err != nil {
		return Explanation{}, err
	}
	if above.out {
		v := above.verdict
		if v.folder == "" {
			v.folder = above.folder.path
		}
		return explained(path, v), nil
	}
	info, err := os.Lstat(e.s.full(path))
	if err != nil && !gone(err) {
		return Explanation{}, &ReadError{path, errors.Unwrap(err)}
	}
	dir := asFolder
	if err == nil {
		dir = info.IsDir()
	}
	v := e.s.decide(above.folder, path, baseOf(path), dir)
	if v.out || dir {
		return explained(path, v), nil
	}
	if err != nil {
		info = absent{}
	}
	if special(info.Mode()) != "" {
		v.out, v.cause = true, NotAFile
	}
	x := explained(path, v)
	if h, ok := e.s.hold(path, baseOf(path), info, v); ok {
		x.Included, x.Cause, x.Held = false, ByHolding, &h
	}
	return x, nil
}

// folder decides about a folder and, before it, about those above it.
func (e *explainer) folder(ctx context.Context, path string) (*step, error) {
	if s, ok := e.folders[path]; ok {
		return s, nil
	}
	above, err := e.folder(ctx, parentOf(path))
	if err != nil {
		return nil, err
	}
	f := &folder{path: path, parent: above.folder}
	v := above.verdict
	if !above.out {
		info, err := os.Lstat(e.s.full(path))
		switch {
		case err != nil && !gone(err):
			return nil, &ReadError{path, errors.Unwrap(err)}
		case err == nil && info.Mode()&fs.ModeSymlink != 0:
			v = verdict{out: true, cause: BeyondALink, folder: path}
		case err == nil && !info.IsDir():
			v = verdict{out: true, cause: BelowAFile, folder: path}
		default:
			v = e.s.decide(above.folder, path, baseOf(path), true)
		}
	} else if v.folder == "" {
		v.folder = above.folder.path
	}
	s, err := e.enter(ctx, f, v)
	if err != nil {
		return nil, err
	}
	e.folders[path] = s
	return s, nil
}

func explained(path string, v verdict) Explanation {
	return Explanation{Path: path, Included: !v.out, Cause: v.cause, Rule: ruleAt(v.found), Folder: v.folder}
}

func ruleAt(f found) *RuleAt {
	if f.rule == nil {
		return nil
	}
	return &RuleAt{File: f.from.name, Line: f.rule.line, Pattern: f.rule.text}
}

func parentOf(path string) string {
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		return path[:i]
	}
	return ""
}

func baseOf(path string) string { return path[strings.LastIndexByte(path, '/')+1:] }

// absent stands for a file that is not there: an empty one.
type absent struct{ fs.FileInfo }

func (absent) Mode() fs.FileMode { return 0 }
func (absent) Size() int64       { return 0 }
