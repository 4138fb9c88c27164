// Package demo goes through the whole life of a model by the commands that a
// user would type, one after the other, each shown before it runs: two
// clusters, data, training, validation, serving, monitoring, drift, a retrain
// run that an alert starts, and the promotion of what came out of it.
package demo

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"time"
)

// Cluster is what the demo asks of clusters besides kubectl ai's own commands.
type Cluster interface {
	// Alerts returns the names of the alerts that fire in a namespace's
	// Prometheus.
	Alerts(ctx context.Context, kubeContext, namespace string) ([]string, error)
	// Held says whether the engine of this machine has an image, which is then
	// loaded; others are pulled by the nodes.
	Held(ctx context.Context, image string) (bool, error)
}

// Demo is one way through.
type Demo struct {
	Dir        string // of the bundle, made when missing
	Sandbox    string // name of the cluster to work in, made when missing
	Production string // name of the cluster to promote to, made when missing
	Program    string // kubectl-ai itself
	Cluster    Cluster
	Out        io.Writer // what the demo and the commands say
	ErrOut     io.Writer

	step  int
	began time.Time
}

// StepError says which step did not work.
type StepError struct {
	Step string
	Err  error
}

func (e *StepError) Error() string { return fmt.Sprintf("%s: %v", e.Step, e.Err) }
func (e *StepError) Unwrap() error { return e.Err }

// Environments of the sample.
const (
	staging = "staging"
	live    = "live"
	// stagingNamespace is where staging's overlay puts its objects.
	stagingNamespace = "digits-staging"
)

// drifts is the alert that fires when what is asked moved away from what was
// trained on.
const drifts = "ModelDrift"

type step struct {
	title string
	do    func(context.Context) error
}

// Run goes through all steps. It returns a *StepError. Clusters and bundle
// stay, and the same call goes through them again.
func (d *Demo) Run(ctx context.Context) error {
	d.began = time.Now()
	steps := d.steps()
	for i, s := range steps {
		d.step = i + 1
		_, _ = fmt.Fprintf(d.Out, "\n── %d/%d %s (at %s)\n", d.step, len(steps), s.title, time.Since(d.began).Round(time.Second))
		if err := s.do(ctx); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return &StepError{s.title, err}
		}
	}
	_, _ = fmt.Fprintf(d.Out, "\nThe whole life of a model in %s. All of it is still there:\n"+
		"  %s            the bundle: code, overlays, components\n"+
		"  kubectl ai runs list %[2]s -e staging\n"+
		"  kubectl ai history %[2]s --to live\n"+
		"  kubectl ai demo --teardown %[2]s    deletes both clusters\n", time.Since(d.began).Round(time.Second), d.Dir)
	return nil
}

func (d *Demo) steps() []step {
	run := func(stage string, more ...string) func(context.Context) error {
		return d.ai(append([]string{"run", d.Dir, "-e", staging, "--stage", stage, "--wait"}, more...)...)
	}
	return []step{
		{"A cluster on this machine, and another one as production", d.clusters},
		{"A bundle: code, a kustomize tree, and the local twins of Kafka, S3 and Prometheus", d.bundle},
		{"Hot reload: the code runs in two ranks, which prove it by its digest", d.ai("dev", d.Dir, "--once")},
		{"Digits come in by a Kafka topic, a dozen of them without a label", run("feed", "--set", "BROKEN=12")},
		{"They are checked, split by hash and kept in a bucket, by shards", run("data")},
		{"Training on two ranks", run("train")},
		{"Validation, on digits that training never saw", d.ai("validate", d.Dir, "-e", staging)},
		{"Serving and monitoring: the bundle is promoted to staging", d.ai("promote", d.Dir, "--to", staging, "--yes", "-o", "name")},
		{"Users ask what they were expected to ask", d.both(run("users"), d.settled)},
		{"Then they ask something else, and Prometheus notices", d.both(run("feed", "--set", "DRIFT=1", "--set", "SEED=8"), run("users", "--set", "DRIFT=1"), d.alert)},
		{"The alert starts a run that retrains", d.retrained},
		{"The new model passes validation", d.ai("validate", d.Dir, "-e", staging, "--save-model", d.Dir+"/overlays/live")},
		{"It goes to production", d.both(d.ai("promote", d.Dir, "--to", live, "--yes", "-o", "name"), d.ai("dev", d.Dir, "--cleanup", "--yes"))},
		{"What happened, and what it took", d.both(d.ai("runs", "list", d.Dir, "-e", staging), d.ai("history", d.Dir, "--to", live), d.ai("status", d.Dir, "-e", staging))},
	}
}

// both does one thing after the other.
func (d *Demo) both(all ...func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		for _, do := range all {
			if err := do(ctx); err != nil {
				return err
			}
		}
		return nil
	}
}

// ai runs a command of kubectl ai, which is shown first.
func (d *Demo) ai(args ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		d.show(args)
		cmd := exec.CommandContext(ctx, d.Program, args...)
		cmd.Cancel = func() error { return nil } // it is told by the terminal, as we are, and cleans up
		cmd.Stdout, cmd.Stderr = d.Out, d.ErrOut
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("kubectl ai %s: %w", args[0], err)
		}
		return nil
	}
}

// read runs a command and decodes the JSON that it prints.
func (d *Demo) read(ctx context.Context, into any, args ...string) error {
	var out, said bytes.Buffer
	cmd := exec.CommandContext(ctx, d.Program, append(args, "-o", "json")...)
	cmd.Stdout, cmd.Stderr = &out, &said
	cmd.WaitDelay = time.Second
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("kubectl ai %s: %w\n%s", args[0], err, said.Bytes())
	}
	if err := json.Unmarshal(out.Bytes(), into); err != nil {
		return fmt.Errorf("kubectl ai %s: %w", args[0], err)
	}
	return nil
}

func (d *Demo) show(args []string) {
	_, _ = fmt.Fprintf(d.Out, "$ kubectl ai %s\n", strings.Join(args, " "))
}

// ErrTooLong says that something that had to happen did not.
var ErrTooLong = errors.New("it did not happen")

// await asks until there is an answer.
func await(ctx context.Context, patience time.Duration, what string, ask func(context.Context) (bool, error)) error {
	deadline := time.Now().Add(patience)
	var last error
	for time.Now().Before(deadline) {
		done, err := ask(ctx)
		if done {
			return nil
		}
		last = err
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(time.Second):
		}
	}
	return errors.Join(fmt.Errorf("%w within %v: %s", ErrTooLong, patience, what), last)
}
