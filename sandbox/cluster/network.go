package cluster

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
)

// hasNetwork says whether kind's network exists.
func (m *Manager) hasNetwork(ctx context.Context) (bool, error) {
	out, err := m.Engine.Run(ctx, nil, "network", "ls", "--format", "{{.Name}}")
	if err != nil {
		return false, fmt.Errorf("list networks: %w", err)
	}
	return slices.Contains(strings.Fields(string(out)), Network), nil
}

// removeNetwork removes kind's network unless a container, running or not,
// is on it.
func (m *Manager) removeNetwork(ctx context.Context) error {
	out, err := m.Engine.Run(ctx, nil, "ps", "-a", "--filter", "network="+Network, "--format", "{{.Names}}")
	if err != nil {
		return fmt.Errorf("look for containers on network %s: %w", Network, err)
	}
	if len(strings.Fields(string(out))) > 0 {
		return nil
	}
	_, err = m.Engine.Run(ctx, nil, "network", "rm", Network)
	var failed *engine.CommandError
	if errors.As(err, &failed) {
		// Gone already, or a container came between: both are as it should be.
		return nil
	}
	return err
}

// addresses returns the containers' addresses, lowest first.
func addresses(containers []engine.Container) []Address {
	var list []Address
	for _, c := range containers {
		if c.Address != "" {
			list = append(list, Address{Container: c.Name, IP: c.Address})
		}
	}
	slices.SortFunc(list, func(a, b Address) int { return cmp.Or(compareIP(a.IP, b.IP), cmp.Compare(a.Container, b.Container)) })
	return list
}

func compareIP(a, b string) int {
	first, errA := netip.ParseAddr(a)
	second, errB := netip.ParseAddr(b)
	if errA != nil || errB != nil {
		return cmp.Compare(a, b)
	}
	return first.Compare(second)
}

// answerTimeout bounds how long an API server that has just begun may fail what
// it is asked.
const answerTimeout = 30 * time.Second

// needsRoutes says whether no daemon of the node image keeps the routes
// between nodes, as kindnet does.
func needsRoutes(ctx context.Context, control Node) (bool, error) {
	var out []byte
	err := engine.Retry(ctx, answerTimeout, func(time.Duration) (err error) {
		out, err = control.Kubectl(ctx, nil, "get", "daemonsets", "-n", "kube-system", "-o", "name", "--request-timeout=5s")
		return err
	})
	if err != nil {
		return false, fmt.Errorf("list daemon sets: %w", err)
	}
	for _, name := range strings.Fields(string(out)) {
		if !strings.HasSuffix(name, "/kube-proxy") {
			return false, nil
		}
	}
	return true, nil
}

// setRoutes tells every node the way to the pods of the others, given each
// node's pod networks. Routes are lost when a node stops. They go by the
// address that the engine gave, so the API server need not be up.
func setRoutes(ctx context.Context, nodes []Node, pods map[string][]string) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, n := range nodes {
		group.Go(func() error {
			for _, other := range nodes {
				if other.Name == n.Name || other.Address == "" {
					continue
				}
				for _, network := range pods[other.Name] {
					if _, err := n.Run(ctx, nil, "ip", "route", "replace", network, "via", other.Address); err != nil {
						return fmt.Errorf("route from %s to %s: %w", n.Name, other.Name, err)
					}
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// podNetworksTimeout bounds how long a new node may be without a pod network,
// and an API server that has just begun may fail to tell; the controller
// manager gives it one at once.
const podNetworksTimeout = 30 * time.Second

// podNetworks returns the pod networks of every node, once all have one.
func podNetworks(ctx context.Context, control Node, nodes int) (map[string][]string, error) {
	deadline := time.NewTimer(podNetworksTimeout)
	defer deadline.Stop()
	again := time.NewTicker(readyPoll)
	defer again.Stop()
	for {
		networks, err := askPodNetworks(ctx, control)
		var failed *engine.CommandError
		switch {
		case err == nil && len(networks) >= nodes:
			return networks, nil
		case err == nil:
			err = fmt.Errorf("%d of %d nodes have a pod network", len(networks), nodes)
		case !errors.As(err, &failed):
			return nil, err
		}
		select {
		case <-again.C:
		case <-deadline.C:
			return nil, err
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

func askPodNetworks(ctx context.Context, control Node) (map[string][]string, error) {
	out, err := control.Kubectl(ctx, nil, "get", "nodes", "-o", "json", "--request-timeout=5s")
	if err != nil {
		return nil, fmt.Errorf("list nodes: %w", err)
	}
	return parsePodNetworks(out)
}

// parsePodNetworks reads a list of nodes: the IPv4 pod networks of those that
// have any, since the addresses that routes go by are IPv4.
func parsePodNetworks(list []byte) (map[string][]string, error) {
	var nodes nodeList
	if err := json.Unmarshal(list, &nodes); err != nil {
		return nil, fmt.Errorf("read the list of nodes: %w", err)
	}
	networks := map[string][]string{}
	for _, n := range nodes.Items {
		for _, cidr := range n.Spec.PodCIDRs {
			prefix, err := netip.ParsePrefix(cidr)
			if err != nil {
				return nil, fmt.Errorf("pod network of node %s: %w", n.Metadata.Name, err)
			}
			if prefix.Addr().Is4() {
				networks[n.Metadata.Name] = append(networks[n.Metadata.Name], cidr)
			}
		}
	}
	return networks, nil
}

// nodeList is what is read of Kubernetes nodes.
type nodeList struct {
	Items []struct {
		Metadata struct {
			Name string `json:"name"`
		} `json:"metadata"`
		Spec struct {
			PodCIDRs []string `json:"podCIDRs"`
		} `json:"spec"`
		Status struct {
			Allocatable map[string]string `json:"allocatable"`
			Conditions  []struct {
				Type              string `json:"type"`
				Status            string `json:"status"`
				LastHeartbeatTime string `json:"lastHeartbeatTime"`
			} `json:"conditions"`
			NodeInfo struct {
				KubeletVersion string `json:"kubeletVersion"`
			} `json:"nodeInfo"`
		} `json:"status"`
	} `json:"items"`
}
