package cluster

import (
	"context"
	"errors"
	"fmt"
)

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
		var network error
		if c.Mark.OwnNetwork {
			network = m.removeNetwork(ctx)
		}
		return errors.Join(network, m.removeContext(ctx, name))
	})
}

// removeContainers removes the containers of a kind cluster and the volumes
// that only they use.
func (m *Manager) removeContainers(ctx context.Context, name string) error {
	containers, err := m.Engine.Containers(ctx, clusterLabel+"="+name, Network)
	if err != nil || len(containers) == 0 {
		return err
	}
	args := []string{"rm", "-f", "-v"}
	for _, c := range containers {
		args = append(args, c.Name)
	}
	if _, err := m.Engine.Run(ctx, nil, args...); err != nil {
		return fmt.Errorf("remove the containers of %q: %w", name, err)
	}
	return nil
}
