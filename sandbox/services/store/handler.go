package store

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/rclone/gofakes3"
)

// Keys are who may use the store: what AWS calls an access key.
type Keys struct{ ID, Secret string }

// Handler serves the S3 API (path style) to who signs with the keys (AWS
// Signature Version 4). A body that is not what was signed is refused.
func (s *Store) Handler(keys Keys) http.Handler {
	s3 := gofakes3.New(backend{s},
		gofakes3.WithV4Auth(map[string]string{keys.ID: keys.Secret}),
		gofakes3.WithTimeSkewLimit(15*time.Minute), // AWS's own
	).Server()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if want, err := hex.DecodeString(r.Header.Get("X-Amz-Content-Sha256")); err == nil && len(want) == sha256.Size {
			r.Body = &signedBody{ReadCloser: r.Body, want: want, hash: sha256.New(), left: r.ContentLength}
		}
		s3.ServeHTTP(w, r)
	})
}

// signedBody fails at its end when it is not what the client signed: the
// library verifies the signature over the hash that is announced alone.
type signedBody struct {
	io.ReadCloser
	want []byte
	hash hash.Hash
	left int64 // of Content-Length, after which nobody reads on to find the end; -1: unknown
}

func (b *signedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	_, _ = b.hash.Write(p[:n]) // never fails
	ended := errors.Is(err, io.EOF)
	if b.left > 0 {
		b.left -= int64(n)
		ended = ended || b.left == 0
	}
	if ended && !bytes.Equal(b.hash.Sum(nil), b.want) {
		return n, gofakes3.ErrorMessage(gofakes3.ErrBadDigest, "The body is not what x-amz-content-sha256 says.")
	}
	return n, err
}

// Health serves /healthz and /metrics, on a port of its own: any path of the
// S3 API's may be a bucket.
func (s *Store) Health() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		s.metrics(w)
	})
	return mux
}

func (s *Store) metrics(w io.Writer) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	var objects, sizes bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(s.buckets)) {
		var size int64
		for _, r := range s.buckets[name].records {
			size += r.Size
		}
		fmt.Fprintf(&objects, "store_objects{bucket=%q} %d\n", name, len(s.buckets[name].records))
		fmt.Fprintf(&sizes, "store_bytes{bucket=%q} %d\n", name, size)
	}
	_, _ = fmt.Fprintf(w, "# HELP store_objects Objects in a bucket.\n# TYPE store_objects gauge\n%s"+
		"# HELP store_bytes Bytes of the objects in a bucket.\n# TYPE store_bytes gauge\n%s", &objects, &sizes)
}
