package main

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kubectl-ai/kubectl-ai/plugin/term"
	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
	"github.com/kubectl-ai/kubectl-ai/sandbox/metricsserver"
	"github.com/kubectl-ai/kubectl-ai/sandbox/nodeimage"
	"github.com/kubectl-ai/kubectl-ai/sandbox/nodeimage/layer"
	"github.com/kubectl-ai/kubectl-ai/sandbox/runtimeimage"
)

// published is an image that users' nodes pull, and that is compiled from its
// Go module where no registry answers: the same program under the same name.
type published struct {
	ref     string
	program nodeimage.Program
	path    string // of the program in the image
}

var prometheus = published{
	ref: "docker.io/prom/prometheus:v3.16.0",
	program: nodeimage.Program{
		Module: "github.com/prometheus/prometheus", Version: "v0.316.0", Package: "cmd/prometheus",
		// Of two dozen discoveries the one that bundles use: 77 MB, and 280 s of
		// one core from a cold cache. The web page is not in the module.
		Tags: []string{"netgo", "remove_all_sd", "enable_kubernetes_sd"},
	},
	path: "/bin/prometheus",
}

var metricsServer = published{
	ref: metricsserver.Image,
	// 71 MB, and 210 s of one core from a cold cache, half of it Kubernetes'
	// API server library.
	program: nodeimage.Program{Module: "sigs.k8s.io/metrics-server", Version: "v0.9.0", Package: "cmd/metrics-server"},
	path:    "/metrics-server",
}

// have makes sure that the engine has the image: a published one, or one that
// was compiled from this very source.
func (p published) have(ctx context.Context, registry *puller, progress *term.Progress, cache string) error {
	if pulled, err := registry.have(ctx, p.ref); err != nil || pulled {
		return err
	}
	e := registry.engine
	id, err := e.ImageID(ctx, p.ref)
	if err != nil {
		return err
	}
	if id != "" {
		out, err := e.Run(ctx, nil, "image", "inspect", "--format", "{{json .Config.Labels}}", p.ref)
		if err != nil || strings.Contains(string(out), p.program.Key()) {
			return err
		}
	}
	progress.Start("Compile " + p.ref)
	err = p.build(ctx, e, cache)
	progress.End(err)
	return err
}

func (p published) build(ctx context.Context, e *engine.Engine, cache string) error {
	file, err := p.program.Compile(ctx, cache)
	if err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "image")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }()
	l, err := layer.Create(filepath.Join(work, "layer.tar"), []layer.Entry{
		{Path: strings.TrimPrefix(p.path, "/"), Mode: 0o755, From: file},
		{Path: "tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777},
	})
	if err != nil {
		return fmt.Errorf("pack %s: %w", p.ref, err)
	}
	img, err := layer.NewImage(e.Arch, v1.Config{
		Entrypoint: []string{p.path}, User: "65534",
		Labels: map[string]string{runtimeimage.LabelFrom: p.program.Module + "@" + p.program.Version, runtimeimage.LabelKey: p.program.Key()},
	}, time.Unix(0, 0), l)
	if err != nil {
		return fmt.Errorf("make %s: %w", p.ref, err)
	}
	return layer.Load(ctx, e, img, p.ref)
}
