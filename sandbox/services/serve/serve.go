// Package serve runs the HTTP side of a service until it is told to stop.
package serve

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"time"
)

// drain is how long running requests may take once the service is to stop:
// well under the 30 s that a pod gets (terminationGracePeriodSeconds).
const drain = 5 * time.Second

// HTTP serves handler on address until ctx ends, then lets running requests
// finish.
func HTTP(ctx context.Context, address string, handler http.Handler, logger *log.Logger) error {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return Listener(ctx, listener, handler, logger)
}

// Listener is HTTP on a listener, which it closes.
func Listener(ctx context.Context, listener net.Listener, handler http.Handler, logger *log.Logger) error {
	s := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ErrorLog: logger}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), drain)
	defer cancel()
	err := s.Shutdown(ctx)
	if err != nil {
		err = errors.Join(err, s.Close())
	}
	if last := <-ended; err == nil && !errors.Is(last, http.ErrServerClosed) {
		err = last
	}
	return err
}
