// images makes sure that the container engine of this machine has the images
// that tests need: it pulls them where a registry answers and builds them
// where none does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ai/kubectl-ai/plugin/term"
	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
	"github.com/kubectl-ai/kubectl-ai/sandbox/nodeimage"
	"github.com/kubectl-ai/kubectl-ai/sandbox/nodeimage/child"
	"github.com/kubectl-ai/kubectl-ai/sandbox/runtimeimage"
)

// charLM is the image of samples/char-lm, as its Dockerfile makes it.
const charLM = "char-lm:1"

// Images of the benchmarks: the peer's, with rsync beside Python, and one with
// an import that takes long.
const (
	bench = "kubectl-ai/bench-rsync:1"
	torch = "kubectl-ai/bench-torch:1"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	nodeTag := flag.String("node-tag", nodeimage.DefaultTag, "name of the node image")
	pythonTag := flag.String("python-tag", runtimeimage.Python, "name of the Python image")
	flag.Usage = func() {
		fmt.Fprintln(os.Stderr, "usage: images [-node-tag TAG] [-python-tag TAG] node|python|prometheus|metrics-server|samples|bench|torch ...")
	}
	flag.Parse()
	if err := run(ctx, *nodeTag, *pythonTag, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "images:", err)
		var missing *child.MissingError
		if errors.As(err, &missing) {
			for _, n := range missing.Needs {
				fmt.Fprintf(os.Stderr, "  %s: %s\n", n.Name, n.Install)
			}
		}
		os.Exit(1)
	}
}

func run(ctx context.Context, nodeTag, pythonTag string, wanted []string) error {
	e, err := engine.Detect(ctx)
	if err != nil {
		return err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	cache = filepath.Join(cache, "kubectl-ai", "nodeimage")
	progress := term.NewProgress(term.Streams{IOStreams: genericiooptions.IOStreams{Out: os.Stdout, ErrOut: os.Stderr}})
	registry := &puller{engine: e, progress: progress}
	runtimes := &runtimeimage.Builder{Engine: e, Cache: cache, Reporter: progress}
	for _, want := range wanted {
		switch want {
		case "node":
			err = node(ctx, registry, &nodeimage.Builder{Engine: e, Cache: cache, Reporter: progress}, nodeTag)
		case "python":
			if pulled, pullErr := registry.have(ctx, pythonTag); pullErr != nil || pulled {
				err = pullErr
				break
			}
			_, err = runtimes.Build(ctx, pythonTag)
		case "prometheus":
			err = prometheus.have(ctx, registry, progress, cache)
		case "metrics-server":
			err = metricsServer.have(ctx, registry, progress, cache)
		case "samples":
			_, err = runtimes.Build(ctx, charLM, "python3-numpy")
		case "bench":
			_, err = runtimes.Build(ctx, bench, "rsync")
		case "torch":
			_, err = runtimes.Build(ctx, torch, "python3-torch")
		default:
			err = fmt.Errorf("no image is called %q: node, python, prometheus, metrics-server, samples, bench or torch", want)
		}
		if err != nil {
			return fmt.Errorf("image %s: %w", want, err)
		}
	}
	return nil
}
