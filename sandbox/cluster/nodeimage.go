package cluster

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"sigs.k8s.io/kind/pkg/apis/config/defaults"

	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
)

// LocalImages is the repository of node images built on this machine.
const LocalImages = "kubectl-ai/node"

// nodeImage is the image that nodes are made from.
type nodeImage struct {
	ref        string
	why        string // for the user, "" when it was asked for
	kubernetes string // v1.36.3
}

// chooseImage returns the image to use: the one asked for, else kind's
// default if it is here, else a node image built on this machine, else kind's
// default, to be pulled. With cgroup v1 the local one comes first: the systemd
// of kind's own images does not start there any more.
func (m *Manager) chooseImage(ctx context.Context, asked string) (nodeImage, error) {
	if asked != "" {
		return nodeImage{ref: asked}, nil
	}
	local, err := m.Engine.Images(ctx, LocalImages)
	if err != nil {
		return nodeImage{}, err
	}
	built := nodeImage{ref: newest(local), why: "built on this machine"}
	if built.ref != "" && m.Engine.CgroupVersion == 1 {
		return built, nil
	}
	tagged, _, _ := strings.Cut(defaults.Image, "@")
	for _, ref := range []string{defaults.Image, tagged} {
		id, err := m.Engine.ImageID(ctx, ref)
		if err != nil {
			return nodeImage{}, err
		}
		if id != "" {
			return nodeImage{ref: ref}, nil
		}
	}
	if built.ref != "" {
		built.why += "; kind's own is not here"
		return built, nil
	}
	return nodeImage{ref: defaults.Image, why: "kind's default"}, nil
}

// findImages sees that all images of a sandbox are here, and returns the one
// of its control plane.
func (m *Manager) findImages(ctx context.Context, o Options) (nodeImage, error) {
	var named []string
	if o.Config != nil {
		named = o.Config.images()
	}
	asked := o.Image
	if asked == "" && len(named) > 0 {
		asked, named = named[0], named[1:]
	}
	image, err := m.chooseImage(ctx, asked)
	if err != nil {
		return image, err
	}
	if err := m.step("Find node image "+image.ref, func() error { return m.ensureImage(ctx, &image) }); err != nil {
		return image, err
	}
	for _, ref := range named {
		other := nodeImage{ref: ref}
		if err := m.step("Find node image "+ref, func() error { return m.ensureImage(ctx, &other) }); err != nil {
			return image, err
		}
	}
	return image, nil
}

// newest returns the reference with the highest Kubernetes version as tag.
func newest(refs []string) string {
	best, bestKey := "", -1
	for _, ref := range refs {
		if major, minor, ok := parseMinor(tag(ref)); ok {
			if key := major*1000 + minor; key > bestKey {
				best, bestKey = ref, key
			}
		}
	}
	return best
}

func tag(ref string) string {
	ref, _, _ = strings.Cut(ref, "@")
	if i := strings.LastIndexByte(ref, ':'); i > strings.LastIndexByte(ref, '/') {
		return ref[i+1:]
	}
	return ""
}

// ensureImage pulls the image when it is not here, which kind would do
// without a way to stop it. It returns ErrImageUnavailable.
func (m *Manager) ensureImage(ctx context.Context, image *nodeImage) error {
	id, err := m.Engine.ImageID(ctx, image.ref)
	if err != nil {
		return err
	}
	if id == "" {
		if _, err := m.Engine.Run(ctx, nil, "pull", image.ref); err != nil {
			var failed *engine.CommandError
			if errors.As(err, &failed) {
				return &ImageError{Image: image.ref, Err: err}
			}
			return err
		}
	}
	if image.kubernetes = tag(image.ref); trusted(image.ref) {
		return nil
	}
	return m.inspectImage(ctx, image)
}

// trusted says whether an image bears the name of those that are node images:
// kind's and ours, whose tag is the version.
func trusted(ref string) bool {
	ref = strings.TrimPrefix(ref, "localhost/") // as podman names what has no registry
	_, _, ok := parseMinor(tag(ref))
	return ok && (strings.HasPrefix(ref, "kindest/node:") || strings.HasPrefix(ref, LocalImages+":"))
}

// nodePrograms are what kind and we run in a node, whatever made its image.
var nodePrograms = []string{
	"bash", "tar", "systemctl", "journalctl", "containerd", "ctr", "crictl", "kubeadm", "kubelet", "kubectl", "iptables", "ip", "mount",
}

// noProgram is what engines say of an image that lacks what is to be run.
var noProgram = regexp.MustCompile(`(?i)executable file .*not found|no such file or directory`)

// lookScript prints the version that an image tells, and what it lacks.
const lookScript = `cat /kind/version 2>/dev/null || echo
for p in "$@"; do command -v "$p" >/dev/null || echo "$p"; done`

// inspectImage finds out the version of Kubernetes in an image, and whether
// nodes can be made of it: without, kind would fail late, and say of what.
func (m *Manager) inspectImage(ctx context.Context, image *nodeImage) error {
	out, err := m.Engine.Finish(ctx, append([]string{"run", "--rm", "--entrypoint", "sh", image.ref, "-c", lookScript, "sh"}, nodePrograms...)...)
	var failed *engine.CommandError
	if errors.As(err, &failed) && noProgram.MatchString(failed.Stderr) {
		return &NotNodeImageError{Image: image.ref, Missing: []string{"a shell"}}
	}
	if err != nil {
		return fmt.Errorf("look into image %s: %w", image.ref, err)
	}
	version, rest, _ := strings.Cut(string(out), "\n")
	missing := strings.Fields(rest)
	if version = strings.TrimSpace(version); version == "" {
		missing = append([]string{"/kind/version"}, missing...)
	}
	if len(missing) > 0 {
		return &NotNodeImageError{Image: image.ref, Missing: missing}
	}
	image.kubernetes = version
	return nil
}

var registryHosts = regexp.MustCompile(`(?m)^\s*config_path = ['"][^'"]*/etc/containerd/certs\.d`)

// lacksRegistryHosts says whether containerd in the image reads no folder of
// registry hosts.
func (m *Manager) lacksRegistryHosts(ctx context.Context, image string) (bool, error) {
	out, err := m.Engine.Finish(ctx, "run", "--rm", "--entrypoint", "containerd", image, "config", "dump")
	if err != nil {
		return false, fmt.Errorf("read containerd's settings in %s: %w", image, err)
	}
	return !registryHosts.Match(out), nil
}
