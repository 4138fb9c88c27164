package report

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Part reads what one file or several are made of. It may add some and return
// an error all the same, of those that it could not.
type Part struct {
	Name string
	Read func(ctx context.Context, files *Files) error
}

// atOnce is how many parts are read at a time. Chosen.
const atOnce = 8

// Collect reads all parts, each for at most so long. Only the end of ctx is an
// error.
func Collect(ctx context.Context, parts []Part, each time.Duration) (*Report, error) {
	read := make([]*Files, len(parts))
	var group errgroup.Group
	group.SetLimit(atOnce)
	for i, p := range parts {
		group.Go(func() error {
			read[i] = p.read(ctx, each)
			return nil
		})
	}
	_ = group.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	r := &Report{}
	all := 0
	for i, p := range parts {
		left := 0
		for _, f := range read[i].files {
			if all += len(f.content); all > Limit {
				all -= len(f.content)
				left++
				continue
			}
			r.Files = append(r.Files, f)
		}
		if left += read[i].left; left > 0 {
			read[i].missing = append(read[i].missing, fmt.Sprintf("%d files were left out: the report would be too large", left))
		}
		for _, reason := range read[i].missing {
			r.Missing = append(r.Missing, Missing{p.Name, reason})
		}
	}
	return r, nil
}

// read does not wait for a part that does not heed its context: what a program
// that it called left running may hold it for ever.
func (p Part) read(parent context.Context, each time.Duration) *Files {
	ctx, cancel := context.WithTimeout(parent, each)
	defer cancel()
	files := &Files{}
	done := make(chan error, 1)
	go func() { done <- p.Read(ctx, files) }()
	var err error
	select {
	case err = <-done:
	case <-ctx.Done():
		select {
		case err = <-done:
		case <-time.After(time.Second):
			err = ctx.Err()
		}
	}
	files.mu.Lock()
	defer files.mu.Unlock()
	files.closed = true
	for _, err := range several(err) {
		reason := err.Error()
		if errors.Is(err, context.DeadlineExceeded) {
			reason = fmt.Sprintf("no answer within %v (%s)", each, reason)
		}
		files.missing = append(files.missing, reason)
	}
	return &Files{files: files.files, missing: files.missing, left: files.left}
}

// several are the errors that were joined to one.
func several(err error) []error {
	if err == nil {
		return nil
	}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		var out []error
		for _, err := range joined.Unwrap() {
			out = append(out, several(err)...)
		}
		return out
	}
	return []error{err}
}

// Files takes the files of a part. It is safe for concurrent use.
type Files struct {
	mu      sync.Mutex // guards the rest
	files   []File
	bytes   int
	left    int // files that did not fit
	missing []string
	closed  bool
}

// odd are characters that names of files do not have everywhere.
var odd = regexp.MustCompile(`[^A-Za-z0-9._/-]`)

// Add adds a file. Of one that is too long the last lines are left out.
func (f *Files) Add(name, content string) {
	cut := len(content) > FileLimit
	if cut {
		content = content[:strings.LastIndexByte(content[:FileLimit], '\n')+1]
	}
	f.add(File{Name: name, content: content, Cut: cut})
}

// Tail adds the end of what is read, from the beginning of a line on. It
// returns the error of reading, with what was read until then added.
func (f *Files) Tail(name string, from io.Reader) error {
	kept := make([]byte, 0, 2*TailLimit)
	cut := false
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		kept = append(kept, buffer[:n]...)
		if len(kept) > TailLimit && (err != nil || len(kept)+len(buffer) > cap(kept)) {
			cut = true
			kept = append(kept[:0], kept[len(kept)-TailLimit:]...)
		}
		if err == nil {
			continue
		}
		if cut {
			_, kept, _ = bytes.Cut(kept, []byte("\n"))
		}
		f.add(File{Name: name, content: string(kept), Cut: cut})
		if errors.Is(err, io.EOF) {
			err = nil
		}
		return err
	}
}

func (f *Files) add(file File) {
	file.Name = odd.ReplaceAllString(strings.TrimLeft(path.Clean("/"+file.Name), "/"), "_")
	file.content = strings.ToValidUTF8(file.content, "\uFFFD")
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.closed:
	case f.bytes+len(file.content) > PartLimit:
		f.left++
	default:
		f.bytes += len(file.content)
		f.files = append(f.files, file)
	}
}
