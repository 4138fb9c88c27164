package cluster

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/spec"
)

// markPath is where a node says that it belongs to a sandbox.
const markPath = "/etc/kubectl-ai/sandbox.json"

// Mark is what a sandbox remembers of how it was made. It is written into
// every node, since kind sets no labels but its own.
type Mark struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Name       string    `json:"name"`
	Created    time.Time `json:"created"`
	By         string    `json:"by"`                   // version of kubectl ai
	Image      string    `json:"image"`                // node image
	Kubernetes string    `json:"kubernetes"`           // v1.36.3, "" until known
	GPUs       GPUs      `json:"gpus"`                 // what was asked for
	Registry   int       `json:"registry,omitempty"`   // port on this machine, 0 = none
	OwnNetwork bool      `json:"ownNetwork,omitempty"` // the kind network was made for it
	// Routes are the pod networks of each node, where we set the routes
	// between nodes because no daemon of the node image does.
	Routes map[string][]string `json:"routes,omitempty"`
	// Unfinished is true until the sandbox is whole: of one whose making was cut
	// short, or failed and was to be kept, for good.
	Unfinished bool `json:"unfinished,omitempty"`
	// Addresses of the containers, in the order in which they were given, so
	// that a start gives every container its own again.
	Addresses []Address `json:"addresses,omitempty"`
}

// GPUs is the GPU equipment of a sandbox. Profile and PerNode are those of the
// first node that has any.
type GPUs struct {
	Mode    string      `json:"mode"`              // fake, real, mixed or none
	Profile string      `json:"profile,omitempty"` // h100
	PerNode int         `json:"perNode,omitempty"`
	Nodes   []spec.GPUs `json:"nodes,omitempty"` // of each node, the control plane first
}

// Modes of equipment.
const (
	NoGPUs        = "none"
	SimulatedGPUs = "fake"
	RealGPUs      = "real"
	MixedGPUs     = "mixed"
)

// Equip returns the equipment of these nodes.
func Equip(nodes []spec.GPUs) GPUs {
	g := GPUs{Mode: NoGPUs, Nodes: nodes}
	for _, n := range nodes {
		switch mode := map[bool]string{true: RealGPUs, false: SimulatedGPUs}[n.Real()]; {
		case n.None():
		case g.Mode == NoGPUs:
			g.Mode = mode
		case g.Mode != mode:
			g.Mode = MixedGPUs
		}
	}
	for _, n := range nodes {
		if n.Count > 0 {
			g.Profile, g.PerNode = n.Profile, n.Count
			break
		}
	}
	return g
}

// Address is the address of a container on the kind network.
type Address struct {
	Container string `json:"container"`
	IP        string `json:"ip"`
}

const (
	markVersion = "kubectl-ai.dev/v1alpha1"
	markKind    = "SandboxMark"
)

func (k Mark) encode() ([]byte, error) {
	k.APIVersion, k.Kind = markVersion, markKind
	return json.MarshalIndent(k, "", "  ")
}

// decodeMark returns nil for a file that is no mark of ours. Fields that
// another version wrote differently, or a file that was cut short, are passed
// over: the sandbox is ours still, and has to be listed and deleted.
func decodeMark(content []byte) *Mark {
	var k Mark
	err := json.Unmarshal(content, &k)
	if k.Kind != markKind && err == nil {
		return nil
	}
	return &k
}

// writeMark writes the mark into every container of a cluster, running or not.
func (m *Manager) writeMark(ctx context.Context, c Cluster, mark Mark) error {
	content, err := mark.encode()
	if err != nil {
		return fmt.Errorf("mark sandbox %q: %w", c.Name, err)
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, container := range c.containers {
		group.Go(func() error {
			if err := m.Engine.WriteFile(ctx, container.Name, markPath, content); err != nil {
				return fmt.Errorf("mark node %s: %w", container.Name, err)
			}
			return nil
		})
	}
	return group.Wait()
}

// readMark returns the mark of a cluster, nil when no node carries one.
func (m *Manager) readMark(ctx context.Context, c Cluster) (*Mark, error) {
	for _, container := range c.containers {
		content, err := m.Engine.ReadFile(ctx, container.Name, markPath)
		var failed *engine.CommandError
		if errors.As(err, &failed) {
			continue // no such file, or the container went away meanwhile
		}
		if err != nil {
			return nil, fmt.Errorf("read the mark of %s: %w", container.Name, err)
		}
		if mark := decodeMark(content); mark != nil {
			mark.Name = c.Name
			return mark, nil
		}
	}
	return nil, nil
}
