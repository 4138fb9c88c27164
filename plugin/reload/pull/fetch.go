package pull

import (
	"archive/tar"
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// What became of an output.
const (
	Pulled  = "pulled"  // it is here now
	Same    = "same"    // it was here already, by size and time
	Newer   = "newer"   // the file here is newer, and was left
	Changed = "changed" // a program changed it while it was read: the file here is as it was
	Refused = "refused" // it is a link that leads out, or its path cannot be here
)

// Item is an output and what became of it.
type Item struct {
	Path      string `json:"path"`
	SizeBytes int64  `json:"sizeBytes"`
	State     string `json:"state"`
	Reason    string `json:"reason,omitempty"`
}

// Options say what is brought.
type Options struct {
	Only  func(path string) bool // nil: everything
	Force bool                   // also over files here that are newer
	// Progress hears of bytes that have come, of how many; nil: nobody does.
	Progress func(done, total int64)
}

// CutError says that the stream ended before all had come. What is complete
// stays, and the same command brings the rest.
type CutError struct {
	Missing int // files that have not come; 0: the list has not come either
	Err     error
}

func (e *CutError) Error() string {
	said := "the connection was cut"
	if e.Missing > 0 {
		said = fmt.Sprintf("the connection was cut with %d files to come", e.Missing)
	}
	if errors.Is(e.Err, io.EOF) || errors.Is(e.Err, io.ErrUnexpectedEOF) {
		return said
	}
	return fmt.Sprintf("%s: %v", said, e.Err)
}
func (e *CutError) Unwrap() error { return e.Err }

// ChangedError says that programs changed files while they were read.
type ChangedError struct{ Paths []string }

func (e *ChangedError) Error() string {
	return fmt.Sprintf("a program changed %s while it was read", strings.Join(e.Paths, ", "))
}

// partial is the end of the name of a file that is on its way.
const partial = ".kubectl-ai-part"

// Fetch brings outputs from the other end of a stream into a folder. Each file
// appears complete or not at all. It returns what became of each output, by
// path, also with an error.
func Fetch(stream io.ReadWriter, root *os.Root, o Options) ([]Item, error) {
	f := &fetch{root: root, o: o, in: bufio.NewReaderSize(stream, 64<<10)}
	if f.o.Progress == nil {
		f.o.Progress = func(int64, int64) {}
	}
	list, err := f.list()
	if err != nil {
		return nil, err
	}
	var ask bytes.Buffer
	for i, l := range list {
		if o.Only != nil && !o.Only(l.Path) {
			continue
		}
		item := Item{Path: l.Path, SizeBytes: l.Size}
		if item.State, item.Reason = f.look(l); item.State == "" {
			f.wanted = append(f.wanted, len(f.items))
			f.total += l.Size
			_, _ = fmt.Fprintf(&ask, "%d\n", i)
		}
		f.items = append(f.items, item)
	}
	ask.WriteByte('\n')
	// What is asked for may be more than fits on the way while files come.
	asked := make(chan error, 1)
	go func() {
		_, err := stream.Write(ask.Bytes())
		asked <- err
	}()
	if err := f.receive(); err != nil {
		return f.items, err
	}
	if err := <-asked; err != nil {
		return f.items, err
	}
	var changed []string
	for _, item := range f.items {
		if item.State == Changed {
			changed = append(changed, item.Path)
		}
	}
	if changed != nil {
		return f.items, &ChangedError{changed}
	}
	return f.items, nil
}

// Output is a file or link that a rank has to offer.
type Output struct {
	Path string
	Time time.Time // of the content, by the rank's clock
}

// List returns what programs wrote, and brings none of it.
func List(stream io.ReadWriter) ([]Output, error) {
	f := &fetch{in: bufio.NewReaderSize(stream, 64<<10)}
	list, err := f.list()
	if err != nil {
		return nil, err
	}
	if _, err := stream.Write([]byte("\n")); err != nil {
		return nil, err
	}
	out := make([]Output, len(list))
	for i, l := range list {
		out[i] = Output{Path: l.Path, Time: l.Time}
	}
	return out, nil
}

type fetch struct {
	root   *os.Root
	o      Options
	in     *bufio.Reader
	items  []Item
	wanted []int // in items, as they come
	done   int64
	total  int64
}

func (f *fetch) list() ([]listed, error) {
	line, err := f.in.ReadString('\n')
	if errors.Is(err, io.EOF) {
		return nil, &CutError{Err: err}
	}
	if err != nil { // the rank's program was not to be started, or has said why it ends
		return nil, err
	}
	if strings.TrimSpace(line) != magic {
		return nil, fmt.Errorf("the agent answers %q: it is of another version", strings.TrimSpace(line))
	}
	var list []listed
	for {
		line, err := f.in.ReadBytes('\n')
		if err != nil {
			return nil, &CutError{Err: err}
		}
		if len(bytes.TrimSpace(line)) == 0 {
			return list, nil
		}
		var l listed
		if err := json.Unmarshal(line, &l); err != nil {
			return nil, fmt.Errorf("read the list: %w", err)
		}
		list = append(list, l)
	}
}

// look says what becomes of an output that need not come, "" of one that has
// to.
func (f *fetch) look(l listed) (state, reason string) {
	if err := tree.CheckPath(l.Path); err != nil || strings.HasSuffix(l.Path, partial) {
		return Refused, "its path cannot be one here"
	}
	if l.Target != "" && (path.IsAbs(l.Target) || !fs.ValidPath(path.Join(path.Dir(l.Path), l.Target))) {
		return Refused, "it is a link that leads out, to " + l.Target
	}
	info, err := f.root.Lstat(l.Path)
	if err != nil {
		return "", ""
	}
	if l.Target != "" {
		if target, err := f.root.Readlink(l.Path); err == nil && target == l.Target {
			return Same, ""
		}
	} else if info.Mode().IsRegular() && info.Size() == l.Size && info.ModTime().Equal(l.Time) {
		return Same, ""
	}
	if info.IsDir() {
		return Refused, "a folder is here in its place"
	}
	if info.ModTime().After(l.Time) && !f.o.Force {
		return Newer, ""
	}
	return "", ""
}

// receive takes the tar stream.
func (f *fetch) receive() error {
	t := tar.NewReader(f.in)
	f.o.Progress(0, f.total)
	for len(f.wanted) > 0 {
		item := &f.items[f.wanted[0]]
		h, err := t.Next()
		if err != nil {
			return f.cut(err)
		}
		switch {
		case h.Typeflag == tar.TypeXGlobalHeader && h.PAXRecords[trailerRecord] == item.Path:
			item.State = Changed // it went before it could be read
		case h.Name != item.Path:
			return fmt.Errorf("%s came where %s was asked for", h.Name, item.Path)
		case h.Typeflag == tar.TypeSymlink:
			err = f.link(item, h)
		default:
			err = f.file(item, h, t)
		}
		if err != nil {
			return err
		}
		f.wanted = f.wanted[1:]
	}
	return nil
}

func (f *fetch) cut(err error) error { return &CutError{Missing: len(f.wanted), Err: err} }

// link makes a link beside its place and moves it there.
func (f *fetch) link(item *Item, h *tar.Header) error {
	if path.IsAbs(h.Linkname) || !fs.ValidPath(path.Join(path.Dir(item.Path), h.Linkname)) {
		item.State, item.Reason = Refused, "it is a link that leads out, to "+h.Linkname
		return nil
	}
	tmp := item.Path + partial
	if err := f.root.MkdirAll(path.Dir(item.Path), 0o777); err != nil {
		item.State, item.Reason = Refused, err.Error()
		return nil
	}
	_ = f.root.Remove(tmp)
	err := f.root.Symlink(h.Linkname, tmp)
	if err == nil {
		err = f.root.Rename(tmp, item.Path)
	}
	item.State = Pulled
	return err
}

// file writes a file beside its place, and moves it there when its digest has
// come.
func (f *fetch) file(item *Item, h *tar.Header, t *tar.Reader) error {
	if err := f.root.MkdirAll(path.Dir(item.Path), 0o777); err != nil {
		item.State, item.Reason = Refused, err.Error()
		if _, err := t.Next(); err != nil { // its end
			return f.cut(err)
		}
		return nil
	}
	tmp := item.Path + partial
	_ = f.root.Remove(tmp)
	out, err := f.root.OpenFile(tmp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fs.FileMode(h.Mode)&fs.ModePerm|0o600)
	if err != nil {
		return err
	}
	defer func() { _ = f.root.Remove(tmp) }() // where it was not moved
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(out, sum, counter{f}), source{t, f})
	if err = errors.Join(err, out.Close()); err != nil {
		return err
	}
	end, err := t.Next()
	if err != nil {
		return f.cut(err)
	}
	if end.Typeflag != tar.TypeXGlobalHeader || end.PAXRecords[trailerRecord] != item.Path {
		return fmt.Errorf("%s came without its end", item.Path)
	}
	item.SizeBytes = h.Size
	switch end.PAXRecords[sumRecord] {
	case "":
		item.State = Changed
		return nil
	case hex.EncodeToString(sum.Sum(nil)):
	default:
		return fmt.Errorf("%s is not what the rank read: its digest differs", item.Path)
	}
	if err := f.root.Chtimes(tmp, h.ModTime, h.ModTime); err != nil {
		return err
	}
	item.State = Pulled
	return f.root.Rename(tmp, item.Path)
}

// source makes an error of the stream one, so that it is told from one of the
// disk.
type source struct {
	t *tar.Reader
	f *fetch
}

func (s source) Read(p []byte) (int, error) {
	n, err := s.t.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = s.f.cut(err)
	}
	return n, err
}

type counter struct{ f *fetch }

func (c counter) Write(p []byte) (int, error) {
	c.f.done += int64(len(p))
	c.f.o.Progress(c.f.done, max(c.f.total, c.f.done))
	return len(p), nil
}
