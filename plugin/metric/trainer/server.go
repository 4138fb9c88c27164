package trainer

import (
	"context"
	"crypto/hmac"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"strings"
)

// maxBody bounds what may be posted, in bytes, as Trainer does.
const maxBody = 64 << 10

// ErrNoRun says that nothing is kept for a Job of that name.
var ErrNoRun = errors.New("no run has this name")

// Keeper keeps lines of metrics; it returns ErrNoRun for Jobs that it does not
// know. It may be called by many at once.
type Keeper interface {
	Keep(ctx context.Context, job string, line []byte) error
}

// Server takes the posts of a namespace's runs.
type Server struct {
	Namespace string
	Key       []byte // of the Identity
	Keeper    Keeper
	Log       *log.Logger
}

// Handler answers as Trainer's status server does: 200 with what was
// understood, else a Status of Kubernetes' own kind.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+path("{namespace}", "{job}"), s.take)
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		s.refuse(w, http.StatusNotFound, "NotFound", "Not found")
	})
	return mux
}

func (s *Server) take(w http.ResponseWriter, r *http.Request) {
	job := r.PathValue("job")
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if want := Token(s.Key, s.Namespace, job); !ok || r.PathValue("namespace") != s.Namespace || !hmac.Equal([]byte(strings.TrimSpace(token)), []byte(want)) {
		s.refuse(w, http.StatusForbidden, "Forbidden", "the token is not that of this run")
		return
	}
	posted, err := read(http.MaxBytesReader(w, r.Body, maxBody))
	var line []byte
	if err == nil && posted != nil {
		line, err = posted.line()
	}
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		s.refuse(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge", fmt.Sprintf("more than %d bytes", maxBody))
		return
	case err != nil:
		s.Log.Printf("%s: %v", job, err)
		s.refuse(w, http.StatusUnprocessableEntity, "Invalid", err.Error())
		return
	}
	if posted != nil {
		err = s.Keeper.Keep(r.Context(), job, line)
	}
	switch {
	case errors.Is(err, ErrNoRun):
		s.refuse(w, http.StatusNotFound, "NotFound", err.Error())
	case err != nil:
		s.Log.Printf("%s: %v", job, err)
		s.refuse(w, http.StatusInternalServerError, "InternalError", "what was reported could not be kept")
	default:
		s.answer(w, http.StatusOK, request{posted})
	}
}

func (s *Server) refuse(w http.ResponseWriter, code int, reason, message string) {
	s.answer(w, code, map[string]any{
		"kind": "Status", "apiVersion": "v1", "metadata": map[string]any{},
		"status": "Failure", "message": message, "reason": reason, "code": code,
	})
}

func (s *Server) answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	if err := json.NewEncoder(w).Encode(body); err != nil {
		s.Log.Printf("answer: %v", err)
	}
}
