// Package install gives the nodes of a running cluster GPUs: it copies ai-gpu,
// nvidia-smi and an NVML library into each node and runs ai-gpu as a service
// of the node. It works with every kind node image, because it asks of a node
// no more than a shell, cat and systemctl, pulls nothing, and makes no
// Kubernetes object.
//
// What it writes lies on the node's root file system and under /var, which
// both survive a stop of the node. Installing again replaces what is there.
package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/driver"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/spec"
)

// Node is a running node. String is its name, Run runs a command in it as
// root and returns its stdout.
type Node interface {
	fmt.Stringer
	Run(ctx context.Context, stdin io.Reader, cmd ...string) ([]byte, error)
}

// Reporter is told of the steps. Steps are sequential.
type Reporter interface {
	Start(step string)
	Note(format string, args ...any)
	End(err error)
}

// Options say what to install.
type Options struct {
	Cluster string // enters the GPUs' identities
	// GPUs are those of each node, in the order of the nodes; a node beyond
	// their number gets none.
	GPUs []spec.GPUs
	// Kubectl runs kubectl on the cluster with an administrator's rights.
	Kubectl func(ctx context.Context, stdin io.Reader, args ...string) ([]byte, error)
	// Wait is how long the kubelets may take to offer the GPUs; 1 min unless
	// given.
	Wait time.Duration
}

// parallel bounds how many nodes are written to at once: the engine's one
// daemon carries all the bytes.
const parallel = 4

const defaultWait = time.Minute

// Install gives nodes their GPUs and returns when pods can be scheduled on
// them. It returns what spec.GPUs.Check does, *NoPayloadError, *NotSeenError and
// *NotOfferedError. The reporter may be nil.
func Install(ctx context.Context, nodes []Node, payload fs.FS, o Options, r Reporter) error {
	if o.Wait == 0 {
		o.Wait = defaultWait
	}
	var equipped []*equipment
	for i, n := range nodes {
		if i >= len(o.GPUs) || o.GPUs[i].None() {
			continue
		}
		if err := o.GPUs[i].Check(); err != nil {
			return fmt.Errorf("%s: %w", n, err)
		}
		equipped = append(equipped, &equipment{Node: n, gpus: o.GPUs[i], offers: o.GPUs[i].Offered()})
	}
	if len(equipped) == 0 {
		return nil
	}
	err := step(r, "Install "+describe(equipped), func() error {
		return everyNode(ctx, equipped, func(ctx context.Context, e *equipment) error { return put(ctx, e, payload, o) })
	})
	if err != nil {
		return err
	}
	return step(r, waitStep, func() error { return schedulable(ctx, equipped, o) })
}

const waitStep = "Wait for the kubelets to offer the GPUs"

func step(r Reporter, name string, f func() error) error {
	if r == nil {
		return f()
	}
	r.Start(name)
	err := f()
	r.End(err)
	return err
}

// equipment is a node and the GPUs that it gets.
type equipment struct {
	Node
	gpus   spec.GPUs
	offers map[string]int // units of each resource; of real GPUs, what their node says
}

// describe says what is installed: "8 simulated NVIDIA L4 on each of 2 nodes".
func describe(equipped []*equipment) string {
	var what []string
	for _, e := range equipped {
		one := fmt.Sprintf("%d of this machine's GPUs", len(e.gpus.Devices))
		if !e.gpus.Real() {
			board, err := e.gpus.Board()
			if err != nil {
				continue // it was checked
			}
			one = fmt.Sprintf("%d simulated %s", e.gpus.Count, board.Product)
		}
		if !slices.Contains(what, one) {
			what = append(what, one)
		}
	}
	switch {
	case len(equipped) == 1:
		return fmt.Sprintf("%s on %s", what[0], equipped[0])
	case len(what) == 1:
		return fmt.Sprintf("%s on each of %d nodes", what[0], len(equipped))
	}
	return fmt.Sprintf("%s on %d nodes", strings.Join(what, ", "), len(equipped))
}

// everyNode works on several nodes at once; the first error ends the others.
func everyNode(ctx context.Context, equipped []*equipment, f func(context.Context, *equipment) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, e := range equipped {
		g.Go(func() error { return f(ctx, e) })
	}
	return g.Wait()
}

// put copies the programs into a node and starts the service.
func put(ctx context.Context, n *equipment, payload fs.FS, o Options) error {
	content, err := spec.Node{Cluster: o.Cluster, Name: n.String(), GPUs: n.gpus}.Encode()
	if err != nil {
		return err
	}
	arch, err := architecture(ctx, n)
	if err != nil {
		return err
	}
	for _, p := range programs(n.gpus) {
		content, err := program(payload, arch, p.name)
		if err != nil {
			return err
		}
		if err := write(ctx, n, p.path, "755", content); err != nil {
			return err
		}
	}
	if err := write(ctx, n, spec.Path, "644", content); err != nil {
		return err
	}
	if err := write(ctx, n, unitPath, "644", []byte(unit)); err != nil {
		return err
	}
	if n.gpus.Real() {
		if err := look(ctx, n); err != nil {
			return err
		}
	}
	const start = `set -e; systemctl daemon-reload; systemctl enable --quiet "$1"; systemctl restart "$1"`
	if _, err := n.Run(ctx, nil, "sh", "-c", start, "sh", unitName); err != nil {
		return fmt.Errorf("start %s on %s: %w", unitName, n, err)
	}
	return nil
}

// look asks a node with real GPUs for them, before it offers any.
func look(ctx context.Context, n *equipment) error {
	if _, err := n.Run(ctx, nil, "ln", "-sf", model.AgentPath, driver.HookPath); err != nil {
		return fmt.Errorf("link %s on %s: %w", driver.HookPath, n, err)
	}
	content, err := n.Run(ctx, nil, model.AgentPath, "state")
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		return &NotSeenError{Node: n.String(), Err: err}
	}
	state, err := model.Decode(content)
	if err != nil {
		return &NotSeenError{Node: n.String(), Err: err}
	}
	n.offers = map[string]int{}
	for resource, units := range state.Units() {
		n.offers[resource] = len(units)
	}
	return nil
}

// write replaces a file in one step: a program may be running.
func write(ctx context.Context, n Node, path, mode string, content []byte) error {
	const script = `set -e; mkdir -p "${1%/*}"; cat >"$1.new"; chmod "$2" "$1.new"; mv -f "$1.new" "$1"`
	if _, err := n.Run(ctx, bytes.NewReader(content), "sh", "-c", script, "sh", path, mode); err != nil {
		return fmt.Errorf("write %s on %s: %w", path, n, err)
	}
	return nil
}

// schedulable waits until pods can be scheduled on what nodes offer.
func schedulable(ctx context.Context, equipped []*equipment, o Options) error {
	if err := offered(ctx, equipped, o); err != nil {
		return err
	}
	return labelled(ctx, equipped, o)
}

// offered waits until every kubelet has told the API server of its GPUs.
func offered(ctx context.Context, equipped []*equipment, o Options) error {
	type offer struct {
		resource string
		count    int
	}
	nodes := map[offer][]Node{} // that are to make it
	for _, e := range equipped {
		for resource, count := range e.offers {
			if count > 0 {
				nodes[offer{resource, count}] = append(nodes[offer{resource, count}], e.Node)
			}
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for want, nodes := range nodes {
		g.Go(func() error { return await(ctx, nodes, want.resource, want.count, o) })
	}
	return g.Wait()
}

func await(ctx context.Context, nodes []Node, resource string, count int, o Options) error {
	err := shows(ctx, nodes, fmt.Sprintf(`{.status.allocatable.%s}=%d`, strings.ReplaceAll(resource, ".", `\.`), count), o)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	failure := &NotOfferedError{Resource: resource, Want: count, Err: err, Status: map[string]string{}}
	for _, n := range nodes {
		// systemctl's exit code tells the state; its words are what is wanted.
		status, err := n.Run(ctx, nil, "sh", "-c", `systemctl status --no-pager --lines=10 "$1" 2>&1 || true`, "sh", unitName)
		if err != nil {
			status = []byte(err.Error())
		}
		failure.Status[n.String()] = strings.TrimSpace(string(status))
	}
	return failure
}

// labelled waits until every agent has labelled its Node object, which it does
// as soon as it runs.
func labelled(ctx context.Context, equipped []*equipment, o Options) error {
	var nodes []Node
	for _, e := range equipped {
		nodes = append(nodes, e.Node)
	}
	if err := shows(ctx, nodes, "{.metadata.labels."+strings.ReplaceAll(model.LabelPresent, ".", `\.`)+"}=true", o); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return fmt.Errorf("wait for the labels of the GPUs: %w", err)
	}
	return nil
}

// shows waits until the Node objects have a field of that value. The API server
// that fails one look may answer the next.
func shows(ctx context.Context, nodes []Node, field string, o Options) error {
	return engine.Retry(ctx, o.Wait, func(left time.Duration) error {
		args := []string{"wait", "--timeout", left.String(), "--for=jsonpath=" + field}
		for _, n := range nodes {
			args = append(args, "node/"+n.String())
		}
		_, err := o.Kubectl(ctx, nil, args...)
		return err
	})
}

// NotOfferedError says that kubelets did not offer the GPUs in time.
type NotOfferedError struct {
	Resource string
	Want     int
	Status   map[string]string // node → what systemd says of the service
	Err      error
}

func (e *NotOfferedError) Error() string {
	return fmt.Sprintf("no %d %s offered by %s: %v", e.Want, e.Resource, strings.Join(slices.Sorted(maps.Keys(e.Status)), ", "), e.Err)
}

func (e *NotOfferedError) Unwrap() error { return e.Err }

// NotSeenError says that a node does not see the GPUs of the machine that it
// is to have.
type NotSeenError struct {
	Node string
	Err  error
}

func (e *NotSeenError) Error() string {
	return fmt.Sprintf("%s does not see its GPUs: %v", e.Node, e.Err)
}

func (e *NotSeenError) Unwrap() error { return e.Err }

// NoPayloadError says that a program for a node's architecture is not there:
// a source checkout carries none before it is built.
type NoPayloadError struct{ Program, Arch string }

func (e *NoPayloadError) Error() string {
	return fmt.Sprintf("this kubectl-ai carries no %s for linux/%s", e.Program, e.Arch)
}

// Is makes it fs.ErrNotExist.
func (e *NoPayloadError) Is(target error) bool { return errors.Is(target, fs.ErrNotExist) }
