// Package control asks the agents of running nodes for their GPUs, and to
// break and mend simulated ones. It runs ai-gpu in the node, as the package
// install put it there.
package control

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/fault"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// Node is a running node. String is its name, Run runs a command in it as
// root and returns its stdout.
type Node interface {
	fmt.Stringer
	Run(ctx context.Context, stdin io.Reader, cmd ...string) ([]byte, error)
}

// List returns a node's GPUs and who holds them.
func List(ctx context.Context, n Node) (model.Report, error) { return ask(ctx, n, "ls") }

// Fail makes something go wrong with a GPU, which an index or a UUID names, and
// returns the state in which it shows. It returns what fault.Inject and
// fault.Find do.
func Fail(ctx context.Context, n Node, gpu string, k fault.Kind) (model.Report, error) {
	check := func(d model.Device) error {
		_, err := fault.Inject(d, k, d.Fault.Since)
		return err
	}
	args := []string{"fail", "--gpu", gpu}
	switch {
	case k.Lost:
		args = append(args, "--lost")
	case k.ECC:
		args = append(args, "--ecc")
	case k.Throttle:
		args = append(args, "--throttle")
	default:
		args = append(args, "--xid", strconv.Itoa(k.XID))
	}
	return change(ctx, n, gpu, check, args...)
}

// Set makes readings of a GPU hold until it is healed. It returns what
// fault.Set and fault.Find do.
func Set(ctx context.Context, n Node, gpu string, r model.Readings) (model.Report, error) {
	check := func(d model.Device) error {
		_, err := fault.Set(d, r)
		return err
	}
	args := []string{"set", "--gpu", gpu}
	for _, reading := range []struct {
		flag  string
		value *int
	}{{"--temperature", r.Temperature}, {"--power", r.Power}, {"--utilization", r.Utilization}} {
		if reading.value != nil {
			args = append(args, reading.flag, strconv.Itoa(*reading.value))
		}
	}
	return change(ctx, n, gpu, check, args...)
}

// Heal mends a GPU, or all of the node where gpu is empty, and undoes what was
// set. It returns what fault.Find does.
func Heal(ctx context.Context, n Node, gpu string) (model.Report, error) {
	args := []string{"heal"}
	if gpu != "" {
		args = append(args, "--gpu", gpu)
	}
	return change(ctx, n, cmp.Or(gpu, "0"), func(model.Device) error { return nil }, args...)
}

// change asks for a change. What the node's state does not permit comes back as
// an error of its type and not as the words of a program; the state is only
// looked at then, since each look costs the engine a process.
func change(ctx context.Context, n Node, gpu string, check func(model.Device) error, args ...string) (model.Report, error) {
	r, err := ask(ctx, n, args...)
	if err == nil || ctx.Err() != nil {
		return r, err
	}
	content, unread := n.Run(ctx, nil, "cat", model.NodeDir+"/"+model.StateFile)
	if unread != nil {
		return r, err
	}
	state, unread := model.Decode(content)
	if unread != nil {
		return r, errors.Join(err, unread)
	}
	d, refused := fault.Find(state, gpu)
	if refused == nil {
		refused = check(d)
	}
	if refused != nil {
		return r, refused
	}
	return r, err
}

func ask(ctx context.Context, n Node, args ...string) (r model.Report, err error) {
	out, err := n.Run(ctx, nil, append([]string{model.AgentPath}, args...)...)
	if err != nil {
		return r, fmt.Errorf("ask ai-gpu on %s: %w", n, err)
	}
	if err := json.Unmarshal(out, &r); err != nil {
		return r, fmt.Errorf("read what ai-gpu on %s says: %w", n, err)
	}
	return r, nil
}
