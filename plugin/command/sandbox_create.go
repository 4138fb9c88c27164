package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/term"
	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/install"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/spec"
	"github.com/kubectl-ai/kubectl-ai/sandbox/registry"
)

// SandboxCreateOptions are the flags of `sandbox create`.
type SandboxCreateOptions struct {
	Name string
	nodeFlags
	GPUs          string
	Registry      bool
	RegistryPort  int
	Image         string
	Wait          time.Duration
	Retain        bool
	SwitchContext bool

	nodes     []spec.GPUs // those of each node
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
  kubectl ai sandbox create --mig all-1g.10gb        # nvidia.com/mig-1g.10gb: 56
  kubectl ai sandbox create --time-slicing 4         # nvidia.com/gpu: 32
  kubectl ai sandbox create --node gpus=0 --node profile=h100,count=2 --node profile=l4,gpus=4
  kubectl ai sandbox create --name team --registry
  kubectl --context kind-ai get nodes`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("registry-port") {
				o.Registry = true
			}
			if err := o.Validate(cmd.Flags()); err != nil {
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
	o.add(flags)
	flags.StringVar(&o.GPUs, "gpus", "auto", "GPUs of every node: auto, fake (simulated, they compute nothing) or none")
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
func (o *SandboxCreateOptions) Validate(flags *pflag.FlagSet) error {
	var errs []error
	if err := cluster.CheckName(o.Name); err != nil {
		errs = append(errs, err)
	}
	if o.GPUs == "real" {
		errs = append(errs, explain.Usagef("--gpus real: passing real GPUs through to nodes is not there yet; --gpus fake simulates them"))
	} else if err := checkOneOf("gpus", o.GPUs, "auto", "fake", "none"); err != nil {
		errs = append(errs, err)
	}
	if o.GPUs == "none" {
		errs = append(errs, checkNodes("--nodes ", o.Nodes))
		o.nodes = make([]spec.GPUs, max(0, o.Nodes))
	} else {
		var err error
		o.nodes, err = o.gpus(flags)
		errs = append(errs, err)
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
		Name: o.Name, Nodes: len(o.nodes), Image: o.Image, Wait: o.Wait,
		Retain: o.Retain, SwitchContext: o.SwitchContext, Version: o.version,
		GPUs: cluster.GPUs{Mode: "none"},
	}
	if o.Registry {
		options.Registry = o.RegistryPort
		options.Provision = append(options.Provision, o.provisionRegistry)
	}
	if o.GPUs != "none" {
		options.GPUs = cluster.Equip(o.GPUs, o.nodes)
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
		o.Talk("  GPUs      %s, simulated: they are scheduled and seen, and compute nothing", equipment(o.nodes))
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
