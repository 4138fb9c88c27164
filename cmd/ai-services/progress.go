package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ai/kubectl-ai/plugin/metric/trainer"
	"github.com/kubectl-ai/kubectl-ai/sandbox/services/serve"
)

// runProgress serves TrainJob's progress endpoint for the plain Jobs of a
// namespace.
func runProgress(ctx context.Context, args []string, logger *log.Logger) error {
	flags := flag.NewFlagSet("progress", flag.ContinueOnError)
	listen := flags.String("https", ":8443", "address to take reports on")
	namespace := flags.String("namespace", env("POD_NAMESPACE", ""), "namespace of the runs")
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
	identity, err := trainer.Load(ctx, client, *namespace, time.Now())
	if err != nil {
		return err
	}
	settings, err := identity.TLS()
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	s := &trainer.Server{
		Namespace: *namespace, Key: identity.Key, Log: logger,
		Keeper: &trainer.ConfigMaps{Client: client, Namespace: *namespace, Now: time.Now},
	}
	return serve.Listener(ctx, tls.NewListener(listener, settings), s.Handler(), logger)
}
