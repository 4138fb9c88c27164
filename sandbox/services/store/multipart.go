package store

import (
	"context"
	"errors"
	"io"
	"os"

	"github.com/google/uuid"
	"github.com/rclone/gofakes3"
)

// upload is an object that comes in parts, each on disk: clients cut whatever
// is over a few MB, and a checkpoint must not pass through memory. A restart
// ends uploads, and clients start them again.
type upload struct {
	meta  map[string]string
	parts map[int]*content
}

func (b backend) CreateMultipartUpload(_ context.Context, _, _ string, meta map[string]string) (gofakes3.UploadID, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	id := uuid.NewString()
	b.uploads[id] = &upload{meta: meta, parts: map[int]*content{}}
	return gofakes3.UploadID(id), nil
}

func (b backend) UploadPart(_ context.Context, bucket, key string, id gofakes3.UploadID, number int, size int64, body io.Reader) (string, error) {
	c, err := b.receive(body, size)
	if err != nil {
		return "", s3Error(err, bucket, key)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	u := b.uploads[string(id)]
	if u == nil {
		return "", errors.Join(c.discard(), gofakes3.ErrNoSuchUpload)
	}
	if old := u.parts[number]; old != nil { // sent again
		if err := old.discard(); err != nil {
			return "", err
		}
	}
	u.parts[number] = c
	return `"` + c.md5() + `"`, nil
}

func (b backend) CompleteMultipartUpload(_ context.Context, bucket, key string, id gofakes3.UploadID, input *gofakes3.CompleteMultipartUploadRequest) (gofakes3.VersionID, string, error) {
	u := b.take(id)
	if u == nil {
		return "", "", gofakes3.ErrNoSuchUpload
	}
	c, err := b.join(u, input)
	if err != nil {
		b.giveBack(id, u) // the client may mend its list
		return "", "", s3Error(err, bucket, key)
	}
	r, err := b.keep(bucket, key, u.meta, c)
	if err = errors.Join(err, u.discard()); err != nil {
		return "", "", s3Error(err, bucket, key)
	}
	return "", `"` + r.MD5 + `"`, nil
}

func (b backend) AbortMultipartUpload(_ context.Context, _, _ string, id gofakes3.UploadID) error {
	if u := b.take(id); u != nil {
		return u.discard()
	}
	return nil
}

func (b backend) take(id gofakes3.UploadID) *upload {
	b.mu.Lock()
	defer b.mu.Unlock()
	u := b.uploads[string(id)]
	delete(b.uploads, string(id))
	return u
}

func (b backend) giveBack(id gofakes3.UploadID, u *upload) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.uploads[string(id)] = u
}

// join makes one content of the parts that the client lists, in its order,
// which has to rise.
func (b backend) join(u *upload, input *gofakes3.CompleteMultipartUploadRequest) (*content, error) {
	var files []io.Reader
	last := 0
	for _, p := range input.Parts {
		part := u.parts[p.PartNumber]
		switch {
		case p.PartNumber <= last:
			return nil, gofakes3.ErrInvalidPartOrder
		case part == nil, trimQuotes(p.ETag) != part.md5():
			return nil, gofakes3.ErrInvalidPart
		}
		last = p.PartNumber
		files = append(files, &lazyFile{path: part.file.Name()})
	}
	return b.receive(io.MultiReader(files...), -1)
}

func (u *upload) discard() error {
	var err error
	for _, p := range u.parts {
		err = errors.Join(err, p.discard())
	}
	return err
}

func trimQuotes(etag string) string {
	if len(etag) >= 2 && etag[0] == '"' && etag[len(etag)-1] == '"' {
		return etag[1 : len(etag)-1]
	}
	return etag
}

// lazyFile is a file that is open only while it is read: an upload may have
// 10,000 parts.
type lazyFile struct {
	path string
	file *os.File
}

func (l *lazyFile) Read(p []byte) (int, error) {
	if l.file == nil {
		f, err := os.Open(l.path)
		if err != nil {
			return 0, err
		}
		l.file = f
	}
	n, err := l.file.Read(p)
	if err != nil {
		_ = l.file.Close() // it was only read
	}
	return n, err
}
