package cluster

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
)

// DeleteUnfinished is Delete for a sandbox whose making was cut short. It
// returns *ExistsError while another process is making it.
func (m *Manager) DeleteUnfinished(ctx context.Context, name string) error {
	unlock, err := lockName(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	return m.Delete(ctx, name)
}

// Delete removes a sandbox: its containers and their volumes, its entries in
// the kubeconfig, and kind's network if that was made for it and is empty. It
// returns the errors of Get, and removes nothing that Get does not return.
func (m *Manager) Delete(ctx context.Context, name string) error {
	c, err := m.Get(ctx, name)
	if err != nil {
		return err
	}
	return m.step(fmt.Sprintf("Delete sandbox %s", name), func() error {
		if err := m.removeContainers(ctx, name); err != nil {
			return err
		}
		err := m.release(ctx, c.Mark)
		if c.Mark.OwnNetwork {
			err = errors.Join(err, m.removeNetwork(ctx))
		}
		return errors.Join(err, m.removeContext(ctx, name))
	})
}

// removeContainers removes the containers of a kind cluster and the volumes
// that only they use.
func (m *Manager) removeContainers(ctx context.Context, name string) error {
	return (&removal{manager: m, name: name, gone: map[string]bool{}}).once(ctx)
}

// removal removes the containers of a cluster while something may still be
// making them, and remembers which are gone.
type removal struct {
	manager *Manager
	name    string
	gone    map[string]bool
}

// once removes what is there now.
func (r *removal) once(ctx context.Context) error {
	containers, err := r.manager.Engine.Containers(ctx, clusterLabel+"="+r.name, Network)
	if err != nil || len(containers) == 0 {
		return err
	}
	args := []string{"rm", "-f", "-v"}
	for _, c := range containers {
		args = append(args, c.Name)
	}
	_, err = r.manager.Engine.Run(ctx, nil, args...)
	if err != nil && ctx.Err() == nil && r.manager.thaw(ctx, containers) {
		_, err = r.manager.Engine.Run(ctx, nil, args...)
	}
	if err != nil {
		return fmt.Errorf("remove the containers of %q: %w", r.name, err)
	}
	for _, c := range containers {
		r.gone[c.Name] = true
	}
	return nil
}

// thawScript lets go what is frozen in the containers that are named.
const thawScript = `for id in "$@"; do
  find /machine/freezer -path "*$id*" -name freezer.state | while read -r f; do echo THAWED >"$f"; done
done`

// thaw lets go what a node's runtime has frozen while it changed a pod, and
// says whether it could. With cgroup v1 a frozen process does not even die of
// SIGKILL, and neither does the node whose end came between.
func (m *Manager) thaw(ctx context.Context, containers []engine.Container) bool {
	if m.Engine.CgroupVersion != 1 {
		return false
	}
	args := []string{"run", "--rm", "--privileged", "--volume", "/sys/fs/cgroup:/machine", "--entrypoint", "sh", containers[0].Image, "-c", thawScript, "sh"}
	for _, c := range containers {
		args = append(args, c.ID)
	}
	_, err := m.Engine.Finish(ctx, args...)
	return err == nil
}

// removalPause is the pause between two looks for containers.
const removalPause = 300 * time.Millisecond

// until removes containers again and again until done is closed or ctx ends.
func (r *removal) until(ctx context.Context, done <-chan struct{}) {
	again := time.NewTicker(removalPause)
	defer again.Stop()
	for {
		_ = r.once(ctx) // what fails now is tried again, and reported at the end
		select {
		case <-done:
			return
		case <-ctx.Done():
			return
		case <-again.C:
		}
	}
}

// stragglersTimeout is how long an engine may take to finish a container
// whose `run` was killed, which a terminal's Ctrl-C does to kind's commands.
const stragglersTimeout = 5 * time.Second

// stragglers removes containers until that many are gone, or none can come
// any more.
func (r *removal) stragglers(ctx context.Context, count int) error {
	deadline := time.NewTimer(stragglersTimeout)
	defer deadline.Stop()
	again := time.NewTicker(removalPause)
	defer again.Stop()
	for {
		err := r.once(ctx)
		if len(r.gone) >= count {
			return err
		}
		select {
		case <-deadline.C:
			return err
		case <-ctx.Done():
			return err
		case <-again.C:
		}
	}
}
