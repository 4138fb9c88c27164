// kubectl-ai is the kubectl plugin: a GPU sandbox on the laptop, hot reload
// into running pods, and promotion of the same bundle to production. Called
// as kubectl_complete-ai it answers kubectl's completion requests.
package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/go-logr/logr"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // cloud credentials, as kubectl has them
	"k8s.io/klog/v2"

	"github.com/kubectl-ai/kubectl-ai/cmd/kubectl-ai/payload"
	"github.com/kubectl-ai/kubectl-ai/plugin/command"
	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/term"
)

// version is set by the linker for releases.
var version = "v0.0.0-dev"

func main() {
	ctx, cancel := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		// Ctrl-C ends what reads our output too, such as tee. What is left to do
		// is to leave the cluster clean, and not to die of a closed pipe.
		signal.Ignore(syscall.SIGPIPE)
		cancel(explain.Interrupted)
		<-signals // the second one does not wait for any cleaning
		os.Exit(explain.ExitInterrupted)
	}()

	// client-go reports every stream that we close; errors that matter come
	// back as errors.
	klog.SetLogger(logr.Discard())

	streams := term.System()
	root := command.NewRoot(streams, payload.FS(), version)
	if name := filepath.Base(os.Args[0]); strings.HasPrefix(name, "kubectl_complete-ai") {
		root.SetArgs(append([]string{"__complete"}, os.Args[1:]...))
	}
	err := root.ExecuteContext(ctx)
	if err != nil && ctx.Err() != nil {
		err = explain.Interrupted
	}
	os.Exit(explain.Print(streams.ErrOut, err))
}
