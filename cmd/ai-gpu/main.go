// ai-gpu runs in a sandbox node and gives it GPUs: it writes their state for
// nvidia-smi and other readers, and offers them to the kubelet. It is a
// service of the node and not a pod, so nothing has to be pulled, and it is
// there before the kubelet is.
//
// It is built twice: linked statically, for simulated GPUs in any node, and
// with the tag hardware, for real ones. That build is nvidia-cdi-hook as well,
// by its second name, which containerd runs for containers with real GPUs.
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
	"path/filepath"
	"syscall"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/agent"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/deviceplugin"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/fault"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/holders"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/metrics"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/nodeobject"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/nvmlsource"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/spec"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if filepath.Base(os.Args[0]) == hookName {
		os.Exit(hook(ctx, os.Args, os.Stderr))
	}
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// hookName is the second name of the build for real GPUs.
const hookName = "nvidia-cdi-hook"

const usage = `ai-gpu gives a sandbox node GPUs.

  ai-gpu serve [flags]            offer them until told to stop
  ai-gpu state [flags]            print those that it would offer
  ai-gpu ls                       print them, and who holds them
  ai-gpu fail --gpu N FAULT       break one: --xid N, --lost, --ecc or --throttle
  ai-gpu heal [--gpu N]           mend one, or all
  ai-gpu set --gpu N READING      set --temperature, --power or --utilization

All but serve print the node's state as JSON. Flags:
`

type options struct {
	spec       string
	state      string
	dir        string
	resources  string
	kubeconfig string
	metrics    string

	gpu      string
	kind     fault.Kind
	readings readings
}

// run returns the exit code: 0 done, or asked to end; 1 failed, 2 usage.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o := options{}
	verb := ""
	if len(args) > 0 {
		verb, args = args[0], args[1:]
	}
	flags := flag.NewFlagSet("ai-gpu "+verb, flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&o.state, "state", model.NodeDir, "folder for the state that nvidia-smi reads")
	flags.StringVar(&o.resources, "pod-resources", holders.DefaultSocket, "socket of the kubelet that tells who holds GPUs")
	flags.Usage = func() {
		_, _ = fmt.Fprint(stderr, usage)
		flags.PrintDefaults()
	}
	var do func() error
	switch verb {
	case "serve":
		flags.StringVar(&o.spec, "spec", spec.Path, "file that says which GPUs the node has")
		flags.StringVar(&o.dir, "plugin-dir", deviceplugin.DefaultDir, "folder of the kubelet's device plugin sockets")
		flags.StringVar(&o.kubeconfig, "kubeconfig", nodeobject.DefaultKubeconfig, "the kubelet's, for labels and Events of the Node; empty for none")
		flags.StringVar(&o.metrics, "metrics", metrics.DefaultAddress, "address that answers /metrics; empty for none")
		do = func() error {
			return serve(ctx, o, logTo(stderr))
		}
	case "state":
		flags.StringVar(&o.spec, "spec", spec.Path, "file that says which GPUs the node has")
		do = func() error { return show(ctx, o, stdout, stderr) }
	case "ls":
		do = func() error { return list(ctx, o, stdout) }
	case "fail":
		flags.StringVar(&o.gpu, "gpu", "", "index or UUID")
		flags.IntVar(&o.kind.XID, "xid", 0, "error number of the driver")
		flags.BoolVar(&o.kind.Lost, "lost", false, "fallen off the bus: XID 79")
		flags.BoolVar(&o.kind.ECC, "ecc", false, "an uncorrectable memory error: XID 48")
		flags.BoolVar(&o.kind.Throttle, "throttle", false, "slowed down because it is hot")
		do = func() error { return change(ctx, o, stdout, fail(o.kind)) }
	case "heal":
		flags.StringVar(&o.gpu, "gpu", "", "index or UUID; all without it")
		do = func() error { return change(ctx, o, stdout, heal) }
	case "set":
		flags.StringVar(&o.gpu, "gpu", "", "index or UUID")
		o.readings.add(flags)
		do = func() error { return change(ctx, o, stdout, set(o.readings.Readings)) }
	default:
		flags.Usage()
		return 2
	}
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	if flags.NArg() > 0 || o.gpu == "" && (verb == "fail" || verb == "set") {
		flags.Usage()
		return 2
	}
	if err := do(); err != nil {
		_, _ = fmt.Fprintln(stderr, "error:", err)
		return 1
	}
	return 0
}

// logTo returns the log of a service.
func logTo(w io.Writer) *slog.Logger {
	return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{ReplaceAttr: withoutTime}))
}

// withoutTime drops the time: the journal of the node adds it.
func withoutTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}

// load returns the agent of this node, with the GPUs that its file names.
func load(ctx context.Context, o options, log *slog.Logger) (*agent.Agent, error) {
	content, err := os.ReadFile(o.spec)
	if err != nil {
		return nil, fmt.Errorf("read which GPUs this node has: %w", err)
	}
	node, err := spec.Decode(content)
	if err != nil {
		return nil, err
	}
	a := &agent.Agent{
		Spec: node, StateDir: o.state, PluginDir: o.dir, Log: log,
		Proc: "/proc", PodResources: o.resources, Kubeconfig: o.kubeconfig, Metrics: o.metrics,
	}
	if node.GPUs.Real() {
		return a, hardware(ctx, a)
	}
	a.State, err = nvmlsource.Simulated(node)
	return a, err
}

// show prints the GPUs, and changes nothing.
func show(ctx context.Context, o options, stdout, stderr io.Writer) error {
	a, err := load(ctx, o, logTo(stderr))
	if err != nil {
		return err
	}
	content, err := model.Encode(a.State)
	if err != nil {
		return err
	}
	_, err = stdout.Write(content)
	return err
}

// serve offers the node's GPUs until ctx ends.
func serve(ctx context.Context, o options, log *slog.Logger) error {
	a, err := load(ctx, o, log)
	if err != nil {
		return err
	}
	if a.Spec.GPUs.Real() {
		if err := claim(a); err != nil {
			return err
		}
	}
	return a.Run(ctx)
}
