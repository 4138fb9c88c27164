package tree

import (
	"crypto/sha256"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"unicode/utf8"
)

// Kind is what an entry of a tree is.
type Kind uint8

// The kinds. Their values are part of the wire format.
const (
	File       Kind = 1 // a regular file
	Executable Kind = 2 // a regular file that its owner may execute
	Link       Kind = 3 // a symbolic link
)

// Valid tells whether k is one of the kinds.
func (k Kind) Valid() bool { return k >= File && k <= Link }

func (k Kind) String() string {
	switch k {
	case File:
		return "file"
	case Executable:
		return "executable"
	case Link:
		return "link"
	}
	return fmt.Sprintf("Kind(%d)", uint8(k))
}

// Entry is one file or link of a tree.
type Entry struct {
	Path   string   // slash-separated, relative to the tree
	Kind   Kind     // file, executable or link
	Size   int64    // bytes; of the target text for a link
	Sum    [32]byte // SHA-256 of the content, or of the link's target
	Target string   // of a link, else empty
}

// Index lists a tree's entries, sorted bytewise by path.
type Index []Entry

// Find returns the entry with that path.
func (ix Index) Find(path string) (Entry, bool) {
	i, ok := slices.BinarySearchFunc(ix, path, func(e Entry, p string) int { return strings.Compare(e.Path, p) })
	if !ok {
		return Entry{}, false
	}
	return ix[i], true
}

// Size returns the bytes of all contents together.
func (ix Index) Size() int64 {
	var n int64
	for _, e := range ix {
		n += e.Size
	}
	return n
}

// PathError says why a path cannot be part of a tree.
type PathError struct {
	Path   string
	Reason string
}

func (e *PathError) Error() string { return fmt.Sprintf("path %q %s", e.Path, e.Reason) }

// CheckPath returns a *PathError unless path can be part of a tree: relative,
// clean, UTF-8, outside of the folder that agents keep for themselves.
func CheckPath(path string) error {
	switch {
	case !utf8.ValidString(path):
		return &PathError{path, "is not UTF-8"}
	case !fs.ValidPath(path) || path == ".":
		return &PathError{path, "is not a clean relative path"}
	case strings.ContainsRune(path, 0):
		return &PathError{path, "contains a zero byte"}
	case path == Reserved || strings.HasPrefix(path, Reserved+"/"):
		return &PathError{path, "is reserved for kubectl ai"}
	}
	return nil
}

// Reserved is the name at the top of a tree that agents keep for themselves;
// scans leave it out.
const Reserved = ".kubectl-ai"

// Check returns a *PathError unless the index is sorted, its paths and kinds
// are valid and no entry lies below a file or a link.
func (ix Index) Check() error {
	leaf := make(map[string]struct{}, len(ix))
	for i, e := range ix {
		if err := CheckPath(e.Path); err != nil {
			return err
		}
		if !e.Kind.Valid() {
			return &PathError{e.Path, "is of unknown kind"}
		}
		if i > 0 && ix[i-1].Path >= e.Path {
			return &PathError{e.Path, "is out of order"}
		}
		if err := e.checkTarget(); err != nil {
			return err
		}
		leaf[e.Path] = struct{}{}
	}
	for _, e := range ix {
		for j, c := range e.Path {
			if c != '/' {
				continue
			}
			if _, ok := leaf[e.Path[:j]]; ok {
				return &PathError{e.Path, "lies below a file or a link"}
			}
		}
	}
	return nil
}

// checkTarget returns a *PathError for a link whose target is not what its sum
// says. A manifest has no targets, so that an empty one proves nothing.
func (e Entry) checkTarget() error {
	if e.Kind == Link && e.Target != "" && sha256.Sum256([]byte(e.Target)) != e.Sum {
		return &PathError{e.Path, "is a link to something else than its sum says"}
	}
	return nil
}

// CheckChanged is Check for a tree that changes made of base, which is known
// to be valid: it looks at what changed alone.
func (ix Index) CheckChanged(base Index, c Changes) error {
	if len(base) == 0 {
		return ix.Check()
	}
	for i, put := range c.Puts {
		if err := CheckPath(put.Path); err != nil {
			return err
		}
		if !put.Kind.Valid() {
			return &PathError{put.Path, "is of unknown kind"}
		}
		if i > 0 && c.Puts[i-1].Path >= put.Path {
			return &PathError{put.Path, "is out of order"}
		}
		if err := put.checkTarget(); err != nil {
			return err
		}
		for j, letter := range put.Path {
			if letter != '/' {
				continue
			}
			if _, ok := ix.Find(put.Path[:j]); ok {
				return &PathError{put.Path, "lies below a file or a link"}
			}
		}
		below, _ := slices.BinarySearchFunc(ix, put.Path+"/", func(e Entry, p string) int { return strings.Compare(e.Path, p) })
		if below < len(ix) && strings.HasPrefix(ix[below].Path, put.Path+"/") {
			return &PathError{ix[below].Path, "lies below a file or a link"}
		}
	}
	return nil
}

// Changes is the way from one tree to another.
type Changes struct {
	Puts    []Entry  // new or different, in path order
	Deletes []string // paths that are gone, in order
}

// Len returns the number of paths that differ.
func (c Changes) Len() int { return len(c.Puts) + len(c.Deletes) }

// Diff returns what turns old into ix.
func (ix Index) Diff(old Index) Changes {
	var c Changes
	i, j := 0, 0
	for i < len(ix) || j < len(old) {
		switch {
		case j == len(old) || (i < len(ix) && ix[i].Path < old[j].Path):
			c.Puts = append(c.Puts, ix[i])
			i++
		case i == len(ix) || old[j].Path < ix[i].Path:
			c.Deletes = append(c.Deletes, old[j].Path)
			j++
		default:
			if ix[i].Kind != old[j].Kind || ix[i].Sum != old[j].Sum {
				c.Puts = append(c.Puts, ix[i])
			}
			i, j = i+1, j+1
		}
	}
	return c
}

// Apply returns the tree that c makes of ix.
func (ix Index) Apply(c Changes) Index {
	gone := make(map[string]struct{}, c.Len())
	for _, p := range c.Deletes {
		gone[p] = struct{}{}
	}
	for _, e := range c.Puts {
		gone[e.Path] = struct{}{}
	}
	out := make(Index, 0, len(ix)+len(c.Puts))
	puts := slices.Clone(c.Puts)
	slices.SortStableFunc(puts, func(a, b Entry) int { return strings.Compare(a.Path, b.Path) })
	for _, e := range ix {
		for len(puts) > 0 && puts[0].Path < e.Path {
			out, puts = append(out, puts[0]), puts[1:]
		}
		if _, ok := gone[e.Path]; !ok {
			out = append(out, e)
		}
	}
	return append(out, puts...)
}
