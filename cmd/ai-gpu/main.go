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

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/deviceplugin"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/nvmlsource"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stderr))
}

const usage = `ai-gpu gives a sandbox node GPUs.

  ai-gpu serve --cluster NAME --node NAME [flags]

Flags:
`

type options struct {
	gpus  nvmlsource.Options
	state string
	dir   string
}

// run returns the exit code: 0 asked to end, 1 failed, 2 usage.
func run(ctx context.Context, args []string, stderr io.Writer) int {
	o := options{}
	flags := flag.NewFlagSet("ai-gpu serve", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.gpus.Cluster, "cluster", "", "name of the sandbox")
	flags.StringVar(&o.gpus.Node, "node", "", "name of the node")
	flags.StringVar(&o.gpus.Profile, "profile", model.DefaultProfile, "GPU model to simulate")
	flags.IntVar(&o.gpus.Count, "count", 8, "number of GPUs")
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
	if flags.NArg() > 0 || o.gpus.Cluster == "" || o.gpus.Node == "" {
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
	state, err := snapshot(o.gpus)
	if err != nil {
		return err
	}
	// Before the first registration: a pod that gets a GPU can read it.
	if err := model.Write(o.state, state); err != nil {
		return err
	}
	devices := make([]deviceplugin.Device, len(state.Devices))
	for i, d := range state.Devices {
		devices[i] = deviceplugin.Device{ID: d.UUID, Healthy: true}
	}
	log.Info("GPUs", "count", len(devices), "product", state.Devices[0].Name, "simulated", state.Simulated)
	return deviceplugin.New(deviceplugin.NewInventory(devices...), deviceplugin.Options{
		Resource: model.Resource,
		Dir:      o.dir,
		Variable: model.VisibleDevices,
		Mounts:   []deviceplugin.Mount{{Source: model.SMIPath, Target: model.SMIPath}, {Source: o.state, Target: model.PodDir}},
		Log:      log,
	}).Run(ctx)
}

// snapshot takes the state and lets go of the source, which would keep every
// call it has ever answered.
func snapshot(o nvmlsource.Options) (model.State, error) {
	source, err := nvmlsource.Simulate(o)
	if err != nil {
		return model.State{}, err
	}
	state, err := nvmlsource.Snapshot(source)
	if err != nil {
		return model.State{}, err
	}
	state.Cluster, state.Node, state.Profile, state.Simulated = o.Cluster, o.Node, o.Profile, true
	return state, nil
}
