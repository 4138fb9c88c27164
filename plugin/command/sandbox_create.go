package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/term"
	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/install"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
	"github.com/kubectl-ai/kubectl-ai/sandbox/registry"
)

// SandboxCreateOptions are the flags of `sandbox create`.
type SandboxCreateOptions struct {
	Name          string
	Nodes         int
	GPUs          string
	GPUsPerNode   int
	Profile       string
	Registry      bool
	RegistryPort  int
	Image         string
	Wait          time.Duration
	Retain        bool
	SwitchContext bool

	version   string
	programs  fs.FS
	sandboxes *sandboxes
	term.Streams
}

func newCmdSandboxCreate(f *Factory) *cobra.Command {
	o := &SandboxCreateOptions{Streams: f.Streams}
	cmd := &cobra.Command{
		Use:   "create",
		Short: "Make a Kubernetes cluster with GPUs on this machine",
		Long: `Make a Kubernetes cluster in containers on this machine, with simulated GPUs and,
if asked for, a registry that this machine and the nodes reach by one name.

It makes containers whose names begin with the sandbox's, the network "kind" if
that is missing, and entries named kind-NAME in your kubeconfig. It never changes
your current context (unless --switch-context), the engine's settings, or other
clusters. If it fails or is interrupted, all of that is removed again.

Exit codes: 0 made, 1 failed, 2 usage, 3 no engine, no node image or a taken
port, 130 interrupted.`,
		Example: `  kubectl ai sandbox create
  kubectl ai sandbox create --nodes 2 --gpus-per-node 4 --profile a100-80
  kubectl ai sandbox create --name team --registry
  kubectl --context kind-ai get nodes`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("registry-port") {
				o.Registry = true
			}
			if err := o.Validate(); err != nil {
				return err
			}
			if err := o.Complete(cmd.Context(), f); err != nil {
				return err
			}
			return o.Run(cmd.Context())
		},
	}
	addSandboxName(cmd, f, &o.Name)
	flags := cmd.Flags()
	flags.IntVar(&o.Nodes, "nodes", 1, "number of nodes: a control plane that also takes pods, or a control plane and workers")
	flags.StringVar(&o.GPUs, "gpus", "auto", "GPUs of every node: auto, fake (simulated, they compute nothing) or none")
	flags.IntVar(&o.GPUsPerNode, "gpus-per-node", 8, "number of GPUs a node")
	flags.StringVar(&o.Profile, "profile", model.DefaultProfile, "GPU model to simulate: "+strings.Join(model.ProfileNames(), ", "))
	flags.BoolVar(&o.Registry, "registry", false, "run a registry beside it, shared by sandboxes")
	flags.IntVar(&o.RegistryPort, "registry-port", registry.DefaultPort, "port of the registry on 127.0.0.1; implies --registry")
	flags.StringVar(&o.Image, "image", "", "kind node image (default: kind's own, or one built on this machine)")
	flags.DurationVar(&o.Wait, "wait", 2*time.Minute, "how long nodes may take to become ready; 0s does not wait")
	flags.BoolVar(&o.Retain, "retain", false, "keep what there is of a sandbox that failed, for a look")
	flags.BoolVar(&o.SwitchContext, "switch-context", false, "make the new context your current one")
	completeWords(cmd, "gpus", "auto", "fake", "none")
	completeProfiles(cmd)
	return cmd
}

// Validate checks the flags, all of them before it returns.
func (o *SandboxCreateOptions) Validate() error {
	var errs []error
	if err := cluster.CheckName(o.Name); err != nil {
		errs = append(errs, err)
	}
	if o.GPUs == "real" {
		errs = append(errs, explain.Usagef("--gpus real: passing real GPUs through to nodes is not there yet; --gpus fake simulates them"))
	} else if err := checkOneOf("gpus", o.GPUs, "auto", "fake", "none"); err != nil {
		errs = append(errs, err)
	}
	if o.Nodes < 1 || o.Nodes > 32 {
		errs = append(errs, explain.Usagef("--nodes %d: 1 to 32, please", o.Nodes))
	}
	if o.GPUs != "none" {
		errs = append(errs, checkGPUs(&o.Profile, o.GPUsPerNode)...)
	}
	if o.RegistryPort < 1 || o.RegistryPort > 65535 {
		errs = append(errs, explain.Usagef("--registry-port %d: 1 to 65535, please", o.RegistryPort))
	}
	if o.Wait < 0 {
		errs = append(errs, explain.Usagef("--wait %v: not negative, please", o.Wait))
	}
	return errors.Join(errs...)
}

// Complete finds the engine and checks, before anything is made, that what
// was asked for can be had.
func (o *SandboxCreateOptions) Complete(ctx context.Context, f *Factory) (err error) {
	o.version, o.programs = f.Version, f.Payload
	if o.sandboxes, err = openSandboxes(ctx, f); err != nil {
		return err
	}
	if o.GPUs == "auto" {
		o.GPUs = "fake"
		if driver := hostDriver(); driver != "" {
			o.Talk("--gpus auto: this machine has the NVIDIA driver %s, which sandboxes do not use yet; GPUs are simulated and compute nothing", driver)
		} else {
			o.Talk("--gpus auto: no NVIDIA driver on this machine; GPUs are simulated and compute nothing")
		}
	}
	if o.GPUs != "none" {
		if err := install.Check(o.programs, o.sandboxes.Engine.Arch); err != nil {
			return err
		}
	}
	if o.Registry {
		return o.sandboxes.registries.Check(ctx, registry.Endpoint{Port: o.RegistryPort})
	}
	return nil
}

// Run makes the sandbox.
func (o *SandboxCreateOptions) Run(ctx context.Context) error {
	options := cluster.Options{
		Name: o.Name, Nodes: o.Nodes, Image: o.Image, Wait: o.Wait,
		Retain: o.Retain, SwitchContext: o.SwitchContext, Version: o.version,
		GPUs: cluster.GPUs{Mode: "none"},
	}
	if o.Registry {
		options.Registry = o.RegistryPort
		options.Provision = append(options.Provision, o.provisionRegistry)
	}
	if o.GPUs != "none" {
		options.GPUs = cluster.GPUs{Mode: o.GPUs, Profile: o.Profile, PerNode: o.GPUsPerNode}
		options.Provision = append(options.Provision, provisionGPUs(o.programs))
	}
	c, err := o.sandboxes.Create(ctx, options)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(o.Out, "sandbox/%s created\n", c.Name)
	o.Talk("")
	o.Talk("  context   %s", c.Context())
	if o.GPUs != "none" {
		o.Talk("  GPUs      %d × %s on every node, simulated: they are scheduled and seen, and compute nothing", o.GPUsPerNode, o.Profile)
	}
	if o.Registry {
		o.Talk("  registry  %s, from this machine and from pods", registry.Endpoint{Port: o.RegistryPort}.Host())
	}
	o.Talk("")
	o.Talk("next: kubectl --context %s get nodes", c.Context())
	return nil
}

func (o *SandboxCreateOptions) provisionRegistry(ctx context.Context, _ cluster.Cluster, nodes []cluster.Node, r cluster.Reporter) error {
	e := registry.Endpoint{Port: o.RegistryPort}
	r.Start("Start the registry on " + e.Host())
	err := o.sandboxes.registries.Ensure(ctx, e)
	if err == nil {
		err = registry.Wire(ctx, nodes, e)
	}
	r.End(err)
	return err
}
