// Package cluster makes, stops, starts and deletes sandboxes: kind clusters
// on this machine that carry a mark of ours. It drives kind as a library and
// adds what kind leaves to its callers: cancellation that cleans up, a user's
// kubeconfig whose current context stays, routes between nodes where the node
// image has no network daemon, and a reason when something fails.
//
// A sandbox is recognised by the file /etc/kubectl-ai/sandbox.json in its
// nodes. A kind cluster without it is never stopped, started or deleted.
package cluster

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
)

// DefaultName is the sandbox that commands mean when none is named.
const DefaultName = "ai"

// Network is the engine network that kind puts nodes on.
const Network = "kind"

// Labels that kind sets on its containers.
const (
	clusterLabel = "io.x-k8s.kind.cluster"
	roleLabel    = "io.x-k8s.kind.role"
)

// Roles of nodes.
const (
	ControlPlane = "control-plane"
	Worker       = "worker"
)

// Reporter is told of the steps of a long operation. Steps are sequential.
type Reporter interface {
	Start(step string)
	Note(format string, args ...any)
	End(err error)
}

// silent is the reporter of callers that gave none.
type silent struct{}

func (silent) Start(string)        {}
func (silent) Note(string, ...any) {}
func (silent) End(error)           {}

// ContextName is the kubeconfig context of a sandbox, which is kind's.
func ContextName(name string) string { return "kind-" + name }

// State says how much of a sandbox runs.
type State string

// States of a sandbox.
const (
	Running State = "Running"
	Stopped State = "Stopped"
	Partial State = "Partial" // some nodes run
)

// Cluster is a sandbox as the engine and its mark tell.
type Cluster struct {
	Name    string
	State   State
	Created time.Time
	Mark    Mark
	Nodes   []Node

	containers []engine.Container
}

// Context is the sandbox's kubeconfig context.
func (c Cluster) Context() string { return ContextName(c.Name) }

// Node is a container that is a Kubernetes node.
type Node struct {
	Name    string
	Role    string
	Running bool
	Address string // IPv4 on the kind network, "" while stopped

	engine *engine.Engine
}

func (n Node) String() string { return n.Name }

// Engine is the engine that the node runs on.
func (n Node) Engine() *engine.Engine { return n.engine }

// NewNode returns a node by hand, for tests and tools that know its name.
func NewNode(e *engine.Engine, name, role string) Node {
	return Node{Name: name, Role: role, Running: true, engine: e}
}

// Run runs a command in the node and returns its stdout. A failure is an
// *engine.CommandError.
func (n Node) Run(ctx context.Context, stdin io.Reader, cmd ...string) ([]byte, error) {
	args := []string{"exec", "--privileged"}
	if stdin != nil {
		args = append(args, "-i")
	}
	return n.engine.Run(ctx, stdin, append(append(args, n.Name), cmd...)...)
}

// WriteFile writes a file into the node with a mode such as 0o644, replacing
// it in one step. Its folder is made when missing.
func (n Node) WriteFile(ctx context.Context, path string, mode uint32, content io.Reader) error {
	const script = `set -e; mkdir -p "$(dirname "$1")"; cat >"$1.new"; chmod "$2" "$1.new"; mv -f "$1.new" "$1"`
	if _, err := n.Run(ctx, content, "sh", "-c", script, "sh", path, fmt.Sprintf("%o", mode)); err != nil {
		return fmt.Errorf("write %s on %s: %w", path, n.Name, err)
	}
	return nil
}

// Kubectl runs kubectl in a control-plane node with the administrator's
// rights.
func (n Node) Kubectl(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error) {
	return n.Run(ctx, stdin, append([]string{"kubectl", "--kubeconfig=/etc/kubernetes/admin.conf"}, args...)...)
}

// Primary returns the node that serves the API.
func Primary(nodes []Node) (Node, bool) {
	for _, n := range nodes {
		if n.Role == ControlPlane {
			return n, true
		}
	}
	return Node{}, false
}

// Manager works on the sandboxes of one engine.
type Manager struct {
	Engine *engine.Engine
	// Kubeconfig is the file that --kubeconfig names; "" means $KUBECONFIG
	// or ~/.kube/config, as for kubectl.
	Kubeconfig string
	Reporter   Reporter
	// Release, if given, is called when the containers of a sandbox are gone
	// and before its network goes: for what sandboxes share, like a registry.
	Release func(context.Context, Mark) error
}

// Open finds the engine. It returns engine.ErrNoEngine when none answers.
func Open(ctx context.Context) (*Manager, error) {
	e, err := engine.Detect(ctx)
	if err != nil {
		return nil, err
	}
	return &Manager{Engine: e}, nil
}

func (m *Manager) reporter() Reporter {
	if m.Reporter == nil {
		return silent{}
	}
	return m.Reporter
}

func (m *Manager) release(ctx context.Context, mark Mark) error {
	if m.Release == nil {
		return nil
	}
	return m.Release(ctx, mark)
}

// step runs one reported step.
func (m *Manager) step(name string, f func() error) error {
	m.reporter().Start(name)
	err := f()
	m.reporter().End(err)
	return err
}

// Get returns a sandbox by name: *NotFoundError when there is no cluster of
// that name, *NotOursError when there is one that we did not make.
func Get(ctx context.Context, name string) (Cluster, error) {
	m, err := Open(ctx)
	if err != nil {
		return Cluster{}, err
	}
	return m.Get(ctx, name)
}

// Nodes returns the nodes of a running sandbox, the control plane first. It
// returns the errors of Get, and *StoppedError when not all nodes run.
func Nodes(ctx context.Context, name string) ([]Node, error) {
	c, err := Get(ctx, name)
	if err != nil {
		return nil, err
	}
	if c.State != Running {
		return nil, &StoppedError{Name: name}
	}
	return c.Nodes, nil
}

// List returns the sandboxes of this machine by name.
func (m *Manager) List(ctx context.Context) ([]Cluster, error) {
	all, err := m.kindClusters(ctx, "")
	if err != nil {
		return nil, err
	}
	var ours []Cluster
	for _, c := range all {
		mark, err := m.readMark(ctx, c)
		if err != nil {
			return nil, err
		}
		if mark == nil {
			continue
		}
		c.Mark = *mark
		ours = append(ours, c)
	}
	return ours, nil
}

// Get is the function Get on this manager's engine.
func (m *Manager) Get(ctx context.Context, name string) (Cluster, error) {
	found, err := m.kindClusters(ctx, name)
	if err != nil {
		return Cluster{}, err
	}
	if len(found) == 0 {
		known, err := m.List(ctx)
		if err != nil {
			return Cluster{}, err
		}
		notFound := &NotFoundError{Name: name}
		for _, c := range known {
			notFound.Known = append(notFound.Known, c.Name)
		}
		return Cluster{}, notFound
	}
	mark, err := m.readMark(ctx, found[0])
	if err != nil {
		return Cluster{}, err
	}
	if mark == nil {
		return Cluster{}, &NotOursError{Name: name}
	}
	found[0].Mark = *mark
	return found[0], nil
}

// kindClusters returns kind's clusters, ours or not, without marks; one of
// them when name is not empty.
func (m *Manager) kindClusters(ctx context.Context, name string) ([]Cluster, error) {
	label := clusterLabel
	if name != "" {
		label += "=" + name
	}
	containers, err := m.Engine.Containers(ctx, label, Network)
	if err != nil {
		return nil, err
	}
	return m.group(containers), nil
}

// group makes clusters of containers, both sorted by name.
func (m *Manager) group(containers []engine.Container) []Cluster {
	byName := map[string]*Cluster{}
	for _, c := range containers {
		name := c.Labels[clusterLabel]
		if name == "" {
			continue
		}
		cluster := byName[name]
		if cluster == nil {
			cluster = &Cluster{Name: name, Created: c.Created}
			byName[name] = cluster
		}
		if c.Created.Before(cluster.Created) {
			cluster.Created = c.Created
		}
		cluster.containers = append(cluster.containers, c)
		if role := c.Labels[roleLabel]; role == ControlPlane || role == Worker {
			cluster.Nodes = append(cluster.Nodes, Node{Name: c.Name, Role: role, Running: c.Running, Address: c.Address, engine: m.Engine})
		}
	}
	clusters := make([]Cluster, 0, len(byName))
	for _, c := range byName {
		slices.SortFunc(c.Nodes, func(a, b Node) int {
			if a.Role != b.Role {
				return strings.Compare(a.Role, b.Role) // "control-plane" comes before "worker"
			}
			return byNumber(a.Name, b.Name)
		})
		running := 0
		for _, n := range c.Nodes {
			if n.Running {
				running++
			}
		}
		switch running {
		case len(c.Nodes):
			c.State = Running
		case 0:
			c.State = Stopped
		default:
			c.State = Partial
		}
		clusters = append(clusters, *c)
	}
	slices.SortFunc(clusters, func(a, b Cluster) int { return strings.Compare(a.Name, b.Name) })
	return clusters
}

// byNumber puts ai-worker10 after ai-worker2.
func byNumber(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}
