package store

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
)

// content is bytes on their way into the store, in a file of their own.
type content struct {
	file     *os.File
	sum, tag hash.Hash // SHA-256 and MD5
	size     int64
}

// receive writes a body to disk and hashes it. A body of another size than
// announced is io.ErrUnexpectedEOF; size < 0 is any.
func (s *Store) receive(body io.Reader, size int64) (*content, error) {
	f, err := os.CreateTemp(s.incoming(), "content-*")
	if err != nil {
		return nil, fmt.Errorf("receive an object: %w", err)
	}
	c := &content{file: f, sum: sha256.New(), tag: md5.New()}
	c.size, err = io.Copy(io.MultiWriter(f, c.sum, c.tag), body)
	if err == nil && size >= 0 && c.size != size {
		err = io.ErrUnexpectedEOF
	}
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, errors.Join(err, c.discard())
	}
	return c, nil
}

func (c *content) discard() error { return os.Remove(c.file.Name()) }
func (c *content) sha256() string { return hex.EncodeToString(c.sum.Sum(nil)) }
func (c *content) md5() string    { return hex.EncodeToString(c.tag.Sum(nil)) }
