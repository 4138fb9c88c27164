package exporter

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// answering is a client that one handler answers.
type answering struct{ http.Handler }

func (a answering) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	a.ServeHTTP(w, r)
	return w.Result(), nil
}

// What the handler says comes back as it was.
func TestAsk(t *testing.T) {
	c, e := newCluster(t)
	client := &http.Client{Transport: answering{e.Handler()}}
	refused := func(want string) {
		t.Helper()
		var none *NoReportError
		if s, err := Ask(t.Context(), client); !errors.As(err, &none) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v, %v: want %q", s, err, want)
		}
	}
	refused("no pod of the served model has answered it yet")
	c.pods["10.0.0.1"] = page("sha256:dddddd", 0, 0)
	c.look(t, e)
	refused("no reference of sha256:dddddd")
	c.pods["10.0.0.1"] = page("sha256:aaaaaa", 0, 0)
	c.look(t, e)
	c.pods["10.0.0.1"] = page("sha256:aaaaaa", 400, 600)
	want := c.look(t, e)
	got, err := Ask(t.Context(), client)
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}

func TestAskOfAnother(t *testing.T) {
	for _, answer := range []struct {
		code int
		text string
	}{{http.StatusNotFound, "not found"}, {http.StatusOK, "<html>"}} {
		client := &http.Client{Transport: answering{http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(answer.code)
			_, _ = io.WriteString(w, answer.text)
		})}}
		if s, err := Ask(t.Context(), client); err == nil {
			t.Errorf("%+v of %+v", s, answer)
		}
	}
}
