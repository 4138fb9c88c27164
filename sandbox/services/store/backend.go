package store

import (
	"context"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/rclone/gofakes3"
)

// backend is the store as gofakes3 asks for it.
type backend struct{ *Store }

var (
	_ gofakes3.Backend          = backend{}
	_ gofakes3.MultipartBackend = backend{}
)

// s3Error gives S3's words to what the store says.
func s3Error(err error, bucket, key string) error {
	var damaged *DamagedError
	var said gofakes3.Error
	switch {
	case errors.As(err, &said): // from reading a body; the library looks at errors as they are
		return said
	case errors.Is(err, errNoBucket):
		return gofakes3.BucketNotFound(bucket)
	case errors.Is(err, errNoKey):
		return gofakes3.KeyNotFound(key)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return gofakes3.ErrIncompleteBody
	case errors.As(err, &damaged):
		damaged.Bucket, damaged.Key = bucket, key
		return gofakes3.ErrorMessage(gofakes3.ErrInternal, damaged.Error())
	}
	return err
}

func (b backend) ListBuckets(context.Context) ([]gofakes3.BucketInfo, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	var out []gofakes3.BucketInfo
	for name, bucket := range b.buckets {
		out = append(out, gofakes3.BucketInfo{Name: name, CreationDate: gofakes3.NewContentTime(bucket.made)})
	}
	slices.SortFunc(out, func(x, y gofakes3.BucketInfo) int { return strings.Compare(x.Name, y.Name) })
	return out, nil
}

// ListBucket lists keys in order; keys that share a prefix up to the delimiter
// are one entry.
func (b backend) ListBucket(_ context.Context, name string, prefix *gofakes3.Prefix, page gofakes3.ListBucketPage) (*gofakes3.ObjectList, error) {
	records, err := b.keys(name)
	if err != nil {
		return nil, s3Error(err, name, "")
	}
	if prefix == nil {
		prefix = &gofakes3.Prefix{}
	}
	list := gofakes3.NewObjectList()
	var entries int64
	for _, r := range records {
		entry, common := fold(*prefix, r.Key)
		switch {
		case !strings.HasPrefix(r.Key, prefix.Prefix):
			continue
		case page.HasMarker && (r.Key <= page.Marker || common && strings.HasPrefix(page.Marker, entry)):
			continue // a marker may be the last common prefix
		case common && len(list.CommonPrefixes) > 0 && list.CommonPrefixes[len(list.CommonPrefixes)-1].Prefix == entry:
			continue
		}
		if page.MaxKeys > 0 && entries == page.MaxKeys {
			list.IsTruncated = true
			return list, nil
		}
		entries++
		list.NextMarker = entry
		if common {
			list.AddPrefix(entry)
			continue
		}
		list.Add(&gofakes3.Content{Key: r.Key, LastModified: gofakes3.NewContentTime(r.Modified), ETag: `"` + r.MD5 + `"`, Size: r.Size})
	}
	list.NextMarker = ""
	return list, nil
}

// fold returns the entry of a listing that stands for a key: itself, or its
// prefix up to the first delimiter after the one that was asked for.
func fold(p gofakes3.Prefix, key string) (entry string, common bool) {
	rest, ok := strings.CutPrefix(key, p.Prefix)
	if !ok || p.Delimiter == "" {
		return key, false
	}
	i := strings.Index(rest, p.Delimiter)
	if i < 0 {
		return key, false
	}
	return p.Prefix + rest[:i+len(p.Delimiter)], true
}

func (b backend) CreateBucket(ctx context.Context, name string) error {
	if there, _ := b.BucketExists(ctx, name); there {
		return gofakes3.ResourceError(gofakes3.ErrBucketAlreadyExists, name)
	}
	return b.MakeBucket(name)
}

func (b backend) BucketExists(_ context.Context, name string) (bool, error) {
	b.mu.RLock()
	defer b.mu.RUnlock()
	return b.buckets[name] != nil, nil
}

func (b backend) DeleteBucket(_ context.Context, name string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch bucket := b.buckets[name]; {
	case bucket == nil:
		return gofakes3.BucketNotFound(name)
	case len(bucket.records) > 0:
		return gofakes3.ResourceError(gofakes3.ErrBucketNotEmpty, name)
	}
	delete(b.buckets, name)
	return os.RemoveAll(b.path(name))
}

// GetObject hashes a whole object before it is sent; a range is sent as it is.
func (b backend) GetObject(_ context.Context, bucket, key string, asked *gofakes3.ObjectRangeRequest) (*gofakes3.Object, error) {
	r, f, err := b.open(bucket, key)
	if err != nil {
		return nil, s3Error(err, bucket, key)
	}
	object := r.object()
	if object.Range, err = asked.Range(r.Size); err == nil {
		object.Contents, err = contents(r, f, object.Range)
	}
	if err != nil {
		_ = f.Close() // it was only read
		return nil, s3Error(err, bucket, key)
	}
	return object, nil
}

func contents(r *record, f *os.File, part *gofakes3.ObjectRange) (io.ReadCloser, error) {
	if part != nil {
		_, err := f.Seek(part.Start, io.SeekStart)
		return reader{io.LimitReader(f, part.Length), f}, err
	}
	got, err := digest(f)
	if err != nil {
		return nil, err
	}
	if got != r.SHA256 {
		return nil, &DamagedError{Want: r.SHA256, Got: got}
	}
	_, err = f.Seek(0, io.SeekStart)
	return f, err
}

// reader is a part of a file.
type reader struct {
	io.Reader
	io.Closer
}

func (b backend) HeadObject(_ context.Context, bucket, key string) (*gofakes3.Object, error) {
	r, f, err := b.open(bucket, key)
	if err != nil {
		return nil, s3Error(err, bucket, key)
	}
	object := r.object()
	object.Contents = http.NoBody
	return object, f.Close()
}

func (r *record) object() *gofakes3.Object {
	hash, _ := hex.DecodeString(r.MD5) // written by this package
	meta := map[string]string{"Last-Modified": r.Modified.Format(http.TimeFormat)}
	for k, v := range r.Metadata {
		if k != "Last-Modified" {
			meta[k] = v
		}
	}
	return &gofakes3.Object{Name: r.Key, Metadata: meta, Size: r.Size, Hash: hash}
}

func (b backend) PutObject(_ context.Context, bucket, key string, meta map[string]string, body io.Reader, size int64) (gofakes3.PutObjectResult, error) {
	c, err := b.receive(body, size)
	if err != nil {
		return gofakes3.PutObjectResult{}, s3Error(err, bucket, key)
	}
	_, err = b.keep(bucket, key, meta, c)
	return gofakes3.PutObjectResult{}, s3Error(err, bucket, key)
}

func (b backend) CopyObject(ctx context.Context, fromBucket, from, bucket, key string, meta map[string]string) (gofakes3.CopyObjectResult, error) {
	source, err := b.GetObject(ctx, fromBucket, from, nil)
	if err != nil {
		return gofakes3.CopyObjectResult{}, err
	}
	c, err := b.receive(source.Contents, source.Size)
	if err = errors.Join(err, source.Contents.Close()); err != nil {
		return gofakes3.CopyObjectResult{}, s3Error(err, bucket, key)
	}
	r, err := b.keep(bucket, key, meta, c)
	if err != nil {
		return gofakes3.CopyObjectResult{}, s3Error(err, bucket, key)
	}
	return gofakes3.CopyObjectResult{ETag: `"` + r.MD5 + `"`, LastModified: gofakes3.NewContentTime(r.Modified)}, nil
}

func (b backend) DeleteObject(_ context.Context, bucket, key string) (gofakes3.ObjectDeleteResult, error) {
	return gofakes3.ObjectDeleteResult{}, s3Error(b.remove(bucket, key), bucket, key)
}

func (b backend) DeleteMulti(_ context.Context, bucket string, keys ...string) (gofakes3.MultiDeleteResult, error) {
	var result gofakes3.MultiDeleteResult
	for _, key := range keys {
		if err := b.remove(bucket, key); err != nil {
			failed := gofakes3.ErrorResultFromError(s3Error(err, bucket, key))
			failed.Key = key
			result.Error = append(result.Error, failed)
			continue
		}
		result.Deleted = append(result.Deleted, gofakes3.ObjectID{Key: key})
	}
	return result, nil
}
