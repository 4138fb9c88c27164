package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
)

// readyPoll is the pause between two looks at the nodes.
const readyPoll = 250 * time.Millisecond

// waitReady waits until so many nodes are ready and pods can be made. After a
// restart the API server still tells of the time before, so fresh asks for a
// heartbeat that is newer than the first one seen. It returns
// *NotReadyError, with what it waited for.
func waitReady(ctx context.Context, name string, control Node, nodes int, limit time.Duration, fresh bool) error {
	deadline := time.NewTimer(limit)
	defer deadline.Stop()
	pause := time.NewTicker(readyPoll)
	defer pause.Stop()
	watch := readiness{nodes: nodes, fresh: fresh, first: map[string]string{}}
	for {
		waiting, err := watch.look(ctx, control)
		if err != nil {
			return err
		}
		if waiting == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-deadline.C:
			return &NotReadyError{Name: name, Waiting: waiting}
		case <-pause.C:
		}
	}
}

// readiness compares what nodes say with what they said first.
type readiness struct {
	nodes int
	fresh bool
	first map[string]string // node → heartbeat when first seen
}

// look returns what there is to wait for, "" for nothing.
func (r *readiness) look(ctx context.Context, control Node) (string, error) {
	out, err := control.Kubectl(ctx, nil, "get", "nodes", "-o", "json", "--request-timeout=5s")
	var failed *engine.CommandError
	if errors.As(err, &failed) {
		return "the API server does not answer", runs(ctx, control)
	}
	if err != nil {
		return "", err
	}
	if waiting, err := r.judge(out); waiting != "" || err != nil {
		return waiting, err
	}
	_, err = control.Kubectl(ctx, nil, "get", "serviceaccount", "default", "-n", "default", "-o", "name", "--request-timeout=5s")
	if errors.As(err, &failed) {
		return "the default service account is not there yet", nil
	}
	return "", err
}

// runs returns an error unless the engine says that a node runs: then there is
// something to wait for.
func runs(ctx context.Context, n Node) error {
	out, err := n.engine.Run(ctx, nil, "container", "inspect", "--format", "{{.State.Running}}", n.Name)
	if err != nil {
		return fmt.Errorf("look for node %s: %w", n.Name, err)
	}
	if strings.TrimSpace(string(out)) != "true" {
		return fmt.Errorf("node %s has stopped", n.Name)
	}
	return nil
}

// judge reads a list of nodes.
func (r *readiness) judge(list []byte) (string, error) {
	var nodes nodeList
	if err := json.Unmarshal(list, &nodes); err != nil {
		return "", fmt.Errorf("read the list of nodes: %w", err)
	}
	var missing []string
	for _, n := range nodes.Items {
		ready := false
		for _, c := range n.Status.Conditions {
			if c.Type != "Ready" {
				continue
			}
			first, seen := r.first[n.Metadata.Name]
			if !seen {
				r.first[n.Metadata.Name] = c.LastHeartbeatTime
			}
			ready = c.Status == "True" && (!r.fresh || seen && first != c.LastHeartbeatTime)
		}
		if !ready {
			missing = append(missing, n.Metadata.Name)
		}
	}
	switch {
	case len(missing) > 0:
		slices.Sort(missing)
		return "not ready: " + strings.Join(missing, ", "), nil
	case len(nodes.Items) < r.nodes:
		return fmt.Sprintf("%d of %d nodes have joined", len(nodes.Items), r.nodes), nil
	}
	return "", nil
}
