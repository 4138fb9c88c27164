package nodeimage

import (
	"context"
	"fmt"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"github.com/kubectl-ai/kubectl-ai/sandbox/nodeimage/child"
	"github.com/kubectl-ai/kubectl-ai/sandbox/nodeimage/layer"
)

// Images of our own in the node, beside those that kubeadm asks for.
const (
	provisionerImage = "docker.io/kubectl-ai/local-path-provisioner:" + storageVersion
	helperImage      = "docker.io/kubectl-ai/local-path-helper:1"
)

// component is an image that a node carries.
type component struct {
	ref     string
	entries []layer.Entry
	config  v1.Config
}

// programs finds what was compiled: name -> file on this machine.
type programs map[string]string

// entry is a program as a file of an image.
func (p programs) entry(name, at string) layer.Entry {
	return layer.Entry{Path: at, Mode: 0o755, From: p[name]}
}

// componentRefs asks kubeadm for the names of the images that it will look
// for: name ("etcd") -> reference ("registry.k8s.io/etcd:3.6.8-0").
func componentRefs(ctx context.Context, kubeadm string) (map[string]string, error) {
	out, err := child.Command{Name: kubeadm, Args: []string{"config", "images", "list", "--kubernetes-version", Kubernetes}}.Output(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask kubeadm for its images: %w", err)
	}
	return parseRefs(string(out))
}

func parseRefs(out string) (map[string]string, error) {
	refs := map[string]string{}
	for _, ref := range strings.Fields(out) {
		name, _, ok := strings.Cut(path.Base(ref), ":")
		if !ok {
			return nil, fmt.Errorf("kubeadm names an image without a tag: %q", ref)
		}
		refs[name] = ref
	}
	return refs, nil
}

// pathEnv is where programs of an image are looked for.
const pathEnv = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// components are the images of a node: static programs on empty roots.
// The versions of etcd and coredns are ours, under the names that kubeadm
// asks for.
func components(refs map[string]string, p programs, proxyTools, busybox []layer.Entry) ([]component, error) {
	inBin := map[string]string{
		"kube-apiserver": "kube-apiserver", "kube-controller-manager": "kube-controller-manager",
		"kube-scheduler": "kube-scheduler", "kube-proxy": "kube-proxy", "etcd": "etcd",
	}
	var list []component
	for name, ref := range refs {
		at := "/" + name // coredns and pause are started by this path
		if _, ok := inBin[name]; ok {
			at = "/usr/local/bin/" + name
		}
		if _, ok := p[name]; !ok {
			return nil, fmt.Errorf("kubeadm wants the image %s, of which nothing is built here", ref)
		}
		c := single(ref, p.entry(name, at), at)
		if name == "kube-proxy" {
			c.entries = append(c.entries, proxyTools...)
		}
		list = append(list, c)
	}
	const provisioner = "/usr/local/bin/local-path-provisioner"
	list = append(list,
		single(provisionerImage, p.entry("local-path-provisioner", provisioner), provisioner),
		component{ref: helperImage, entries: busybox, config: v1.Config{Env: []string{"PATH=/bin"}}},
	)
	return list, nil
}

// single is an image of one program.
func single(ref string, e layer.Entry, at string) component {
	return component{
		ref:     ref,
		entries: []layer.Entry{e, {Path: "tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777}},
		config:  v1.Config{Entrypoint: []string{at}, Env: []string{pathEnv}},
	}
}

// helperTools are the commands that the provisioner's scripts use.
var helperTools = []string{"sh", "mkdir", "rm", "ls", "cat", "chmod", "stat"}

// busyboxEntries makes the helper image of Debian's static busybox.
func busyboxEntries(busybox layer.Entry) []layer.Entry {
	busybox.Path = "bin/busybox"
	entries := []layer.Entry{busybox, {Path: "tmp", Mode: fs.ModeDir | fs.ModeSticky | 0o777}}
	for _, tool := range helperTools {
		entries = append(entries, layer.Entry{Path: "bin/" + tool, Mode: fs.ModeSymlink, Target: "busybox"})
	}
	return entries
}

// image builds a component. Its layer lies in work, compressed: a node
// copies all images when it is made and unpacks only those that it runs.
func (c component) image(arch, work string) (v1.Image, error) {
	name := filepath.Join(work, keyOf(c.ref)[:16]+".tar.zst")
	l, err := layer.CreateCompressed(name, c.entries)
	if err != nil {
		return nil, fmt.Errorf("pack %s: %w", c.ref, err)
	}
	img, err := layer.NewImage(arch, c.config, time.Unix(0, 0), l)
	if err != nil {
		return nil, fmt.Errorf("make %s: %w", c.ref, err)
	}
	return img, nil
}
