package server

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// maxManifest is what a manifest may weigh, in bytes; the specification asks
// registries for 4 MiB at least.
const maxManifest = 4 << 20

// manifests keeps manifests as files: the media type, a newline, the
// manifest. A manifest that was pushed by tag is kept by digest as well, so
// that it stays when the tag moves on.
type manifests struct{ dir string }

// change passes a PUT or DELETE on, and does on disk what the handler did in
// memory. The caller serialises.
func (m manifests) change(w http.ResponseWriter, r *http.Request, inner http.Handler, repo, target string) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxManifest+1))
	if err != nil {
		fail(w, http.StatusBadRequest, "MANIFEST_INVALID", err.Error())
		return
	}
	if len(body) > maxManifest {
		fail(w, http.StatusRequestEntityTooLarge, "MANIFEST_INVALID", "a manifest has 4 MiB at most")
		return
	}
	sum := sha256.Sum256(body)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	if r.Method == http.MethodPut {
		if strings.Contains(target, ":") && target != digest {
			fail(w, http.StatusBadRequest, "DIGEST_INVALID", fmt.Sprintf("the manifest is %s, not %s", digest, target))
			return
		}
		// The disk first: an image whose push was confirmed is not lost.
		// One that the handler then refuses is refused again when replayed.
		if err := m.keep(repo, target, digest, r.Header.Get("Content-Type"), body); err != nil {
			fail(w, http.StatusInternalServerError, "UNKNOWN", err.Error())
			return
		}
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	status := &statusWriter{ResponseWriter: w, code: http.StatusOK}
	inner.ServeHTTP(status, r)
	if r.Method == http.MethodDelete && status.code < 300 {
		// What cannot be removed comes back with the next start, no more.
		_ = os.Remove(m.path(repo, target))
	}
}

func (m manifests) path(repo, target string) string {
	return filepath.Join(m.dir, url.PathEscape(repo), url.PathEscape(target))
}

func (m manifests) keep(repo, target, digest, mediaType string, body []byte) error {
	if err := os.MkdirAll(filepath.Join(m.dir, url.PathEscape(repo)), 0o755); err != nil {
		return err
	}
	content := append([]byte(mediaType+"\n"), body...)
	for _, name := range []string{digest, target} {
		path := m.path(repo, name)
		// A leading dot is never a tag or a digest.
		temp := filepath.Join(filepath.Dir(path), ".new")
		if err := os.WriteFile(temp, content, 0o644); err != nil {
			return err
		}
		if err := os.Rename(temp, path); err != nil {
			return err
		}
	}
	return nil
}

// replay puts every kept manifest into a handler and returns how many it
// took. An index comes after the manifests that it names.
func (m manifests) replay(inner http.Handler) (int, error) {
	type kept struct {
		repo, target, mediaType string
		body                    []byte
	}
	var waiting []kept
	err := filepath.WalkDir(m.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.HasPrefix(d.Name(), ".") {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		mediaType, body, ok := bytes.Cut(content, []byte("\n"))
		repo, errRepo := url.PathUnescape(filepath.Base(filepath.Dir(path)))
		target, errTarget := url.PathUnescape(d.Name())
		if ok && errors.Join(errRepo, errTarget) == nil {
			waiting = append(waiting, kept{repo, target, string(mediaType), body})
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	replayed := 0
	for len(waiting) > 0 {
		var refused []kept
		for _, k := range waiting {
			request, err := http.NewRequest(http.MethodPut, "/v2/"+k.repo+"/manifests/"+k.target, bytes.NewReader(k.body))
			if err != nil {
				continue // a name that no client could have sent
			}
			request.Header.Set("Content-Type", k.mediaType)
			answer := &statusWriter{ResponseWriter: discard{http.Header{}}, code: http.StatusOK}
			inner.ServeHTTP(answer, request)
			if answer.code >= 300 {
				refused = append(refused, k)
			}
		}
		replayed += len(waiting) - len(refused)
		if len(refused) == len(waiting) {
			return replayed, nil // pushes that were refused then are refused now
		}
		waiting = refused
	}
	return replayed, nil
}

// discard is a response that nobody reads.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}
