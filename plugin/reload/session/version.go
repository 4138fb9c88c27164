package session

import (
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

	root  string
	cache *Cache

	mu      sync.Mutex
	encodes map[[64]byte]wire.Content // by sum and base: ranks share the work
}

// NewVersion returns the version of the folder that index describes.
func NewVersion(root string, index tree.Index, cache *Cache) *Version {
	return &Version{Index: index, Digest: index.Digest(), root: root, cache: cache, encodes: map[[64]byte]wire.Content{}}
}

// encoded returns the message for a content, as a difference to the version
// of the same path in base where that is at hand.
func (v *Version) encoded(sum [32]byte, base tree.Index) (wire.Content, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	entry, ok := v.entry(sum)
	if !ok {
		return wire.Content{}, fmt.Errorf("the rank asks for unknown content %x", sum[:6])
	}
	var old []byte
	var oldSum [32]byte
	if before, ok := base.Find(entry.Path); ok && before.Kind != tree.Link {
		if old = v.cache.get(before.Sum); old != nil {
			oldSum = before.Sum
		}
	}
	var key [64]byte
	copy(key[:], sum[:])
	copy(key[32:], oldSum[:])
	if c, ok := v.encodes[key]; ok {
		return c, nil
	}
	content, err := v.read(entry)
	if err != nil {
		return wire.Content{}, err
	}
	c, err := wire.Encode(sum, content, oldSum, old)
	if err != nil {
		return wire.Content{}, err
	}
	v.encodes[key] = c
	return c, nil
}

func (v *Version) entry(sum [32]byte) (tree.Entry, bool) {
	for _, e := range v.Index {
		if e.Sum == sum && e.Kind != tree.Link {
			return e, true
		}
	}
	return tree.Entry{}, false
}

func (v *Version) read(e tree.Entry) ([]byte, error) {
	if content := v.cache.get(e.Sum); content != nil {
		return content, nil
	}
	if e.Size > wire.MaxFile {
		return nil, fmt.Errorf("%s is larger than %d MiB: ignore it, or mount it as data", e.Path, wire.MaxFile>>20)
	}
	content, err := os.ReadFile(filepath.Join(v.root, filepath.FromSlash(e.Path)))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", e.Path, ErrChanged)
	}
	if err != nil {
		return nil, err
	}
	if sha256.Sum256(content) != e.Sum {
		return nil, fmt.Errorf("%s: %w", e.Path, ErrChanged)
	}
	v.cache.put(e.Sum, content)
	return content, nil
}

// Cache keeps contents of earlier versions, which serve as dictionaries. It
// is bounded by bytes; beyond that a file is sent whole.
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
