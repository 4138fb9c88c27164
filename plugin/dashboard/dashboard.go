// Package dashboard serves a page that shows a live state, to one user on this
// machine. The page is embedded and fetches nothing from elsewhere.
//
// Invariants:
//   - Nothing can be changed through it: GET and HEAD are all it answers.
//   - No request without the token is answered, be it of another user of the
//     machine or of a page in the same browser. The token comes once, in the
//     address that the command prints, and is a cookie from then on: HttpOnly,
//     SameSite=Strict, of this port alone by its name.
//   - A name that was made to resolve to this machine (DNS rebinding) is
//     refused by its Host header, whatever it carries.
//   - No script or style runs but the page's own files (Content-Security-Policy),
//     so that what pods say stays text.
package dashboard

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/live"
)

//go:embed page
var page embed.FS

// beat is how often a stream says that it is alive; the page calls itself stale
// after three of them. Chosen.
const beat = 3 * time.Second

// Server serves the page. Use New.
type Server struct {
	diff  func(id string) (live.Diff, error)
	token string
	port  string

	mu    sync.Mutex // guards the rest
	state []byte     // the newest, as JSON; nil: none yet
	next  chan struct{}
}

// New returns a server with a fresh token that will be reached at a loopback
// address. diff compares a generation with the one before it.
func New(address net.Addr, diff func(id string) (live.Diff, error)) (*Server, error) {
	_, port, err := net.SplitHostPort(address.String())
	if err != nil {
		return nil, fmt.Errorf("dashboard: %w", err)
	}
	return &Server{diff: diff, token: rand.Text(), port: port, next: make(chan struct{})}, nil
}

// URL is where the page is, with the token.
func (s *Server) URL() string { return "http://127.0.0.1:" + s.port + "/?token=" + s.token }

// ListenError says that a port cannot be had.
type ListenError struct {
	Port int
	Err  error
}

func (e *ListenError) Error() string {
	return fmt.Sprintf("listen on 127.0.0.1:%d: %v", e.Port, e.Err)
}
func (e *ListenError) Unwrap() error { return e.Err }

// Listen takes a port of the loopback interface, 0 for one that is free. It
// returns a *ListenError.
func Listen(ctx context.Context, port int) (net.Listener, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return nil, &ListenError{port, err}
	}
	return l, nil
}

// Publish shows a state to all who look.
func (s *Server) Publish(state live.State) error {
	raw, err := json.Marshal(state)
	if err != nil {
		return fmt.Errorf("encode the live state: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = raw
	close(s.next)
	s.next = make(chan struct{})
	return nil
}

// Serve answers on a listener until ctx ends, and then ends all streams.
func (s *Server) Serve(ctx context.Context, l net.Listener) error {
	server := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		MaxHeaderBytes:    64 << 10,
		BaseContext:       func(net.Listener) context.Context { return ctx },
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(l) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve the dashboard: %w", err)
	case <-ctx.Done():
	}
	// The streams end with ctx; what still hangs is cut.
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
	defer cancel()
	if server.Shutdown(limit) != nil {
		_ = server.Close()
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve the dashboard: %w", err)
	}
	return context.Cause(ctx)
}

// Handler answers requests.
func (s *Server) Handler() http.Handler {
	files, err := fs.Sub(page, "page")
	if err != nil {
		panic(err) // the folder is embedded
	}
	mux := http.NewServeMux()
	mux.Handle("GET /", http.FileServerFS(files))
	mux.HandleFunc("GET /events", s.events)
	mux.HandleFunc("GET /state", s.current)
	mux.HandleFunc("GET /generations/{id}", s.generation)
	return s.guard(mux)
}

// guard lets pass who has the token, and changes nothing.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		switch {
		case !s.here(r.Host):
			http.Error(w, "this host is not where the dashboard is", http.StatusForbidden)
		case r.Header.Get("Sec-Fetch-Site") == "cross-site" && r.Header.Get("Sec-Fetch-Mode") != "navigate":
			http.Error(w, "another site's page may not read this", http.StatusForbidden)
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			h.Set("Allow", "GET, HEAD")
			http.Error(w, "the dashboard changes nothing", http.StatusMethodNotAllowed)
		case r.URL.Path == "/" && r.URL.Query().Has("token"):
			if !s.is(r.URL.Query().Get("token")) {
				http.Error(w, "this token is of another dashboard: open the address that kubectl ai dashboard prints", http.StatusForbidden)
				return
			}
			http.SetCookie(w, &http.Cookie{Name: s.cookie(), Value: s.token, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
			http.Redirect(w, r, "/", http.StatusSeeOther) // the token does not stay in the history
		case !s.known(r):
			http.Error(w, "no token: open the address that kubectl ai dashboard prints", http.StatusUnauthorized)
		default:
			next.ServeHTTP(w, r)
		}
	})
}

// here says whether a Host header names this machine's loopback and our port.
func (s *Server) here(host string) bool {
	switch host {
	case "127.0.0.1:" + s.port, "localhost:" + s.port, "[::1]:" + s.port:
		return true
	}
	return false
}

// cookie is the cookie's name: cookies of a host are shared by all its ports.
func (s *Server) cookie() string { return "kubectl-ai-dashboard-" + s.port }

func (s *Server) known(r *http.Request) bool {
	c, err := r.Cookie(s.cookie())
	return err == nil && s.is(c.Value)
}

// is compares in a time that tells nothing of the token.
func (s *Server) is(token string) bool {
	a, b := sha256.Sum256([]byte(token)), sha256.Sum256([]byte(s.token))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

func (s *Server) look() ([]byte, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state, s.next
}

// current answers with the newest state.
func (s *Server) current(w http.ResponseWriter, _ *http.Request) {
	state, _ := s.look()
	if state == nil {
		http.Error(w, "nothing is known yet", http.StatusServiceUnavailable)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(state)
}

// events streams states as server-sent events (WHATWG HTML, 9.2). Who is slow
// misses those that were overtaken.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	out := http.NewResponseController(w)
	alive := time.NewTicker(beat)
	defer alive.Stop()
	if _, err := fmt.Fprintf(w, "retry: 1000\n\n"); err != nil {
		return
	}
	var sent []byte
	for {
		state, next := s.look()
		if state != nil && (sent == nil || &sent[0] != &state[0]) {
			if _, err := fmt.Fprintf(w, "event: state\ndata: %s\n\n", state); err != nil {
				return
			}
			sent = state
		}
		if out.Flush() != nil {
			return
		}
		select {
		case <-next:
		case <-alive.C:
			if _, err := fmt.Fprintf(w, "event: beat\ndata: \n\n"); err != nil {
				return
			}
		case <-r.Context().Done():
			return
		}
	}
}

// generation answers with what a generation changed.
func (s *Server) generation(w http.ResponseWriter, r *http.Request) {
	d, err := s.diff(r.PathValue("id"))
	var none *live.GenerationError
	switch {
	case errors.As(err, &none):
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	case err != nil:
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(d)
}
