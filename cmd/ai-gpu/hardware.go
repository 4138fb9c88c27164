//go:build hardware

package main

import (
	"context"
	"io"

	"github.com/NVIDIA/nvidia-container-toolkit/cmd/nvidia-cdi-hook/commands"
	"github.com/sirupsen/logrus"
	"github.com/urfave/cli/v3"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/agent"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/passthrough"
)

// hardware fills in the GPUs of the machine that are this node's.
func hardware(ctx context.Context, a *agent.Agent) error {
	if err := passthrough.CheckRuntime(ctx); err != nil {
		return err
	}
	m, err := passthrough.Open(a.Log)
	if err != nil {
		return err
	}
	a.State, a.Spec, err = m.State(a.Spec)
	return err
}

// claim makes them this node's, and no others.
func claim(a *agent.Agent) error {
	m, err := passthrough.Open(a.Log)
	if err != nil {
		return err
	}
	if err := m.Isolate(a.State); err != nil {
		return err
	}
	a.CDIKind = passthrough.CDIKind
	a.Watch = func(ctx context.Context, show func(model.State) error) error { return m.Watch(ctx, a.Spec, show) }
	return m.WriteCDI(a.State)
}

// hook is NVIDIA's own nvidia-cdi-hook: it makes the driver's libraries known
// in a container's root folder before the container starts.
func hook(ctx context.Context, args []string, stderr io.Writer) int {
	log := logrus.New()
	log.SetOutput(stderr)
	c := commands.ConfigureCDIHookCommand(log, &cli.Command{
		Name: hookName, Usage: "prepares containers with GPUs, as a hook of their runtime",
	})
	if err := c.Run(ctx, args); err != nil {
		log.Error(err)
		return 1
	}
	return 0
}
