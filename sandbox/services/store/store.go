// Package store is the sandbox's object storage: the S3 API (rclone's
// gofakes3) over a folder, which a persistent volume keeps across restarts.
//
// Contents lie under the hex SHA-256 of their bytes, objects are records that
// point to one:
//
//	BUCKET/blobs/SHA256          bytes
//	BUCKET/records/SHA256.json   key, sha256, md5, size, time, metadata; named after the key
//
// So the folder is its own checksum manifest: sha256sum of a blob is its name.
// A record is written when its blob is on disk, and appears whole (rename(2)):
// after a crash an object is the old one or the new one. A whole object is
// hashed before it is sent; one that changed on disk is an error, never data.
//
// One process owns the folder.
package store

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
)

// record is an object.
type record struct {
	Key      string            `json:"key"`
	SHA256   string            `json:"sha256"`
	MD5      string            `json:"md5"` // what S3 calls its ETag
	Size     int64             `json:"sizeBytes"`
	Modified time.Time         `json:"modified"`
	Metadata map[string]string `json:"metadata,omitempty"`
}

// bucket is the records of a bucket by key.
type bucket struct {
	made    time.Time
	records map[string]*record
	blobs   map[string]int // how many records point to a content
}

// Store is a folder of buckets.
type Store struct {
	dir string

	mu      sync.RWMutex // guards what follows, and which files there are
	buckets map[string]*bucket
	uploads map[string]*upload
}

// Open reads a folder, which it makes, and removes what a crash left there.
func Open(dir string) (*Store, error) {
	s := &Store{dir: dir, buckets: map[string]*bucket{}, uploads: map[string]*upload{}}
	if err := os.RemoveAll(s.incoming()); err != nil {
		return nil, fmt.Errorf("remove unfinished uploads: %w", err)
	}
	if err := os.MkdirAll(s.incoming(), 0o700); err != nil {
		return nil, fmt.Errorf("make the store's folder: %w", err)
	}
	names, err := bucketNames(dir)
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if s.buckets[name], err = s.readRecords(name); err == nil {
			err = s.sweep(name)
		}
		if err != nil {
			return nil, fmt.Errorf("read bucket %s: %w", name, err)
		}
	}
	return s, nil
}

// bucketNames lists the folders that are buckets: those with records.
func bucketNames(dir string) ([]string, error) {
	found, err := filepath.Glob(filepath.Join(dir, "*", "records"))
	if err != nil {
		return nil, fmt.Errorf("read the store's folder: %w", err)
	}
	for i := range found {
		found[i] = filepath.Base(filepath.Dir(found[i]))
	}
	return found, nil
}

func (s *Store) readRecords(name string) (*bucket, error) {
	info, err := os.Stat(s.path(name))
	if err != nil {
		return nil, err
	}
	files, err := os.ReadDir(s.path(name, "records"))
	if err != nil {
		return nil, err
	}
	b := &bucket{made: info.ModTime(), records: map[string]*record{}, blobs: map[string]int{}}
	for _, f := range files {
		text, err := os.ReadFile(s.path(name, "records", f.Name()))
		if err != nil {
			return nil, err
		}
		r := &record{}
		if err := json.Unmarshal(text, r); err != nil {
			return nil, fmt.Errorf("record %s: %w", f.Name(), err)
		}
		b.records[r.Key] = r
		b.blobs[r.SHA256]++
	}
	return b, nil
}

// sweep removes contents that no object has: a crash came between the two.
func (s *Store) sweep(name string) error {
	blobs, err := os.ReadDir(s.path(name, "blobs"))
	if err != nil {
		return err
	}
	for _, f := range blobs {
		if s.buckets[name].blobs[f.Name()] > 0 {
			continue
		}
		if err := os.Remove(s.path(name, "blobs", f.Name())); err != nil {
			return err
		}
	}
	return nil
}

// incoming is the folder of what is being written. No bucket is called so:
// names of buckets start with a letter or a digit.
const incoming = ".incoming"

func (s *Store) incoming() string { return filepath.Join(s.dir, incoming) }
func (s *Store) path(parts ...string) string {
	return filepath.Join(append([]string{s.dir}, parts...)...)
}

func (s *Store) recordPath(bucket, key string) string {
	name := sha256.Sum256([]byte(key))
	return s.path(bucket, "records", hex.EncodeToString(name[:])+".json")
}

// MakeBucket makes a bucket, unless it is there.
func (s *Store) MakeBucket(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.buckets[name] != nil {
		return nil
	}
	for _, folder := range []string{"blobs", "records"} { // records last: they make it one
		if err := os.MkdirAll(s.path(name, folder), 0o700); err != nil {
			return fmt.Errorf("make bucket %s: %w", name, err)
		}
	}
	s.buckets[name] = &bucket{made: time.Now(), records: map[string]*record{}, blobs: map[string]int{}}
	return nil
}

// keep makes a received content an object.
func (s *Store) keep(name, key string, meta map[string]string, c *content) (*record, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[name]
	if b == nil {
		return nil, errors.Join(c.discard(), errNoBucket)
	}
	r := &record{Key: key, SHA256: c.sha256(), MD5: c.md5(), Size: c.size, Modified: time.Now().UTC(), Metadata: meta}
	if b.blobs[r.SHA256] > 0 && intact(s.path(name, "blobs", r.SHA256), r.SHA256) == nil {
		if err := c.discard(); err != nil {
			return nil, err
		}
	} else if err := os.Rename(c.file.Name(), s.path(name, "blobs", r.SHA256)); err != nil {
		return nil, err
	}
	text, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	if err := s.replace(s.recordPath(name, key), text); err != nil {
		return nil, err
	}
	b.blobs[r.SHA256]++
	old := b.records[key]
	b.records[key] = r
	return r, s.release(name, b, old)
}

// remove deletes an object, and does nothing when there is none.
func (s *Store) remove(name, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[name]
	if b == nil {
		return errNoBucket
	}
	old := b.records[key]
	if old == nil {
		return nil
	}
	if err := os.Remove(s.recordPath(name, key)); err != nil {
		return err
	}
	delete(b.records, key)
	return s.release(name, b, old)
}

// release removes the content of a former record unless another one has it.
// Those who read it have it open.
func (s *Store) release(name string, b *bucket, old *record) error {
	if old == nil {
		return nil
	}
	if b.blobs[old.SHA256]--; b.blobs[old.SHA256] > 0 {
		return nil
	}
	delete(b.blobs, old.SHA256)
	return os.Remove(s.path(name, "blobs", old.SHA256))
}

// replace writes a file so that a crash leaves the old one or the new one.
func (s *Store) replace(path string, text []byte) error {
	f, err := os.CreateTemp(s.incoming(), "record-*")
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return os.Rename(f.Name(), path)
}

// open returns an object and its content, which the caller closes.
func (s *Store) open(name, key string) (*record, *os.File, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b := s.buckets[name]
	if b == nil {
		return nil, nil, errNoBucket
	}
	r := b.records[key]
	if r == nil {
		return nil, nil, errNoKey
	}
	f, err := os.Open(s.path(name, "blobs", r.SHA256))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, &DamagedError{Bucket: name, Key: key, Want: r.SHA256}
	}
	return r, f, err
}

// keys are those of a bucket in the order of their bytes, as S3 lists them.
func (s *Store) keys(name string) ([]*record, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	b := s.buckets[name]
	if b == nil {
		return nil, errNoBucket
	}
	out := make([]*record, 0, len(b.records))
	for _, r := range b.records {
		out = append(out, r)
	}
	slices.SortFunc(out, func(x, y *record) int { return strings.Compare(x.Key, y.Key) })
	return out, nil
}

var (
	errNoBucket = errors.New("no such bucket")
	errNoKey    = errors.New("no such key")
)

// DamagedError says that an object's content is not what was stored.
type DamagedError struct{ Bucket, Key, Want, Got string }

func (e *DamagedError) Error() string {
	if e.Got == "" {
		return fmt.Sprintf("%s/%s: its content, sha256 %s, is gone", e.Bucket, e.Key, e.Want)
	}
	return fmt.Sprintf("%s/%s: its content has sha256 %s, stored was %s", e.Bucket, e.Key, e.Got, e.Want)
}

// intact hashes a file. It returns *DamagedError without names.
func intact(path, want string) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return &DamagedError{Want: want}
	}
	if err != nil {
		return err
	}
	got, err := digest(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if got != want {
		return &DamagedError{Want: want, Got: got}
	}
	return nil
}

func digest(r io.Reader) (string, error) {
	h := sha256.New()
	if _, err := io.Copy(h, r); err != nil {
		return "", err
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}
