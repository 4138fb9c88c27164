package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/agent"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/generation"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/supervise"
)

// attach serves the client on this process's streams, in a container that
// runs without the agent. It ends when the client goes, and leaves the code.
func attach(args []string) (int, error) {
	flags := flag.NewFlagSet("attach", flag.ContinueOnError)
	mount := flags.String("mount", "", "where the container expects the code")
	name := flags.String("signal", "", "signal that tells the container's first process of new code")
	pod := flags.String("pod", "", "for receipts")
	uid := flags.String("pod-uid", "", "for receipts")
	container := flags.String("container", "", "for receipts")
	check := flags.Bool("check", false, "see whether the code can be kept at --mount, and end")
	if err := flags.Parse(args); err != nil {
		return 2, err
	}
	attached := &agent.Attached{PID: 1, Name: *name}
	if *name != "" {
		var err error
		if attached.Signal, err = supervise.Signal(*name); err != nil {
			return 2, err
		}
	}
	if *check {
		volume, err := generation.Open(*mount)
		if err == nil {
			err = volume.Close()
		}
		return result(err)
	}
	// The streams of an exec know no deadlines; a pipe does.
	near, far := net.Pipe()
	go func() {
		_, _ = io.Copy(near, os.Stdin)
		_ = near.Close()
	}()
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_, _ = io.Copy(os.Stdout, near)
	}()
	err := agent.Attach(context.Background(), agent.Config{
		Mount: *mount, Attached: attached, Log: log.New(os.Stderr, "kubectl-ai: ", 0),
		Pod: *pod, PodUID: *uid, Container: *container,
	}, far)
	if err != nil {
		return 1, fmt.Errorf("attach: %w", err)
	}
	<-sent
	return 0, nil
}
