package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	kind "sigs.k8s.io/kind/pkg/cluster"

	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
)

// Stop stops the containers of a sandbox; what is in it stays. Stopping a
// stopped one does nothing.
func (m *Manager) Stop(ctx context.Context, name string) (Cluster, error) {
	c, err := m.Get(ctx, name)
	if err != nil {
		return Cluster{}, err
	}
	if c.State == Stopped {
		m.reporter().Note("sandbox %s is stopped already", name)
		return c, nil
	}
	// The engine's ten seconds, spelled out: pods end in order within them,
	// while the API server would wait longer for an etcd that is gone.
	args := []string{"stop", "-t", "10"}
	for _, container := range c.containers {
		args = append(args, container.Name)
	}
	err = m.step("Stop sandbox "+name, func() error {
		if _, err := m.Engine.Run(ctx, nil, args...); err != nil {
			return fmt.Errorf("stop sandbox %q: %w", name, err)
		}
		return nil
	})
	if err != nil {
		return Cluster{}, err
	}
	c.State = Stopped
	return c, nil
}

// Start starts a stopped sandbox, waits until its nodes are ready, sets the
// routes between them again and renews the kubeconfig context. Containers
// come up in the order of their addresses, so that the engine gives each its
// own again; a node whose address changed nevertheless is corrected by kind's
// entry point.
func (m *Manager) Start(ctx context.Context, name string, wait time.Duration, switchContext bool) (Cluster, error) {
	c, err := m.Get(ctx, name)
	if err != nil {
		return Cluster{}, err
	}
	control, ok := Primary(c.Nodes)
	if !ok {
		return Cluster{}, fmt.Errorf("sandbox %q has no control plane left; delete it", name)
	}
	if c.State == Running {
		m.reporter().Note("sandbox %s runs already", name)
	}
	if err := m.step("Start the node containers", func() error { return m.startContainers(ctx, c) }); err != nil {
		return Cluster{}, err
	}
	wasRunning := c.State == Running
	mark := c.Mark
	if c, err = m.complete(ctx, name, &mark); err != nil {
		return Cluster{}, err
	}
	c.Mark = mark
	if len(mark.Routes) > 0 {
		if err := m.step("Route between the nodes", func() error { return setRoutes(ctx, c.Nodes, mark.Routes) }); err != nil {
			return Cluster{}, err
		}
	}
	if wait > 0 {
		if err := m.step("Wait for the nodes", func() error {
			return waitReady(ctx, name, control, len(c.Nodes), wait, !wasRunning)
		}); err != nil {
			return Cluster{}, err
		}
	}
	if err := m.writeMark(ctx, c, mark); err != nil {
		return Cluster{}, err
	}
	return c, m.renewContext(ctx, name, switchContext)
}

// startContainers starts what does not run, lowest address first, one after
// the other.
func (m *Manager) startContainers(ctx context.Context, c Cluster) error {
	order := map[string]int{}
	for i, a := range c.Mark.Addresses {
		order[a.Container] = i + 1
	}
	stopped := slices.DeleteFunc(slices.Clone(c.containers), func(c engine.Container) bool { return c.Running })
	slices.SortFunc(stopped, func(a, b engine.Container) int {
		return cmp.Or(cmp.Compare(order[a.Name], order[b.Name]), cmp.Compare(a.Name, b.Name))
	})
	for _, container := range stopped {
		if _, err := m.Engine.Finish(ctx, "start", container.Name); err != nil {
			return fmt.Errorf("start node %s: %w", container.Name, err)
		}
	}
	return nil
}

// kindKubeconfig asks kind, which knows no context.
func (m *Manager) kindKubeconfig(ctx context.Context, name string) (string, error) {
	type answer struct {
		content string
		err     error
	}
	answered := make(chan answer, 1)
	go func() {
		content, err := kind.NewProvider(m.kindProvider()).KubeConfig(name, false)
		answered <- answer{content, err}
	}()
	select {
	case a := <-answered:
		return a.content, a.err
	case <-ctx.Done():
		return "", context.Cause(ctx)
	}
}

// renewContext writes the context anew: the user may have removed it, or the
// engine given the API server another port.
func (m *Manager) renewContext(ctx context.Context, name string, switchContext bool) error {
	content, err := m.kindKubeconfig(ctx, name)
	if err != nil {
		return fmt.Errorf("read the kubeconfig of %q: %w", name, err)
	}
	dir, err := os.MkdirTemp("", "kubectl-ai-")
	if err != nil {
		return fmt.Errorf("make a private folder: %w", err)
	}
	path := filepath.Join(dir, "kubeconfig")
	err = os.WriteFile(path, []byte(content), 0o600)
	if err == nil {
		err = m.addContext(ctx, path, name, switchContext)
	}
	return errors.Join(err, os.RemoveAll(dir))
}
