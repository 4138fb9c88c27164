// ai-registry is the container registry of a sandbox: the OCI distribution
// protocol over a folder. It runs as the only process of its container.
package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/kubectl-ai/kubectl-ai/sandbox/registry/server"
)

func main() {
	listen := flag.String("listen", ":5000", "address to serve on")
	dir := flag.String("dir", "/data", "folder to keep everything in")
	flag.Parse()
	logger := log.New(os.Stderr, "", log.LstdFlags|log.LUTC)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, *listen, *dir, logger); err != nil {
		logger.Fatal(err)
	}
}

// run serves until ctx ends, then lets running requests finish.
func run(ctx context.Context, listen, dir string, logger *log.Logger) error {
	handler, err := server.New(dir, logger)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	s := &http.Server{Handler: handler, ReadHeaderTimeout: 10 * time.Second, ErrorLog: logger}
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(listener) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		return errors.Join(err, s.Close())
	}
	return nil
}
