package serve

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"testing"
)

func TestARequestThatRunsIsFinished(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	handler := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		stop() // the pod is to end while this runs
		<-ctx.Done()
		_, _ = io.WriteString(w, "whole")
	})
	ended := make(chan error, 1)
	go func() { ended <- Listener(ctx, listener, handler, log.New(io.Discard, "", 0)) }()
	response, err := http.Get("http://" + listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if response.Body.Close(); err != nil || string(body) != "whole" {
		t.Errorf("%q, %v", body, err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := HTTP(t.Context(), "no address", handler, nil); err == nil {
		t.Error("an address that is none was served")
	}
}
