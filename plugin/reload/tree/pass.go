package tree

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"
)

// pass is one scan under way: folders are listed by one goroutine, files that
// may have changed are collected and then read by several.
type pass struct {
	ctx   context.Context
	s     *Scanner
	stale []stale
	again []*folder // folders in which something vanished meanwhile
}

type stale struct {
	in   *folder
	file *file
}

// list brings a folder in line with the file system. With deep it also looks
// at the folders below that are known already.
func (p *pass) list(f *folder, deep bool) error {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	if p.s.o.Enter != nil {
		p.s.o.Enter(cmpOr(f.path, "."))
	}
	full := p.s.full(f.path)
	entries, err := os.ReadDir(full)
	switch {
	case err == nil:
	case f.parent == nil:
		return &RootError{p.s.root, errors.Unwrap(err)}
	case gone(err):
		p.again = append(p.again, f.parent)
		return nil
	default:
		return &ReadError{f.path, err}
	}
	has := names(entries)
	changed, err := p.s.loadRules(f, has)
	if err != nil {
		return err
	}
	moved, err := p.s.attach(p.ctx, f, has(".git"))
	if err != nil {
		return err
	}
	deep = deep || changed || moved

	old := f.children
	f.held = nil
	f.children = make([]child, 0, len(entries))
	for _, e := range entries {
		c, descend, err := p.child(f, old, e)
		if err != nil {
			return err
		}
		if c.key == "" {
			continue
		}
		f.children = append(f.children, c)
		if c.sub != nil && (descend || deep) {
			if err := p.list(c.sub, deep); err != nil {
				return err
			}
		}
	}
	slices.SortFunc(f.children, func(a, b child) int { return strings.Compare(a.key, b.key) })
	return nil
}

// child returns what a directory entry is; the zero child when it is not part
// of the tree. It tells whether it is a folder not listed before.
func (p *pass) child(f *folder, old []child, e fs.DirEntry) (c child, descend bool, err error) {
	name, dir := e.Name(), e.IsDir()
	rel := f.join(name)
	v := p.s.decide(f, rel, name, dir)
	if v.out {
		return child{}, false, nil
	}
	if err := CheckPath(rel); err != nil {
		return child{}, false, err
	}
	was := &folder{children: old}
	if dir {
		key := name + "/"
		if i, ok := was.find(key); ok {
			old[i].sub.shut = v.shut
			return old[i], false, nil
		}
		return child{key: key, sub: &folder{path: rel, parent: f, shut: v.shut}}, true, nil
	}
	info, err := e.Info()
	if err != nil {
		if gone(err) {
			return child{}, false, nil
		}
		return child{}, false, &ReadError{rel, err}
	}
	if what := special(info.Mode()); what != "" {
		p.s.warnings = append(p.s.warnings, Warning{rel, what})
		return child{}, false, nil
	}
	if info.IsDir() { // took the file's place since the listing
		return p.child(f, old, fs.FileInfoToDirEntry(info))
	}
	if h, ok := p.s.hold(rel, name, info, v); ok {
		f.held, p.s.holds = append(f.held, h), true
		return child{}, false, nil
	}
	if i, ok := was.find(name); ok {
		if known := old[i].file; known.id == identify(info) && !known.read.IsZero() && !known.id.racy(known.read) {
			return old[i], false, nil
		}
	}
	c = child{key: name, file: &file{Entry: Entry{Path: rel}}}
	p.stale = append(p.stale, stale{f, c.file})
	return c, false, nil
}

// names tells which names a listing holds; os.ReadDir sorts it.
func names(entries []fs.DirEntry) func(string) bool {
	return func(name string) bool {
		_, ok := slices.BinarySearchFunc(entries, name, func(e fs.DirEntry, n string) int { return strings.Compare(e.Name(), n) })
		return ok
	}
}

func special(m fs.FileMode) string {
	switch {
	case m&fs.ModeSocket != 0:
		return "socket"
	case m&fs.ModeNamedPipe != 0:
		return "pipe"
	case m&(fs.ModeDevice|fs.ModeCharDevice) != 0:
		return "device"
	case m&fs.ModeIrregular != 0:
		return "special file"
	}
	return ""
}

// read loads the files that may have changed and returns the folders to list
// again because something in them was no longer there.
func (p *pass) read() ([]*folder, error) {
	work := p.stale
	p.stale = nil
	missing := make([]bool, len(work))
	var next atomic.Int64
	g, ctx := errgroup.WithContext(p.ctx)
	for range min(len(work), runtime.GOMAXPROCS(0), 8) {
		g.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(work) {
					return nil
				}
				if err := ctx.Err(); err != nil {
					return err
				}
				f := work[i].file
				err := f.load(p.s.full(f.Path), p.s.o.Read)
				var changing *ChangingError
				switch {
				case err == nil:
				case gone(err):
					missing[i] = true
				case errors.As(err, &changing):
					return err
				default:
					return &ReadError{f.Path, err}
				}
			}
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	again := p.again
	p.again = nil
	for i, m := range missing {
		if m && !slices.Contains(again, work[i].in) {
			again = append(again, work[i].in)
		}
	}
	return again, nil
}
