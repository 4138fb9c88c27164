package forward_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"

	"github.com/kubectl-ai/kubectl-ai/plugin/forward"
)

func TestClientAsksAPortOfAPod(t *testing.T) {
	p := &pods{http: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprintf(w, "%s of %s", r.URL.Path, r.Host)
	})}
	client := forward.Client(p.dial, "a", 9100)
	for range 2 {
		answer, err := client.Get("http://drift/report")
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		if err = errors.Join(err, answer.Body.Close()); err != nil || string(body) != "/report of drift" {
			t.Errorf("%q, %v", body, err)
		}
	}
	for i, c := range p.conns {
		select {
		case <-c.closed:
		default:
			t.Errorf("connection %d is left open", i)
		}
	}
}

func TestClientSaysWhyNobodyAnswers(t *testing.T) {
	var port *forward.PortError
	deaf := &pods{deaf: map[string]bool{"a": true}}
	if answer, err := forward.Client(deaf.dial, "a", 9100).Get("http://drift/"); !errors.As(err, &port) || port.Reason != "socat: connection refused" {
		t.Errorf("%v, %v", answer, err)
	}
	var forbidden *forward.ForbiddenError
	if answer, err := forward.Client((&pods{forbid: true}).dial, "a", 9100).Get("http://drift/"); !errors.As(err, &forbidden) {
		t.Errorf("%v, %v", answer, err)
	}
}
