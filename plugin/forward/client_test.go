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
		comes(t, fmt.Sprintf("the end of connection %d", i), c.closed)
	}
}

func TestClientSaysWhyNobodyAnswers(t *testing.T) {
	var port *forward.PortError
	deaf := &pods{deaf: map[string]bool{"a": true}}
	if err := get(forward.Client(deaf.dial, "a", 9100)); !errors.As(err, &port) || port.Reason != "socat: connection refused" {
		t.Errorf("%v", err)
	}
	var forbidden *forward.ForbiddenError
	if err := get(forward.Client((&pods{forbid: true}).dial, "a", 9100)); !errors.As(err, &forbidden) {
		t.Errorf("%v", err)
	}
}

func get(client *http.Client) error {
	answer, err := client.Get("http://drift/")
	if err != nil {
		return err
	}
	return answer.Body.Close()
}
