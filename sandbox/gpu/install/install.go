// Package install gives the nodes of a running cluster GPUs: it copies ai-gpu
// and nvidia-smi into each node and runs ai-gpu as a service of the node. It
// works with every kind node image, because it asks of a node no more than a
// shell, cat and systemctl, pulls nothing, and makes no Kubernetes object; it
// sets labels on the Node objects.
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

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
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
	Profile string // "" is model.DefaultProfile
	PerNode int
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

// Install gives every node PerNode GPUs and returns when pods can be
// scheduled on them. It returns *model.UnknownProfileError, *model.CountError,
// *NoPayloadError and *NotOfferedError. The reporter may be nil.
func Install(ctx context.Context, nodes []Node, payload fs.FS, o Options, r Reporter) error {
	if o.Profile == "" {
		o.Profile = model.DefaultProfile
	}
	if o.Wait == 0 {
		o.Wait = defaultWait
	}
	profile, err := model.LookupProfile(o.Profile)
	if err != nil {
		return err
	}
	o.Profile = profile.Name
	if err := model.CheckCount(o.PerNode); err != nil {
		return err
	}
	if len(nodes) == 0 {
		return nil
	}
	step := func(name string, f func() error) error {
		if r == nil {
			return f()
		}
		r.Start(name)
		err := f()
		r.End(err)
		return err
	}
	err = step(fmt.Sprintf("Install %d simulated %s on %s", o.PerNode, profile.Product, names(nodes)), func() error {
		return everyNode(ctx, nodes, func(ctx context.Context, n Node) error { return put(ctx, n, payload, o) })
	})
	if err != nil {
		return err
	}
	return step("Wait for the kubelets to offer the GPUs", func() error {
		if err := offered(ctx, nodes, o); err != nil {
			return err
		}
		return everyNode(ctx, nodes, func(ctx context.Context, n Node) error { return label(ctx, n, o) })
	})
}

func names(nodes []Node) string {
	if len(nodes) == 1 {
		return nodes[0].String()
	}
	return fmt.Sprintf("each of %d nodes", len(nodes))
}

// everyNode works on several nodes at once; the first error ends the others.
func everyNode(ctx context.Context, nodes []Node, f func(context.Context, Node) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for _, n := range nodes {
		g.Go(func() error { return f(ctx, n) })
	}
	return g.Wait()
}

// put copies the programs into a node and starts the service.
func put(ctx context.Context, n Node, payload fs.FS, o Options) error {
	arch, err := architecture(ctx, n)
	if err != nil {
		return err
	}
	for _, p := range programs {
		content, err := program(payload, arch, p.name)
		if err != nil {
			return err
		}
		if err := write(ctx, n, p.path, "755", content); err != nil {
			return err
		}
	}
	if err := write(ctx, n, unitPath, "644", unit(n.String(), o)); err != nil {
		return err
	}
	const start = `set -e; systemctl daemon-reload; systemctl enable --quiet "$1"; systemctl restart "$1"`
	if _, err := n.Run(ctx, nil, "sh", "-c", start, "sh", unitName); err != nil {
		return fmt.Errorf("start %s on %s: %w", unitName, n, err)
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

// offered waits until every kubelet has told the API server of its GPUs.
func offered(ctx context.Context, nodes []Node, o Options) error {
	args := []string{
		"wait", "--timeout", o.Wait.String(),
		fmt.Sprintf(`--for=jsonpath={.status.allocatable.nvidia\.com/gpu}=%d`, o.PerNode),
	}
	for _, n := range nodes {
		args = append(args, "node/"+n.String())
	}
	_, err := o.Kubectl(ctx, nil, args...)
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	failure := &NotOfferedError{Want: o.PerNode, Err: err, Status: map[string]string{}}
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

// label writes on the Node object what the node's own state says.
func label(ctx context.Context, n Node, o Options) error {
	content, err := n.Run(ctx, nil, "cat", model.NodeDir+"/"+model.StateFile)
	if err != nil {
		return fmt.Errorf("read the GPU state of %s: %w", n, err)
	}
	state, err := model.Decode(content)
	if err != nil {
		return fmt.Errorf("%s: %w", n, err)
	}
	labels := state.Labels()
	args := []string{"label", "--overwrite", "node", n.String()}
	for _, key := range slices.Sorted(maps.Keys(labels)) {
		args = append(args, key+"="+labels[key])
	}
	if _, err := o.Kubectl(ctx, nil, args...); err != nil {
		return fmt.Errorf("label %s: %w", n, err)
	}
	return nil
}

// NotOfferedError says that kubelets did not offer the GPUs in time.
type NotOfferedError struct {
	Want   int
	Status map[string]string // node → what systemd says of the service
	Err    error
}

func (e *NotOfferedError) Error() string {
	return fmt.Sprintf("no %d %s offered by %s: %v", e.Want, model.Resource, strings.Join(slices.Sorted(maps.Keys(e.Status)), ", "), e.Err)
}

func (e *NotOfferedError) Unwrap() error { return e.Err }

// NoPayloadError says that a program for a node's architecture is not there:
// a source checkout carries none before it is built.
type NoPayloadError struct{ Program, Arch string }

func (e *NoPayloadError) Error() string {
	return fmt.Sprintf("this kubectl-ai carries no %s for linux/%s", e.Program, e.Arch)
}

// Is makes it fs.ErrNotExist.
func (e *NoPayloadError) Is(target error) bool { return errors.Is(target, fs.ErrNotExist) }
