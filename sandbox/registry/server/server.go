// Package server is a container registry that keeps everything in one
// folder, so that what was pushed survives a restart. It serves the OCI
// distribution protocol by go-containerregistry's handler and adds what that
// keeps in memory only: uploads go to disk as they come, since layers with
// machine-learning libraries have gigabytes, and manifests are written beside
// the blobs and replayed when the server starts.
//
// Layout: blobs/sha256/<hex>, uploads/<id>, manifests/<escaped repository>/
// <tag or digest>. A file is there completely or not at all (rename(2)).
// There is no garbage collection and no authentication: it listens on the
// loopback address of one person's machine.
package server

import (
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"sync"

	"github.com/google/go-containerregistry/pkg/registry"
)

// Server is an http.Handler. It is safe for concurrent use.
type Server struct {
	inner   http.Handler
	blobs   blobs
	uploads uploads
	stored  manifests

	// mu keeps the order in which manifests reach the handler's memory and
	// the disk the same.
	mu sync.Mutex
}

// New opens a folder, made when missing, and replays its manifests.
func New(dir string, logger *log.Logger) (*Server, error) {
	s := &Server{
		blobs:   blobs{filepath.Join(dir, "blobs", "sha256")},
		uploads: uploads{dir: filepath.Join(dir, "uploads")},
		stored:  manifests{filepath.Join(dir, "manifests")},
	}
	if err := os.RemoveAll(s.uploads.dir); err != nil { // of clients that are gone
		return nil, fmt.Errorf("clear unfinished uploads: %w", err)
	}
	for _, d := range []string{s.blobs.dir, s.uploads.dir, s.stored.dir} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return nil, fmt.Errorf("make the registry's folder: %w", err)
		}
	}
	s.uploads.blobs = s.blobs
	quiet := log.New(io.Discard, "", 0)
	s.inner = registry.New(registry.WithBlobHandler(s.blobs), registry.WithReferrersSupport(true), registry.Logger(quiet))
	replayed, err := s.stored.replay(s.inner)
	if err != nil {
		return nil, fmt.Errorf("replay manifests: %w", err)
	}
	logger.Printf("serving %s, %d manifests", dir, replayed)
	s.inner = logged(s.inner, logger)
	return s, nil
}

var (
	uploadPath   = regexp.MustCompile(`^/v2/(.+)/blobs/uploads/([a-f0-9]*)$`)
	manifestPath = regexp.MustCompile(`^/v2/(.+)/manifests/([^/]+)$`)
	repoName     = regexp.MustCompile(`^[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*$`)
	targetName   = regexp.MustCompile(`^(\w[\w.-]{0,127}|sha256:[0-9a-f]{64})$`)
)

func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if m := uploadPath.FindStringSubmatch(r.URL.Path); m != nil {
		s.uploads.serve(w, r, m[1], m[2])
		return
	}
	if repo := referrersRepo(r); repo != "" && repoName.MatchString(repo) {
		s.referrers(w, r, repo)
		return
	}
	m := manifestPath.FindStringSubmatch(r.URL.Path)
	if m == nil || r.Method != http.MethodPut && r.Method != http.MethodDelete {
		s.inner.ServeHTTP(w, r)
		return
	}
	// Names become file names, so they are what the specification allows.
	if !repoName.MatchString(m[1]) || !targetName.MatchString(m[2]) {
		fail(w, http.StatusBadRequest, "NAME_INVALID", "no name for a repository or a tag")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stored.change(w, r, s.inner, m[1], m[2])
}

// logged writes a line for every request that did not end well.
func logged(h http.Handler, logger *log.Logger) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		status := &statusWriter{ResponseWriter: w, code: http.StatusOK}
		h.ServeHTTP(status, r)
		if status.code >= 400 && status.code != http.StatusNotFound {
			logger.Printf("%s %s: %d", r.Method, r.URL.Path, status.code)
		}
	})
}

// statusWriter remembers the status code.
type statusWriter struct {
	http.ResponseWriter
	code int
}

func (s *statusWriter) WriteHeader(code int) {
	s.code = code
	s.ResponseWriter.WriteHeader(code)
}

// fail answers in the form that registry clients read.
func fail(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, `{"errors":[{"code":%q,"message":%q}]}`, code, message) // the client went away
}
