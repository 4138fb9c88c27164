package main

import (
	"context"
	"flag"
	"log"
	"net"
	"net/http"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/sandbox/services/bridge"
	"github.com/kubectl-ai/kubectl-ai/sandbox/services/broker"
	"github.com/kubectl-ai/kubectl-ai/sandbox/services/serve"
)

// runBroker serves the Kafka protocol, and over HTTP what Strimzi's bridge
// does, health and figures.
func runBroker(ctx context.Context, args []string, logger *log.Logger) error {
	flags := flag.NewFlagSet("broker", flag.ContinueOnError)
	kafka := flags.String("kafka", ":9092", "address to serve the Kafka protocol on")
	advertise := flags.String("advertise", env("KAFKA_ADVERTISE", "localhost:9092"), "HOST:PORT that clients reach it at")
	topics := flags.String("topics", env("KAFKA_TOPIC", ""), "topics to make, separated by commas")
	partitions := flags.Int("partitions", 4, "partitions of each")
	listen := flags.String("http", ":8080", "address to serve the HTTP bridge, /healthz and /metrics on")
	if err := parse(flags, args); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *kafka)
	if err != nil {
		return err
	}
	b, err := broker.Start(listener, broker.Options{
		Advertise: *advertise, Partitions: *partitions, Log: logger,
		Topics: strings.FieldsFunc(*topics, func(r rune) bool { return r == ',' || r == ' ' }),
	})
	if err != nil {
		return err
	}
	defer b.Close()
	at := listener.Addr().String()
	api, err := bridge.New(at, logger, broker.Direct(at))
	if err != nil {
		return err
	}
	defer api.Close()
	mux := http.NewServeMux()
	mux.Handle("/", api.Handler())
	mux.Handle("GET /healthz", b.Handler())
	mux.Handle("GET /metrics", b.Handler())
	return serve.HTTP(ctx, *listen, mux, logger)
}
