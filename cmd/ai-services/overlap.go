package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"log"
	"net"
	"os"

	"github.com/kubectl-ai/kubectl-ai/sandbox/services/overlap"
)

// runOverlap compares the splits of a data set once, and fails when they share
// a sample. The bucket is told by the environment that an ObjectBucketClaim
// gives.
func runOverlap(ctx context.Context, args []string, logger *log.Logger) error {
	flags := flag.NewFlagSet("overlap", flag.ContinueOnError)
	dir := flags.String("dir", "", "folder with the layout of the bucket, instead of the bucket")
	if err := parse(flags, args); err != nil {
		return err
	}
	source, err := samples(*dir)
	if err != nil {
		return err
	}
	report, err := overlap.Check(ctx, source)
	var shared *overlap.SharedError
	if errors.As(err, &shared) {
		line := map[string]any{"validation": report}
		if encodeErr := json.NewEncoder(os.Stdout).Encode(line); encodeErr != nil {
			return errors.Join(err, encodeErr)
		}
	}
	if err == nil {
		logger.Printf("no sample is in two splits: %v", report.Samples)
	}
	return err
}

func samples(dir string) (overlap.Source, error) {
	if dir != "" {
		return overlap.Folder(dir), nil
	}
	host, name, key, secret := env("BUCKET_HOST", ""), env("BUCKET_NAME", ""), env("AWS_ACCESS_KEY_ID", ""), env("AWS_SECRET_ACCESS_KEY", "")
	if host == "" || name == "" || key == "" || secret == "" {
		return nil, overlap.ErrNoBucket
	}
	scheme, port := "http", env("BUCKET_PORT", "80")
	if port == "443" {
		scheme = "https"
	}
	return overlap.NewBucket(scheme+"://"+net.JoinHostPort(host, port), name, env("BUCKET_REGION", ""), key, secret), nil
}
