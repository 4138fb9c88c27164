// kubectl-ai is the kubectl plugin: a GPU sandbox on the laptop, hot reload
// into running pods, and promotion of the same bundle to production. Called
// as kubectl_complete-ai it answers kubectl's completion requests.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	_ "k8s.io/client-go/plugin/pkg/client/auth" // cloud credentials, as kubectl has them
	"k8s.io/klog/v2"

	"github.com/kubectl-ai/kubectl-ai/cmd/kubectl-ai/payload"
	"github.com/kubectl-ai/kubectl-ai/plugin/command"
	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/term"
	"github.com/kubectl-ai/kubectl-ai/plugin/term/status"
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
		for first := time.Now(); ; {
			<-signals
			// The same one may come twice: from the terminal, and from a program
			// that passes it on. A second one does not wait for any cleaning.
			if time.Since(first) > impatient {
				status.Abandon()
				os.Exit(explain.ExitInterrupted)
			}
		}
	}()

	// client-go reports every stream that we close; errors that matter come
	// back as errors.
	klog.SetLogger(logr.Discard())

	streams := term.System()
	streams.Called = term.CalledAs(os.Args[0], os.Getenv("_"))
	args := append(streams.Called.Args, os.Args[1:]...)
	if command.Completes(args) {
		streams = quiet(streams, cancel)
	}
	root := command.NewRoot(streams, payload.FS(), version)
	root.SetArgs(args)
	cmd, err := root.ExecuteContextC(ctx)
	if err != nil && ctx.Err() != nil {
		err = explain.Interrupted
	}
	os.Exit(explain.Print(streams.Voice(), err, command.WantsJSON(cmd)))
}

// impatient is how long after the first signal another one is of its own.
const impatient = 500 * time.Millisecond

// completionTime is how long the shell waits for names of what is on a
// cluster. A person who pressed TAB has given up by then.
const completionTime = 2 * time.Second

// quiet is for completion: nothing but names is printed, not even by the
// programs that a kubeconfig has for credentials, and it ends in time whatever
// hangs. Without an answer the shell offers nothing, and no files either.
func quiet(streams term.Streams, cancel context.CancelCauseFunc) term.Streams {
	if null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0); err == nil {
		os.Stderr, os.Stdin = null, null
	}
	streams.ErrOut, streams.In = io.Discard, strings.NewReader("")
	out := os.Stdout
	time.AfterFunc(completionTime, func() {
		_, _ = fmt.Fprintf(out, ":%d\n", cobra.ShellCompDirectiveNoFileComp)
		os.Exit(0)
	})
	time.AfterFunc(completionTime*9/10, func() { cancel(context.DeadlineExceeded) })
	return streams
}
