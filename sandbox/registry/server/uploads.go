package server

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	v1 "github.com/google/go-containerregistry/pkg/v1"
)

// uploads are blobs on their way: one file each, appended to until its digest
// is known. One client owns an upload; two that write into the same one end
// with a digest that does not match.
type uploads struct {
	dir   string
	blobs blobs
}

func (u uploads) path(id string) string { return filepath.Join(u.dir, id) }

// serve answers the requests of the distribution specification's "pushing
// blobs": in one POST, in POST and PUT, in chunks, or mounted from another
// repository.
func (u uploads) serve(w http.ResponseWriter, r *http.Request, repo, id string) {
	var err error
	switch {
	case r.Method == http.MethodPost && id == "":
		err = u.begin(w, r, repo)
	case id == "":
		fail(w, http.StatusMethodNotAllowed, "UNSUPPORTED", "uploads begin with POST")
	case r.Method == http.MethodPatch:
		err = u.chunk(w, r, repo, id)
	case r.Method == http.MethodPut:
		err = u.finish(w, r, repo, id)
	case r.Method == http.MethodGet:
		err = u.progress(w, repo, id)
	case r.Method == http.MethodDelete:
		if err = os.Remove(u.path(id)); err == nil {
			w.WriteHeader(http.StatusNoContent)
		}
	default:
		fail(w, http.StatusMethodNotAllowed, "UNSUPPORTED", r.Method+" of an upload")
	}
	var wrongRange *rangeError
	switch {
	case err == nil:
	case errors.Is(err, fs.ErrNotExist):
		fail(w, http.StatusNotFound, "BLOB_UPLOAD_UNKNOWN", "no such upload")
	case errors.Is(err, errDigest):
		fail(w, http.StatusBadRequest, "DIGEST_INVALID", err.Error())
	case errors.As(err, &wrongRange):
		fail(w, http.StatusRequestedRangeNotSatisfiable, "BLOB_UPLOAD_INVALID", err.Error())
	default:
		fail(w, http.StatusInternalServerError, "UNKNOWN", err.Error())
	}
}

func (u uploads) begin(w http.ResponseWriter, r *http.Request, repo string) error {
	query := r.URL.Query()
	if h, err := v1.NewHash(query.Get("mount")); err == nil {
		// Repositories share the blobs, so there is nothing to copy.
		if _, err := u.blobs.Stat(context.WithoutCancel(r.Context()), repo, h); err == nil {
			created(w, repo, h)
			return nil
		}
	}
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails
	id := hex.EncodeToString(random[:])
	f, err := os.OpenFile(u.path(id), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	if query.Get("digest") != "" {
		return u.finish(w, r, repo, id)
	}
	return u.accepted(w, repo, id, 0, http.StatusAccepted)
}

func (u uploads) chunk(w http.ResponseWriter, r *http.Request, repo, id string) error {
	size, err := u.append(r, id)
	if err != nil {
		return err
	}
	return u.accepted(w, repo, id, size, http.StatusAccepted)
}

func (u uploads) progress(w http.ResponseWriter, repo, id string) error {
	info, err := os.Stat(u.path(id))
	if err != nil {
		return err
	}
	return u.accepted(w, repo, id, info.Size(), http.StatusNoContent)
}

func (u uploads) finish(w http.ResponseWriter, r *http.Request, repo, id string) error {
	h, err := v1.NewHash(r.URL.Query().Get("digest"))
	if err != nil {
		return fmt.Errorf("%w: %w", errDigest, err)
	}
	if _, err := u.append(r, id); err != nil {
		return err
	}
	if err := u.blobs.adopt(u.path(id), h); err != nil {
		return errors.Join(err, os.Remove(u.path(id)))
	}
	created(w, repo, h)
	return nil
}

// rangeError is a chunk that does not begin where the last one ended.
type rangeError struct{ start, size int64 }

func (e *rangeError) Error() string {
	return fmt.Sprintf("chunk begins at %d, the upload has %d bytes", e.start, e.size)
}

// append adds a request's body to an upload and returns its new size.
func (u uploads) append(r *http.Request, id string) (size int64, err error) {
	f, err := os.OpenFile(u.path(id), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	if header := r.Header.Get("Content-Range"); header != "" {
		first, _, _ := strings.Cut(strings.TrimPrefix(header, "bytes "), "-")
		start, err := strconv.ParseInt(first, 10, 64)
		if err != nil || start != info.Size() {
			return 0, &rangeError{start, info.Size()}
		}
	}
	n, err := io.Copy(f, r.Body)
	return info.Size() + n, err
}

func (u uploads) accepted(w http.ResponseWriter, repo, id string, size int64, status int) error {
	w.Header().Set("Location", "/v2/"+repo+"/blobs/uploads/"+id)
	w.Header().Set("Docker-Upload-UUID", id)
	w.Header().Set("Range", fmt.Sprintf("0-%d", max(size-1, 0)))
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(status)
	return nil
}

func created(w http.ResponseWriter, repo string, h v1.Hash) {
	w.Header().Set("Location", "/v2/"+repo+"/blobs/"+h.String())
	w.Header().Set("Docker-Content-Digest", h.String())
	w.Header().Set("Content-Length", "0")
	w.WriteHeader(http.StatusCreated)
}
