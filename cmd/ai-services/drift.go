package main

import (
	"context"
	"errors"
	"flag"
	"log"
	"net"
	"sync"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/drift/exporter"
	"github.com/kubectl-ai/kubectl-ai/sandbox/services/serve"
)

// runDrift watches a served model. The bucket is told by the environment that
// an ObjectBucketClaim gives.
func runDrift(ctx context.Context, args []string, logger *log.Logger) error {
	flags := flag.NewFlagSet("drift", flag.ContinueOnError)
	listen := flags.String("http", ":9100", "address to serve /metrics, /report and /healthz on")
	targets := flags.String("targets", env("DRIFT_TARGETS", "serve-pods:8080"), "HOST:PORT of the served model's pods: every address of HOST is one")
	every := flags.Duration("every", 5*time.Second, "time between two looks at the pods")
	window := flags.Duration("window", 10*time.Minute, "how far back the figures reach")
	file := flags.String("reference", "", "file with the reference of every model, instead of the bucket's")
	if err := parse(flags, args); err != nil {
		return err
	}
	source, err := references(*file)
	if err != nil {
		return err
	}
	e, err := exporter.New(source, exporter.Options{Targets: *targets, Every: *every, Window: *window, Log: logger})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var looking sync.WaitGroup
	defer looking.Wait()
	defer cancel()
	looking.Go(func() { e.Run(ctx) })
	return serve.HTTP(ctx, *listen, e.Handler(), logger)
}

func references(file string) (exporter.Source, error) {
	if file != "" {
		return exporter.File(file), nil
	}
	host, name := env("BUCKET_HOST", ""), env("BUCKET_NAME", "")
	if host == "" || name == "" {
		return nil, errors.New("no --reference, and no bucket: want BUCKET_HOST and BUCKET_NAME")
	}
	scheme, port := "http", env("BUCKET_PORT", "80")
	if port == "443" {
		scheme = "https"
	}
	return &exporter.Bucket{
		Endpoint: scheme + "://" + net.JoinHostPort(host, port), Name: name, Region: env("BUCKET_REGION", ""),
		AccessKey: env("AWS_ACCESS_KEY_ID", ""), SecretKey: env("AWS_SECRET_ACCESS_KEY", ""),
	}, nil
}
