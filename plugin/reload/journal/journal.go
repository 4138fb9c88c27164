// Package journal remembers on the laptop which generations ranks have run:
// their trees, their receipts and every content, so that any of them can be
// brought back whatever happened to the folder and to the pods since.
//
// A journal is a folder:
//
//	generations.jsonl  a line a generation: its tree as the difference to the
//	                   line before, its receipts
//	blobs/<aa>/<sum>   contents, each compressed by zstd
//
// A generation is recorded after it runs. Lines are only appended; a line that
// was cut by a crash is left out. Old generations go when there are too many,
// and the contents that only they had with them.
package journal

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

// Keep is how many generations a journal holds at least; from twice as many on
// the older half goes.
const Keep = 200

// Generation is one line of a journal.
type Generation struct {
	Generation uint64         `json:"generation"`
	TreeDigest tree.Digest    `json:"treeDigest"`
	Files      int            `json:"files"` // that changed with it
	Time       time.Time      `json:"time"`
	Ranks      int            `json:"ranks"`    // that there should be
	Receipts   []wire.Receipt `json:"receipts"` // of the ranks that held it by then
	Runtimes   []Runtime      `json:"runtimes,omitempty"`
}

// Runtime is an image that ranks' containers ran the code in.
type Runtime struct {
	Container string `json:"container"`
	Image     string `json:"image"`            // as the pod names it
	ID        string `json:"id"`               // as the node names it: containerStatuses[].imageID
	Config    string `json:"config,omitempty"` // digest of its configuration, where the node tells it
}

// Complete tells whether every rank that there should be has proved that it
// held the tree while a process ran in it.
func (g Generation) Complete() bool {
	proved := 0
	for _, r := range g.Receipts {
		if r.TreeDigest == g.TreeDigest && r.State() == wire.StateRunning {
			proved++
		}
	}
	return g.Ranks > 0 && proved >= g.Ranks
}

// record is a line as it is stored.
type record struct {
	Generation
	Base    tree.Digest `json:"base"` // tree of the line before; zero: Puts are the whole tree
	Puts    []entry     `json:"puts,omitempty"`
	Deletes []string    `json:"deletes,omitempty"`
}

// entry is a tree.Entry in few bytes.
type entry struct {
	Path   string    `json:"p"`
	Kind   tree.Kind `json:"k"`
	Size   int64     `json:"n"`
	Sum    string    `json:"s"`
	Target []byte    `json:"t,omitempty"` // need not be UTF-8
}

// NotFoundError says that a journal does not hold a generation.
type NotFoundError struct{ Generation, Oldest, Newest uint64 }

func (e *NotFoundError) Error() string {
	if e.Newest == 0 {
		return fmt.Sprintf("generation %d is not in the journal, which is empty", e.Generation)
	}
	return fmt.Sprintf("generation %d is not in the journal, which has %d to %d", e.Generation, e.Oldest, e.Newest)
}

// Journal is safe for concurrent use within one process; two processes that
// record at once both write whole lines.
type Journal struct {
	dir string

	mu   sync.Mutex
	last tree.Index // of the line written last by this process
	new  bool       // no line was written by this process yet
}

// Open opens the journal in a folder, which need not exist yet.
func Open(dir string) *Journal { return &Journal{dir: dir, new: true} }

var (
	encoder = sync.OnceValue(func() *zstd.Encoder {
		e, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1))
		if err != nil {
			panic(err) // the options are constants
		}
		return e
	})
	decoder = sync.OnceValue(func() *zstd.Decoder {
		d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(2*wire.MaxFile))
		if err != nil {
			panic(err)
		}
		return d
	})
)

// Record appends a generation. read returns contents that the journal does
// not hold yet.
func (j *Journal) Record(g Generation, index tree.Index, read func(tree.Entry) ([]byte, error)) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	r := record{Generation: g}
	base := j.last
	if j.new {
		if err := j.prune(); err != nil {
			return fmt.Errorf("prune the journal: %w", err)
		}
	} else {
		r.Base = base.Digest()
	}
	changes := index.Diff(base)
	r.Deletes = changes.Deletes
	for _, e := range changes.Puts {
		if err := j.keep(e, read); err != nil {
			return fmt.Errorf("record generation %d: %w", g.Generation, err)
		}
		r.Puts = append(r.Puts, entry{e.Path, e.Kind, e.Size, hex.EncodeToString(e.Sum[:]), []byte(e.Target)})
	}
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(j.file(), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("record generation %d: %w", g.Generation, err)
	}
	// A line before it may have been cut: begin a new one.
	_, err = f.Write(append(append([]byte("\n"), line...), '\n'))
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("record generation %d: %w", g.Generation, err)
	}
	j.last, j.new = index, false
	return nil
}

// keep stores a content.
func (j *Journal) keep(e tree.Entry, read func(tree.Entry) ([]byte, error)) error {
	if e.Kind == tree.Link {
		return nil
	}
	path := j.blob(e.Sum)
	if _, err := os.Lstat(path); err == nil {
		return nil
	}
	content, err := read(e)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".new")
	if err != nil {
		return err
	}
	_, err = tmp.Write(encoder().EncodeAll(content, nil))
	if err = errors.Join(err, tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
	}
	return err
}

// Content returns a content of a recorded generation.
func (j *Journal) Content(e tree.Entry) ([]byte, error) {
	raw, err := os.ReadFile(j.blob(e.Sum))
	if err != nil {
		return nil, fmt.Errorf("%s: its content is no longer in the journal: %w", e.Path, err)
	}
	content, err := decoder().DecodeAll(raw, nil)
	if err != nil || sha256.Sum256(content) != e.Sum {
		return nil, fmt.Errorf("%s: its content in the journal is damaged", e.Path)
	}
	return content, nil
}

// List returns the recorded generations, the oldest first. A number that was
// given twice, because the pods began anew, is there twice.
func (j *Journal) List() ([]Generation, error) {
	var all []Generation
	err := j.replay(func(r *record, _ tree.Index) error {
		all = append(all, r.Generation)
		return nil
	})
	return all, err
}

// Walk calls visit with the recorded generations and their trees, the oldest
// first.
func (j *Journal) Walk(visit func(Generation, tree.Index) error) error {
	return j.replay(func(r *record, index tree.Index) error { return visit(r.Generation, index) })
}

// Find returns the latest generation with that number and its tree. It
// returns a *NotFoundError.
func (j *Journal) Find(number uint64) (Generation, tree.Index, error) {
	var found Generation
	var index tree.Index
	missing := &NotFoundError{Generation: number}
	err := j.replay(func(r *record, ix tree.Index) error {
		g := r.Generation
		if g.Generation == number {
			found, index = g, ix
		}
		if missing.Oldest == 0 {
			missing.Oldest = g.Generation
		}
		missing.Oldest, missing.Newest = min(missing.Oldest, g.Generation), max(missing.Newest, g.Generation)
		return nil
	})
	if err == nil && found.Generation == 0 {
		err = missing
	}
	return found, index, err
}

// replay calls visit with every line and the tree that it leads to. Lines that
// cannot be read, or that build on one which cannot, are left out.
func (j *Journal) replay(visit func(*record, tree.Index) error) error {
	f, err := os.Open(j.file())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the journal: %w", err)
	}
	defer func() { _ = f.Close() }()
	trees := map[tree.Digest]tree.Index{}
	var before tree.Digest
	lines := bufio.NewReaderSize(f, 256<<10)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return nil // the end, or a line that was cut
		}
		var r record
		if len(bytes.TrimSpace(line)) == 0 || json.Unmarshal(line, &r) != nil {
			continue
		}
		base, known := trees[r.Base]
		if !known && !r.Base.IsZero() {
			continue
		}
		changes := tree.Changes{Deletes: r.Deletes}
		for _, e := range r.Puts {
			put := tree.Entry{Path: e.Path, Kind: e.Kind, Size: e.Size, Target: string(e.Target)}
			if n, err := hex.Decode(put.Sum[:], []byte(e.Sum)); err != nil || n != len(put.Sum) {
				continue
			}
			changes.Puts = append(changes.Puts, put)
		}
		index := base.Apply(changes)
		if index.Digest() != r.TreeDigest {
			continue
		}
		// Two sessions may write in turn; each builds on a line of its own.
		if before != r.Base && len(trees) > 8 {
			clear(trees)
		}
		trees[r.TreeDigest], before = index, r.TreeDigest
		if err := visit(&r, index); err != nil {
			return err
		}
	}
}

// Stamp is another one whenever the journal has changed; "" while there is none.
func (j *Journal) Stamp() string {
	info, err := os.Stat(j.file())
	if err != nil {
		return ""
	}
	return fmt.Sprint(info.ModTime().UnixNano(), "/", info.Size())
}

func (j *Journal) file() string { return filepath.Join(j.dir, "generations.jsonl") }

func (j *Journal) blob(sum [32]byte) string {
	digits := hex.EncodeToString(sum[:])
	return filepath.Join(j.dir, "blobs", digits[:2], digits)
}
