// Package registry runs the local registry of sandboxes: a container on
// kind's network that this machine reaches under localhost:PORT, as nodes do
// by a rule for containerd. One name serves push and pull, contents are on a
// volume, and the image is made here from a program that travels in kubectl
// ai, so that nothing is pulled.
//
// There is one registry a port, shared by the sandboxes that were made with
// it and removed with the last of them.
package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
	"github.com/kubectl-ai/kubectl-ai/sandbox/image"
)

// DefaultPort is the port of a registry when none is asked for. macOS has
// 5000 taken.
const DefaultPort = 5001

const (
	baseName = "kubectl-ai-registry"
	program  = "ai-registry"
	tag      = "kubectl-ai/registry:local"
	inside   = 5000 // its port in its container

	// partLabel marks what belongs to sandboxes; the value tells which part.
	partLabel = "dev.kubectl-ai.sandbox.part"
	portLabel = "dev.kubectl-ai.sandbox.registry-port"
)

// Endpoint is a registry by its port on this machine.
type Endpoint struct{ Port int }

// Host is the registry in image references, on this machine and in nodes.
func (e Endpoint) Host() string { return "localhost:" + strconv.Itoa(e.Port) }

// Container is the name of its container.
func (e Endpoint) Container() string {
	if e.Port == DefaultPort {
		return baseName
	}
	return baseName + "-" + strconv.Itoa(e.Port)
}

// volume is the name of the volume with its contents.
func (e Endpoint) volume() string { return e.Container() }

// PortTakenError says that something else listens on the registry's port.
type PortTakenError struct{ Port int }

func (e *PortTakenError) Error() string {
	return fmt.Sprintf("port %d on this machine is taken, so the registry cannot listen there", e.Port)
}

// SilentError says that the registry's container runs but does not answer.
type SilentError struct {
	Container string
	Log       string // its last lines
}

func (e *SilentError) Error() string {
	return fmt.Sprintf("the registry in container %s does not answer: %s", e.Container, e.Log)
}

// Manager runs the registries of one engine.
type Manager struct {
	Engine *engine.Engine
	// Programs holds linux-<arch>/ai-registry.
	Programs fs.FS
}

// Check finds out, before anything is made, whether a registry can be had on
// that port. It returns *PortTakenError or *image.NoPayloadError.
func (m *Manager) Check(ctx context.Context, e Endpoint) error {
	there, err := m.container(ctx, e)
	if err != nil {
		return err
	}
	if there != nil {
		return nil
	}
	program, err := image.Payload(m.Programs, m.Engine.Arch, program)
	if err != nil {
		return err
	}
	if err := program.Close(); err != nil {
		return fmt.Errorf("read the registry's program: %w", err)
	}
	return checkPort(ctx, e.Port)
}

// checkPort tries the port here, which is where the engine publishes it
// unless it is on another machine; then `run` finds out.
func checkPort(ctx context.Context, port int) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
	if err != nil {
		return &PortTakenError{Port: port}
	}
	return listener.Close()
}

// Ensure makes the registry, or starts it, and waits until it answers.
func (m *Manager) Ensure(ctx context.Context, e Endpoint) error {
	there, err := m.container(ctx, e)
	if err != nil {
		return err
	}
	switch {
	case there == nil:
		if err := m.create(ctx, e); err != nil {
			return err
		}
	case !there.Running:
		if _, err := m.Engine.Finish(ctx, "start", e.Container()); err != nil {
			return m.startError(err, e)
		}
	}
	return m.awaitAnswer(ctx, e)
}

// container returns the registry's container, nil for none.
func (m *Manager) container(ctx context.Context, e Endpoint) (*engine.Container, error) {
	found, err := m.Engine.Containers(ctx, portLabel+"="+strconv.Itoa(e.Port), cluster.Network)
	if err != nil || len(found) == 0 {
		return nil, err
	}
	return &found[0], nil
}

func (m *Manager) create(ctx context.Context, e Endpoint) error {
	if err := m.loadImage(ctx); err != nil {
		return err
	}
	labels := []string{"--label", partLabel + "=registry", "--label", portLabel + "=" + strconv.Itoa(e.Port)}
	args := append([]string{"volume", "create"}, labels...)
	if _, err := m.Engine.Finish(ctx, append(args, e.volume())...); err != nil {
		return fmt.Errorf("make the registry's volume: %w", err)
	}
	args = append([]string{"run", "--detach", "--name", e.Container(), "--hostname", e.Container()}, labels...)
	args = append(args,
		"--net", cluster.Network,
		"--restart", "unless-stopped",
		"--publish", fmt.Sprintf("127.0.0.1:%d:%d/tcp", e.Port, inside),
		"--volume", e.volume()+":/data",
		tag)
	if _, err := m.Engine.Finish(ctx, args...); err != nil {
		if there, lookErr := m.container(ctx, e); lookErr == nil && there != nil && there.Running {
			return nil // another sandbox made it a moment before
		}
		return errors.Join(m.startError(err, e), m.Remove(context.WithoutCancel(ctx), e))
	}
	return nil
}

// startError tells a taken port from other failures, which engines do by
// words alone.
func (m *Manager) startError(err error, e Endpoint) error {
	var failed *engine.CommandError
	if errors.As(err, &failed) {
		for _, words := range []string{"port is already allocated", "address already in use", "ports are not available"} {
			if strings.Contains(failed.Stderr, words) {
				return &PortTakenError{Port: e.Port}
			}
		}
	}
	return fmt.Errorf("start the registry: %w", err)
}

// loadImage puts the registry's image into the engine unless it is there.
func (m *Manager) loadImage(ctx context.Context) error {
	binary, err := image.Payload(m.Programs, m.Engine.Arch, program)
	if err != nil {
		return err
	}
	defer func() { _ = binary.Close() }() // it was read, or its error returned
	img, err := image.FromBinary(binary, m.Engine.Arch, "/"+program, []string{"/" + program}, tag)
	if err != nil {
		return err
	}
	id, err := img.ID()
	if err != nil {
		return err
	}
	if there, err := m.Engine.ImageID(ctx, tag); err != nil || there == id {
		return err
	}
	archive := img.Tarball()
	_, err = m.Engine.Run(ctx, archive, "load")
	if err != nil {
		err = fmt.Errorf("load the registry's image: %w", err)
	}
	return errors.Join(err, archive.Close())
}

// answerTimeout bounds how long the registry may take to start.
const answerTimeout = 20 * time.Second

func (m *Manager) awaitAnswer(ctx context.Context, e Endpoint) error {
	limited, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	again := time.NewTicker(100 * time.Millisecond)
	defer again.Stop()
	for {
		if Answers(limited, e) {
			return nil
		}
		select {
		case <-again.C:
		case <-limited.Done():
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			log, _ := m.Engine.Run(ctx, nil, "logs", "--tail", "5", e.Container())
			return &SilentError{Container: e.Container(), Log: strings.TrimSpace(string(log))}
		}
	}
}

// Answers says whether the registry answers on this machine.
func Answers(ctx context.Context, e Endpoint) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://127.0.0.1:"+strconv.Itoa(e.Port)+"/v2/", nil)
	if err != nil {
		return false
	}
	// Not the default transport: HTTP_PROXY has no say about this machine.
	response, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(request)
	if err != nil {
		return false
	}
	return response.Body.Close() == nil && response.StatusCode == http.StatusOK
}

// Stop stops the registry; its contents stay.
func (m *Manager) Stop(ctx context.Context, e Endpoint) error {
	there, err := m.container(ctx, e)
	if err != nil || there == nil || !there.Running {
		return err
	}
	if _, err := m.Engine.Run(ctx, nil, "stop", e.Container()); err != nil {
		return fmt.Errorf("stop the registry: %w", err)
	}
	return nil
}

// Remove removes the registry with its contents, and its image with the last
// registry.
func (m *Manager) Remove(ctx context.Context, e Endpoint) error {
	there, err := m.container(ctx, e)
	if err != nil {
		return err
	}
	if there != nil {
		if _, err := m.Engine.Run(ctx, nil, "rm", "-f", "-v", there.Name); err != nil {
			return fmt.Errorf("remove the registry: %w", err)
		}
	}
	out, err := m.Engine.Run(ctx, nil, "volume", "ls", "-q", "--filter", "label="+portLabel+"="+strconv.Itoa(e.Port))
	if err != nil {
		return fmt.Errorf("look for the registry's volume: %w", err)
	}
	for _, volume := range strings.Fields(string(out)) {
		if _, err := m.Engine.Run(ctx, nil, "volume", "rm", volume); err != nil {
			return fmt.Errorf("remove the registry's volume: %w", err)
		}
	}
	// An engine refuses while a registry on another port is made of it.
	_, err = m.Engine.Run(ctx, nil, "image", "rm", tag)
	var failed *engine.CommandError
	if errors.As(err, &failed) {
		return nil
	}
	return err
}

// announceTimeout bounds how long an API server that has just begun may fail
// what it is asked.
const announceTimeout = 30 * time.Second

// Wire makes nodes pull localhost:PORT from the registry, and tells the
// cluster's users of it (KEP-1755).
func Wire(ctx context.Context, nodes []cluster.Node, e Endpoint) error {
	group, gctx := errgroup.WithContext(ctx)
	for _, n := range nodes {
		group.Go(func() error {
			path := "/etc/containerd/certs.d/" + e.Host() + "/hosts.toml"
			return n.WriteFile(gctx, path, 0o644, strings.NewReader(hostsFile(e)))
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	control, ok := cluster.Primary(nodes)
	if !ok {
		return nil
	}
	err := engine.Retry(ctx, announceTimeout, func(time.Duration) error {
		_, err := control.Kubectl(ctx, strings.NewReader(hostingConfigMap(e)), "apply", "--request-timeout=5s", "-f", "-")
		return err
	})
	if err != nil {
		return fmt.Errorf("announce the registry in the cluster: %w", err)
	}
	return nil
}

// hostsFile is containerd's rule for the registry.
func hostsFile(e Endpoint) string {
	address := fmt.Sprintf("http://%s:%d", e.Container(), inside)
	return fmt.Sprintf("server = %q\n\n[host.%q]\n  capabilities = [\"pull\", \"resolve\"]\n", address, address)
}

// hostingConfigMap is what tools look for to learn of a local registry.
func hostingConfigMap(e Endpoint) string {
	return fmt.Sprintf(`apiVersion: v1
kind: ConfigMap
metadata:
  name: local-registry-hosting
  namespace: kube-public
data:
  localRegistryHosting.v1: |
    host: "%s"
    hostFromContainerRuntime: "%s:%d"
    hostFromClusterNetwork: "%s:%d"
    help: "https://kind.sigs.k8s.io/docs/user/local-registry/"
`, e.Host(), e.Container(), inside, e.Container(), inside)
}
