package logs

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
)

// Bounds of copies. Chosen.
const (
	segmentBytes = 1 << 20   // a file of a copy
	runBytes     = 16 << 20  // the copy of a run: its oldest lines go
	allBytes     = 256 << 20 // all copies: the run that was written longest ago goes
)

// Copies are what was read of a bundle's runs: a folder a run, in it files
//
//	00000001.log   a line a line: time, pod's UID, rank, restart, pod, container, text
//
// A process writes files of its own, so that several may read the same run at
// once; a line that two of them wrote counts once. A file that a crash cut
// loses the line that was cut.
//
// Copies is safe for concurrent use.
type Copies struct {
	dir string // of the bundle; beside it are those of others

	seed   maphash.Seed
	mu     sync.Mutex // guards the rest
	runs   map[string]*writer
	pruned bool
}

// writer appends to the copy of a run.
type writer struct {
	known map[uint64]bool // lines that others wrote
	file  *os.File        // nil: none yet
	size  int64
	err   error // it is not written any more
}

// OpenCopies opens the copies in a folder, which need not exist yet. Its
// parent holds those of all bundles.
func OpenCopies(dir string) *Copies {
	return &Copies{dir: dir, seed: maphash.MakeSeed(), runs: map[string]*writer{}}
}

// Add appends a line to the copy of its run, unless it is there. An error is
// returned once for a run, which is not kept from then on.
func (c *Copies) Add(l Line) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.runs[l.Run]
	if w == nil {
		w = &writer{known: map[uint64]bool{}}
		c.runs[l.Run] = w
		if w.err = c.start(l.Run, w); w.err != nil {
			return fmt.Errorf("keep what run %s says: %w", l.Run, w.err)
		}
	}
	if w.err != nil || w.known[c.sum(l)] {
		return nil
	}
	if w.err = c.write(l, w); w.err != nil {
		return fmt.Errorf("keep what run %s says: %w", l.Run, w.err)
	}
	return nil
}

// Close closes the files. What was added is there without it.
func (c *Copies) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, w := range c.runs {
		if w.file != nil {
			errs = append(errs, w.file.Close())
			w.file = nil
		}
	}
	return errors.Join(errs...)
}

func (c *Copies) start(run string, w *writer) error {
	if !isID(run) {
		return fmt.Errorf("%q is no name of a folder", run)
	}
	if !c.pruned {
		c.pruned = true
		if err := prune(filepath.Dir(c.dir), allBytes); err != nil {
			return err
		}
	}
	lines, err := c.Read(run)
	for _, l := range lines {
		w.known[c.sum(l)] = true
	}
	return err
}

func (c *Copies) write(l Line, w *writer) error {
	if w.file == nil || w.size >= segmentBytes {
		if err := c.segment(l.Run, w); err != nil {
			return err
		}
	}
	// One write a line: a process that is killed leaves whole ones behind.
	n, err := w.file.Write(encode(l))
	w.size += int64(n)
	return err
}

// segment begins a file, under the next number that nobody took, and drops the
// oldest when the run has too much.
func (c *Copies) segment(run string, w *writer) error {
	if w.file != nil {
		if err := w.file.Close(); err != nil {
			return err
		}
		w.file = nil
	}
	dir := filepath.Join(c.dir, run)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	all, err := segments(dir)
	if err != nil {
		return err
	}
	size, next := int64(segmentBytes), 1
	for _, s := range slices.Backward(all) {
		if size += s.size; size > runBytes {
			if err := os.Remove(s.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		next = max(next, s.number+1)
	}
	for ; ; next++ {
		f, err := os.OpenFile(filepath.Join(dir, fmt.Sprintf("%08d.log", next)), os.O_CREATE|os.O_EXCL|os.O_WRONLY|os.O_APPEND, 0o600)
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		w.file, w.size = f, 0
		return err
	}
}

// Read returns the copy of a run, its containers' lines in their order; none
// where there is no copy.
func (c *Copies) Read(run string) ([]Line, error) {
	if !isID(run) {
		return nil, nil
	}
	all, err := segments(filepath.Join(c.dir, run))
	if err != nil {
		return nil, err
	}
	var lines []Line
	seen := map[uint64]bool{}
	for _, s := range all {
		f, err := os.Open(s.path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // dropped just now
		}
		if err != nil {
			return lines, fmt.Errorf("read the copy of run %s: %w", run, err)
		}
		begin := len(lines)
		err = decode(f, run, func(l Line) {
			if !seen[c.sum(l)] {
				lines = append(lines, l)
			}
		})
		_ = f.Close()
		if err != nil {
			return lines, fmt.Errorf("read the copy of run %s: %w", run, err)
		}
		// Lines of one reading that are the same were said twice.
		for _, l := range lines[begin:] {
			seen[c.sum(l)] = true
		}
	}
	return lines, nil
}

// Runs are those that there are copies of, the one that was written last first.
func (c *Copies) Runs() ([]string, error) {
	var out []string
	all, err := folders(c.dir)
	for _, f := range all {
		out = append(out, filepath.Base(f.path))
	}
	return out, err
}

// sum tells lines of a run apart.
func (c *Copies) sum(l Line) uint64 { return maphash.Bytes(c.seed, encode(l)) }

// isID says whether a word may be the ID of a run, and so the name of a folder.
func isID(run string) bool { return len(validation.IsDNS1123Label(run)) == 0 }

// encode writes a line as it is stored.
func encode(l Line) []byte {
	head := l.Time.UTC().Format(time.RFC3339Nano) + " " + l.PodUID + " " + strconv.Itoa(l.Rank) + " " + strconv.Itoa(l.Restart) + " " + l.Pod + " " + l.Container + " "
	out := append(make([]byte, 0, len(head)+len(l.Text)+1), head...)
	out = append(out, strings.ReplaceAll(l.Text, "\n", " ")...)
	return append(out, '\n')
}

// longest bounds a stored line: the longest that is read, and what is stored
// in front of it.
const longest = 80 << 10

// decode reads what encode wrote. What is cut, or no line of a copy, is left out.
func decode(r io.Reader, run string, deliver func(Line)) error {
	reader := bufio.NewReaderSize(r, longest)
	for {
		raw, err := reader.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) {
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = reader.ReadSlice('\n')
			}
			raw = nil
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if l, ok := parse(raw, run); ok {
			deliver(l)
		}
	}
}

func parse(raw []byte, run string) (Line, bool) {
	fields := bytes.SplitN(bytes.TrimSuffix(raw, []byte("\n")), []byte(" "), 7)
	if len(fields) != 7 {
		return Line{}, false
	}
	at, err := time.Parse(time.RFC3339Nano, string(fields[0]))
	if err != nil {
		return Line{}, false
	}
	rank, err := strconv.Atoi(string(fields[2]))
	if err != nil || rank < -1 {
		return Line{}, false
	}
	restart, err := strconv.Atoi(string(fields[3]))
	if err != nil || restart < 0 {
		return Line{}, false
	}
	return Line{Time: at.UTC(), Run: run, PodUID: string(fields[1]), Rank: rank, Restart: restart, Pod: string(fields[4]), Container: string(fields[5]), Text: string(fields[6])}, true
}
