package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
)

// gpuResource is the extended resource that pods ask GPUs by.
const gpuResource = "nvidia.com/gpu"

// NodeStatus is what Kubernetes says of a node.
type NodeStatus struct {
	Ready      bool
	Kubernetes string // the kubelet's version
	GPUs       int    // allocatable nvidia.com/gpu
}

// NodeStatuses asks the API server of a running sandbox about its nodes, by
// name. It returns *StoppedError, also when the API server does not answer.
func NodeStatuses(ctx context.Context, c Cluster) (map[string]NodeStatus, error) {
	control, ok := Primary(c.Nodes)
	if !ok || !control.Running {
		return nil, &StoppedError{Name: c.Name}
	}
	out, err := control.Kubectl(ctx, nil, "get", "nodes", "-o", "json", "--request-timeout=5s")
	var failed *engine.CommandError
	if errors.As(err, &failed) {
		return nil, errors.Join(&StoppedError{Name: c.Name}, err)
	}
	if err != nil {
		return nil, err
	}
	return parseStatuses(out)
}

func parseStatuses(list []byte) (map[string]NodeStatus, error) {
	var nodes nodeList
	if err := json.Unmarshal(list, &nodes); err != nil {
		return nil, fmt.Errorf("read the list of nodes: %w", err)
	}
	statuses := map[string]NodeStatus{}
	for _, n := range nodes.Items {
		s := NodeStatus{Kubernetes: n.Status.NodeInfo.KubeletVersion}
		for _, c := range n.Status.Conditions {
			if c.Type == "Ready" {
				s.Ready = c.Status == "True"
			}
		}
		if quantity := n.Status.Allocatable[gpuResource]; quantity != "" {
			count, err := strconv.Atoi(quantity)
			if err != nil {
				return nil, fmt.Errorf("read %s of node %s: %w", gpuResource, n.Metadata.Name, err)
			}
			s.GPUs = count
		}
		statuses[n.Metadata.Name] = s
	}
	return statuses, nil
}
