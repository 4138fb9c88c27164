package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"time"

	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/kubectl-ai/kubectl-ai/plugin/drift/retrain"
	"github.com/kubectl-ai/kubectl-ai/sandbox/services/serve"
)

// runRetrain takes alerts and makes Jobs of one CronJob.
func runRetrain(ctx context.Context, args []string, logger *log.Logger) error {
	flags := flag.NewFlagSet("retrain", flag.ContinueOnError)
	listen := flags.String("http", ":8080", "address to take alerts on")
	namespace := flags.String("namespace", env("POD_NAMESPACE", ""), "namespace of the CronJob and of its Jobs")
	cron := flags.String("cronjob", env("CRONJOB", "retrain"), "CronJob whose template a Job is made from")
	coolDown := flags.Duration("cool-down", time.Hour, "how old the last Job has to be before another is made")
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
	s := &retrain.Starter{Client: client, Namespace: *namespace, CronJob: *cron, CoolDown: *coolDown, Log: logger}
	return serve.HTTP(ctx, *listen, s.Handler(), logger)
}
