package dashboard

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/live"
)

type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

func newServer(t *testing.T) *Server {
	t.Helper()
	s, err := New(address("127.0.0.1:4321"), func(id string) (live.Diff, error) {
		if id == "1" {
			return live.Diff{ID: id}, nil
		}
		return live.Diff{}, &live.GenerationError{ID: id}
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Publish(live.State{Kind: live.Kind, Project: "digits"}); err != nil {
		t.Fatal(err)
	}
	return s
}

func TestOnlyWhoHasTheTokenIsAnswered(t *testing.T) {
	s := newServer(t)
	for _, test := range []struct {
		name   string
		method string
		path   string
		host   string
		cookie string
		header [2]string
		want   int
	}{
		{name: "the page without a token", path: "/", want: 401},
		{name: "its script without a token", path: "/app.js", want: 401},
		{name: "the state without a token", path: "/state", want: 401},
		{name: "the stream without a token", path: "/events", want: 401},
		{name: "a generation without a token", path: "/generations/1", want: 401},
		{name: "another token", path: "/?token=wrong", want: 403},
		{name: "no token at all", path: "/?token=", want: 403},
		{name: "another cookie", path: "/state", cookie: "wrong", want: 401},
		{name: "the token elsewhere than in the first address", path: "/state?token=" + s.token, want: 401},
		{name: "the token", path: "/?token=" + s.token, want: 303},
		{name: "the cookie", path: "/state", cookie: s.token, want: 200},
		{name: "the page", path: "/", cookie: s.token, want: 200},
		{name: "by the name localhost", path: "/", host: "localhost:4321", cookie: s.token, want: 200},
		{name: "a name that was rebound", path: "/state", host: "evil.example:4321", cookie: s.token, want: 403},
		{name: "a name that was rebound, with the token", path: "/?token=" + s.token, host: "evil.example", want: 403},
		{name: "another port", path: "/state", host: "127.0.0.1:4322", cookie: s.token, want: 403},
		{name: "another site's script", path: "/state", cookie: s.token, header: [2]string{"Sec-Fetch-Site", "cross-site"}, want: 403},
		{name: "a change", method: http.MethodPost, path: "/state", cookie: s.token, want: 405},
		{name: "no such file", path: "/nothing", cookie: s.token, want: 404},
		{name: "a generation", path: "/generations/1", cookie: s.token, want: 200},
		{name: "no such generation", path: "/generations/2", cookie: s.token, want: 404},
	} {
		t.Run(test.name, func(t *testing.T) {
			method := test.method
			if method == "" {
				method = http.MethodGet
			}
			r := httptest.NewRequestWithContext(t.Context(), method, test.path, nil)
			if r.Host = test.host; r.Host == "" {
				r.Host = "127.0.0.1:4321"
			}
			if test.cookie != "" {
				r.AddCookie(&http.Cookie{Name: s.cookie(), Value: test.cookie})
			}
			if test.header[0] != "" {
				r.Header.Set(test.header[0], test.header[1])
			}
			w := httptest.NewRecorder()
			s.Handler().ServeHTTP(w, r)
			if w.Code != test.want {
				t.Errorf("%d, want %d: %s", w.Code, test.want, w.Body)
			}
			if test.want >= 400 && strings.Contains(w.Body.String(), "digits") {
				t.Errorf("what is refused tells all the same: %s", w.Body)
			}
			if csp := w.Header().Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || strings.Contains(csp, "unsafe") {
				t.Errorf("policy: %q", csp)
			}
		})
	}
}

func TestTheTokenBecomesACookieThatScriptsDoNotSee(t *testing.T) {
	s := newServer(t)
	r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, strings.TrimPrefix(s.URL(), "http://127.0.0.1:4321"), nil)
	r.Host = "127.0.0.1:4321"
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	cookies := w.Result().Cookies()
	if len(cookies) != 1 || !cookies[0].HttpOnly || cookies[0].SameSite != http.SameSiteStrictMode || cookies[0].Value != s.token {
		t.Errorf("%+v", cookies)
	}
	if to := w.Header().Get("Location"); to != "/" {
		t.Errorf("redirected to %q: the token would stay in the history", to)
	}
}

// events reads states from a stream.
type events struct {
	t     *testing.T
	lines *bufio.Scanner
}

func (e *events) next() live.State {
	e.t.Helper()
	for e.lines.Scan() {
		if data, ok := strings.CutPrefix(e.lines.Text(), "data: {"); ok {
			var s live.State
			if err := json.Unmarshal([]byte("{"+data), &s); err != nil {
				e.t.Fatal(err)
			}
			return s
		}
	}
	e.t.Fatalf("the stream ended: %v", e.lines.Err())
	return live.State{}
}

func TestAStreamSendsWhatIsNewAndEndsWithTheServer(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	l, err := Listen(ctx, 0)
	if err != nil {
		t.Fatal(err)
	}
	s, err := New(l.Addr(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Publish(live.State{Project: "one"}); err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, l) }()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:"+s.port+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.AddCookie(&http.Cookie{Name: s.cookie(), Value: s.token})
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Body.Close() }()
	stream := &events{t, bufio.NewScanner(answer.Body)}
	if got := stream.next().Project; got != "one" {
		t.Errorf("first: %q", got)
	}
	if err := s.Publish(live.State{Project: "two"}); err != nil {
		t.Fatal(err)
	}
	if got := stream.next().Project; got != "two" {
		t.Errorf("then: %q", got)
	}
	cancel()
	select {
	case err := <-served:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("it serves on")
	}
	if _, err := io.Copy(io.Discard, answer.Body); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("the stream ended with %v", err)
	}
}

func TestAPortThatIsTakenIsNamed(t *testing.T) {
	l, err := Listen(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	port := l.Addr().(*net.TCPAddr).Port
	var taken *ListenError
	if _, err := Listen(t.Context(), port); !errors.As(err, &taken) || taken.Port != port {
		t.Errorf("%v", err)
	}
}
