package session

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

// ErrChanged says that a file is no longer what the index says: it was saved
// again meanwhile, and the next scan brings it.
var ErrChanged = errors.New("the file was saved again")

// Version is a tree as it was scanned, with the way to its contents.
type Version struct {
	Index  tree.Index
	Digest tree.Digest

	// Again has the version delivered to ranks that hold its tree already: as
	// a new generation, with what programs wrote into it put right.
	Again bool

	source Source
	cache  *Cache

	mu      sync.Mutex
	encoded map[frameKey]*frames // ranks share the work
}

// frameKey says from which tree frames lead to the version.
type frameKey struct {
	number uint64
	base   tree.Digest
	push   bool
	alone  bool
}

// Restarted returns the same tree as a version that is delivered again.
func (v *Version) Restarted() *Version {
	again := NewVersionFrom(v.source, v.Index, v.cache)
	again.Again = true
	return again
}

// Source reads an entry's content. It returns ErrChanged, or an error about a
// content that is not to be had.
type Source func(e tree.Entry) ([]byte, error)

// NewVersion returns the version of the folder that index describes.
func NewVersion(root string, index tree.Index, cache *Cache) *Version {
	return NewVersionFrom(Folder(root), index, cache)
}

// NewVersionFrom returns the version whose contents come from source.
func NewVersionFrom(source Source, index tree.Index, cache *Cache) *Version {
	return &Version{Index: index, Digest: index.Digest(), source: source, cache: cache, encoded: map[frameKey]*frames{}}
}

// Folder reads contents from the files of a folder.
func Folder(root string) Source {
	return func(e tree.Entry) ([]byte, error) {
		content, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(e.Path)))
		switch {
		case errors.Is(err, os.ErrPermission):
			return nil, err
		case err != nil: // it is gone, or a folder, or its folder is a file …
			return nil, fmt.Errorf("%s: %w: %w", e.Path, ErrChanged, err)
		case sha256.Sum256(content) != e.Sum:
			return nil, fmt.Errorf("%s: %w", e.Path, ErrChanged)
		}
		return content, nil
	}
}

// Read returns an entry's content, from the cache where it is there.
func (v *Version) Read(e tree.Entry) ([]byte, error) {
	if content := v.cache.get(e.Sum); content != nil {
		return content, nil
	}
	if e.Size > wire.MaxFile {
		return nil, fmt.Errorf("%s is larger than %d MiB: ignore it, or mount it as data", e.Path, wire.MaxFile>>20)
	}
	content, err := v.source(e)
	if err != nil {
		return nil, err
	}
	v.cache.put(e.Sum, content)
	return content, nil
}

// forget drops frames that every rank has: they are as large as the tree.
func (v *Version) forget() {
	v.mu.Lock()
	defer v.mu.Unlock()
	clear(v.encoded)
}

// Warm reads contents into the cache, so that the next edit of a file that
// this session has not sent yet travels as a difference too.
func (v *Version) Warm(ctx context.Context) {
	for _, e := range v.Index {
		if ctx.Err() != nil || v.cache.full() {
			return
		}
		if e.Kind != tree.Link && e.Size <= wire.MaxFile {
			_, _ = v.Read(e) // what cannot be read now is sent whole later
		}
	}
}

// Cache keeps contents of earlier versions, to which later ones are a small
// difference. It is bounded by bytes; beyond that a file is sent whole.
type Cache struct {
	mu    sync.Mutex
	max   int
	size  int
	order [][32]byte
	items map[[32]byte][]byte
}

// NewCache returns a cache of at most max bytes.
func NewCache(max int) *Cache { return &Cache{max: max, items: map[[32]byte][]byte{}} }

func (c *Cache) get(sum [32]byte) []byte {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.items[sum]
}

// full tells whether something would have to go for anything more.
func (c *Cache) full() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.size > c.max*3/4
}

// offer takes what a scan has read, so that it is not read again to be sent.
// Of a scan of everything that is only what there is room for.
func (c *Cache) offer(sum [32]byte, content []byte, everything bool) {
	if !everything || !c.full() {
		c.put(sum, content)
	}
}

func (c *Cache) put(sum [32]byte, content []byte) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.items[sum]; ok || len(content) > c.max/2 {
		return
	}
	c.items[sum] = content
	c.order = append(c.order, sum)
	for c.size += len(content); c.size > c.max; c.order = c.order[1:] {
		c.size -= len(c.items[c.order[0]])
		delete(c.items, c.order[0])
	}
}
