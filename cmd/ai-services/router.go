package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"

	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ai/kubectl-ai/sandbox/services/router"
	"github.com/kubectl-ai/kubectl-ai/sandbox/services/serve"
)

// runRouter proxies as the HTTPRoutes of a Gateway say.
func runRouter(ctx context.Context, args []string, logger *log.Logger) error {
	flags := flag.NewFlagSet("router", flag.ContinueOnError)
	namespace := flags.String("namespace", env("POD_NAMESPACE", ""), "namespace of the Gateway, its HTTPRoutes and their backends")
	gateway := flags.String("gateway", env("GATEWAY", "route"), "name of the Gateway")
	listen := flags.String("listen", ":8080", "address to proxy on, whatever port a listener has: the Service in front has that")
	health := flags.String("http", ":8081", "address to serve /healthz, /readyz and /metrics on")
	if err := parse(flags, args); err != nil {
		return err
	}
	if *namespace == "" {
		return errors.New("no namespace: want --namespace or POD_NAMESPACE")
	}
	config, err := rest.InClusterConfig()
	if err != nil {
		return fmt.Errorf("find the cluster: %w", err)
	}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return err
	}
	proxy := router.NewProxy(logger)
	watcher := &router.Watcher{Client: client, Namespace: *namespace, Gateway: *gateway, Proxy: proxy, Log: logger}
	own := http.NewServeMux()
	own.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = fmt.Fprintln(w, "ok") })
	own.HandleFunc("GET /readyz", watcher.Ready)
	own.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_ = proxy.WriteMetrics(w) // the client went away
	})
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return watcher.Run(ctx) })
	group.Go(func() error { return serve.HTTP(ctx, *listen, proxy, logger) })
	group.Go(func() error { return serve.HTTP(ctx, *health, own, logger) })
	return group.Wait()
}
