package agent

import (
	"context"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/metrics"
)

// listenRetry is how soon a port that something else has is tried again.
const listenRetry = 10 * time.Second

// serveMetrics answers /metrics until ctx ends. A port that is taken, as by a
// real exporter on the node's network, costs the metrics and nothing else.
func (a *Agent) serveMetrics(ctx context.Context, r *readings) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", metrics.ContentType)
		if err := r.page().Write(w); err != nil {
			a.Log.Info("metrics were not sent", "error", err)
		}
	})
	var listen net.ListenConfig
	for told := false; ; told = true {
		listener, err := listen.Listen(ctx, "tcp", a.Metrics)
		if err == nil {
			a.Log.Info("metrics", "address", listener.Addr().String())
			server := &http.Server{Handler: mux, ReadHeaderTimeout: listenRetry}
			stop := context.AfterFunc(ctx, func() { _ = server.Close() })
			err = server.Serve(listener)
			stop()
		}
		if ctx.Err() != nil {
			return nil
		}
		if !told && !errors.Is(err, http.ErrServerClosed) {
			a.Log.Warn("no metrics, trying again", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(listenRetry):
		}
	}
}
