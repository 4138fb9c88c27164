// ai-gpu runs in a sandbox node and gives it GPUs: it writes their state for
// nvidia-smi and other readers, and offers them to the kubelet. It is a
// service of the node and not a pod, so nothing has to be pulled, and it is
// there before the kubelet is.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/agent"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/deviceplugin"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/nvmlsource"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/spec"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stderr))
}

const usage = `ai-gpu gives a sandbox node GPUs.

  ai-gpu serve [flags]

Flags:
`

type options struct {
	spec  string
	state string
	dir   string
}

// run returns the exit code: 0 asked to end, 1 failed, 2 usage.
func run(ctx context.Context, args []string, stderr io.Writer) int {
	o := options{}
	flags := flag.NewFlagSet("ai-gpu serve", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.spec, "spec", spec.Path, "file that says which GPUs the node has")
	flags.StringVar(&o.state, "state", model.NodeDir, "folder for the state that nvidia-smi reads")
	flags.StringVar(&o.dir, "plugin-dir", deviceplugin.DefaultDir, "folder of the kubelet's device plugin sockets")
	flags.Usage = func() {
		_, _ = fmt.Fprint(stderr, usage)
		flags.PrintDefaults()
	}
	if len(args) == 0 || args[0] != "serve" {
		flags.Usage()
		return 2
	}
	if err := flags.Parse(args[1:]); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	if flags.NArg() > 0 {
		flags.Usage()
		return 2
	}
	log := slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{ReplaceAttr: withoutTime}))
	if err := serve(ctx, o, log); err != nil {
		log.Error(err.Error())
		return 1
	}
	return 0
}

// withoutTime drops the time: the journal of the node adds it.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// serve offers the node's GPUs until ctx ends.
func serve(ctx context.Context, o options, log *slog.Logger) error {
	content, err := os.ReadFile(o.spec)
	if err != nil {
		return fmt.Errorf("read which GPUs this node has: %w", err)
	}
	node, err := spec.Decode(content)
	if err != nil {
		return err
	}
	state, err := nvmlsource.Simulated(node)
	if err != nil {
		return err
	}
	a := &agent.Agent{Spec: node, State: state, StateDir: o.state, PluginDir: o.dir, Log: log}
	return a.Run(ctx)
}
