package nodeimage

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"golang.org/x/sync/errgroup"

	"github.com/kubectl-ai/kubectl-ai/sandbox/nodeimage/layer"
)

// inNode are the programs of the node itself and where they are.
var inNode = map[string]string{
	"kubelet": "usr/bin", "kubeadm": "usr/bin", "kubectl": "usr/bin", // kind's kubelet unit names this place
	"containerd": "usr/local/bin", "containerd-shim-runc-v2": "usr/local/bin", "ctr": "usr/local/bin", "crictl": "usr/local/bin",
	"runc": "usr/local/sbin",
	"ptp":  "opt/cni/bin", "host-local": "opt/cni/bin", "loopback": "opt/cni/bin", "portmap": "opt/cni/bin",
}

// makeStore makes the layer of the components' images.
func (p *plan) makeStore(ctx context.Context, work string) error {
	all := p.programs()
	refs, err := componentRefs(ctx, all["kubeadm"])
	if err != nil {
		return err
	}
	root, err := layer.Read(p.roots.Path(p.root), func(name string) bool { return proxyFiles(name) || name == busyboxAt })
	if err != nil {
		return err
	}
	tools, err := proxyTools(root)
	if err != nil {
		return err
	}
	busybox, ok := root[busyboxAt]
	if !ok {
		return fmt.Errorf("the Debian root has no %s", busyboxAt)
	}
	list, err := components(refs, all, tools, busyboxEntries(busybox))
	if err != nil {
		return err
	}
	images, err := pack(ctx, list, p.tools.Arch, work)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(p.store()), 0o755); err != nil {
		return err
	}
	return packStore(ctx, all, images, work, p.store())
}

// busyboxAt is Debian's static busybox.
const busyboxAt = "usr/bin/busybox"

// pack builds the images of components, several at a time.
func pack(ctx context.Context, list []component, arch, work string) (map[string]v1.Image, error) {
	built := make([]v1.Image, len(list))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2) // each compresses on more than one core
	for i, c := range list {
		group.Go(func() error {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			img, err := c.image(arch, work)
			built[i] = img
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	images := map[string]v1.Image{}
	for i, c := range list {
		images[c.ref] = built[i]
	}
	return images, nil
}

// assemble stacks the layers and gives the image to the engine.
func (p *plan) assemble(ctx context.Context, tag, work string) error {
	all := p.programs()
	kind, err := download(ctx, kindModule, kindVersion)
	if err != nil {
		return err
	}
	refs, err := componentRefs(ctx, all["kubeadm"])
	if err != nil {
		return err
	}
	spec, err := ociSpec(ctx, all["ctr"])
	if err != nil {
		return err
	}
	files, err := settings(kind.Dir, refs["pause"], spec)
	if err != nil {
		return err
	}
	var own []layer.Entry
	for name, dir := range inNode {
		own = append(own, all.entry(name, dir+"/"+name))
	}
	root, err := layer.Open(p.roots.Path(p.root))
	if err != nil {
		return err
	}
	programs, err := layer.Create(filepath.Join(work, "programs.tar"), own)
	if err != nil {
		return err
	}
	store, err := layer.Open(p.store())
	if err != nil {
		return err
	}
	settings, err := layer.Create(filepath.Join(work, "settings.tar"), files)
	if err != nil {
		return err
	}
	img, err := layer.NewImage(p.tools.Arch, p.config(), time.Now(), root, programs, store, settings)
	if err != nil {
		return err
	}
	return layer.Load(ctx, p.Engine, img, tag)
}

// config is what the engine starts; kind gives no command of its own.
func (p *plan) config() v1.Config {
	return v1.Config{
		Entrypoint: []string{"/usr/local/bin/entrypoint", "/sbin/init"},
		Env:        []string{"container=docker", pathEnv}, // systemd asks for the first
		StopSignal: "SIGRTMIN+3",                          // which makes systemd end everything in order
		Labels:     map[string]string{LabelKey: p.key, LabelKubernetes: Kubernetes},
	}
}
