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

// needsRoutes says whether no daemon of the node image keeps the routes
// between nodes, as kindnet does.
func (m *Manager) needsRoutes(ctx context.Context, control Node) (bool, error) {
	out, err := control.Kubectl(ctx, nil, "get", "daemonsets", "-n", "kube-system", "-o", "name")
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

// setRoutes tells every node the way to the pods of the others. Routes are
// lost when a node stops.
func setRoutes(ctx context.Context, control Node, nodes []Node) error {
	out, err := control.Kubectl(ctx, nil, "get", "nodes", "-o", "json")
	if err != nil {
		return fmt.Errorf("list nodes: %w", err)
	}
	routes, err := planRoutes(out)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, n := range nodes {
		group.Go(func() error {
			for _, r := range routes {
				if r.node == n.Name {
					continue
				}
				if _, err := n.Run(ctx, nil, "ip", "route", "replace", r.pods.String(), "via", r.via.String()); err != nil {
					return fmt.Errorf("route on %s: %w", n.Name, err)
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// route is the way to the pods of one node.
type route struct {
	node string
	pods netip.Prefix
	via  netip.Addr
}

// planRoutes reads a list of nodes. Every pod network goes by the node's
// address of the same family.
func planRoutes(list []byte) ([]route, error) {
	var nodes nodeList
	if err := json.Unmarshal(list, &nodes); err != nil {
		return nil, fmt.Errorf("read the list of nodes: %w", err)
	}
	var routes []route
	for _, n := range nodes.Items {
		for _, cidr := range n.Spec.PodCIDRs {
			pods, err := netip.ParsePrefix(cidr)
			if err != nil {
				return nil, fmt.Errorf("pod network of node %s: %w", n.Metadata.Name, err)
			}
			for _, a := range n.Status.Addresses {
				if a.Type != "InternalIP" {
					continue
				}
				via, err := netip.ParseAddr(a.Address)
				if err == nil && via.Is4() == pods.Addr().Is4() {
					routes = append(routes, route{n.Metadata.Name, pods, via})
					break
				}
			}
		}
	}
	return routes, nil
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
			Addresses []struct {
				Type    string `json:"type"`
				Address string `json:"address"`
			} `json:"addresses"`
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
