package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"strings"

	"golang.org/x/sync/errgroup"

	"github.com/kubectl-ai/kubectl-ai/sandbox/services/serve"
	"github.com/kubectl-ai/kubectl-ai/sandbox/services/store"
)

// runStore serves the S3 API over a folder, or checks that folder.
func runStore(ctx context.Context, args []string, logger *log.Logger) error {
	flags := flag.NewFlagSet("store", flag.ContinueOnError)
	dir := flags.String("dir", "/data", "folder to keep everything in")
	buckets := flags.String("buckets", env("BUCKET_NAME", ""), "buckets to make, separated by commas")
	listen := flags.String("listen", ":9000", "address to serve S3 on")
	health := flags.String("http", ":8080", "address to serve /healthz and /metrics on")
	verify := flags.Bool("verify", false, "hash every object in --dir, print OK or FAILED for each, and exit: 1 when one is not what was stored")
	if err := parse(flags, args); err != nil {
		return err
	}
	if *verify {
		return store.Verify(*dir, os.Stdout)
	}
	keys := store.Keys{ID: os.Getenv("AWS_ACCESS_KEY_ID"), Secret: os.Getenv("AWS_SECRET_ACCESS_KEY")}
	if keys.ID == "" || keys.Secret == "" {
		fmt.Fprintln(os.Stderr, "store: want AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY")
		return errUsage
	}
	s, err := store.Open(*dir)
	if err != nil {
		return err
	}
	for name := range strings.FieldsFuncSeq(*buckets, func(r rune) bool { return r == ',' || r == ' ' }) {
		if err := s.MakeBucket(name); err != nil {
			return err
		}
	}
	logger.Printf("S3 on %s, kept in %s; buckets: %s", *listen, *dir, *buckets)
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return serve.HTTP(ctx, *listen, s.Handler(keys), logger) })
	group.Go(func() error { return serve.HTTP(ctx, *health, s.Health(), logger) })
	return group.Wait()
}
