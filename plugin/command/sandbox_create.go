package command

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/term"
	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/driver"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/install"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/spec"
	"github.com/kubectl-ai/kubectl-ai/sandbox/registry"
)

// SandboxCreateOptions are the flags of `sandbox create`.
type SandboxCreateOptions struct {
	Name string
	nodeFlags
	GPUs          string
	Config        string
	Registry      bool
	RegistryPort  int
	Image         string
	Wait          time.Duration
	Retain        bool
	SwitchContext bool

	nodes     []spec.GPUs // those of each node
	driver    driver.Driver
	config    *cluster.UserConfig
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
		Long: `Make a Kubernetes cluster in containers on this machine, with GPUs and, if asked
for, a registry that this machine and the nodes reach by one name.

GPUs are this machine's own where it has an NVIDIA driver, and simulated
elsewhere, or with --gpus fake. Real GPUs need no NVIDIA runtime and no change of
the engine's settings: nodes see the driver's files read-only, and pods get them
with their GPUs by CDI. Several nodes share the machine's GPUs out, or have those
that --node devices= lists.

--config takes a configuration of kind's (v1alpha4) as it is: its nodes, images,
mounts, ports, networking, feature gates and patches hold. What a sandbox sets
itself (GPUs within a second in a node's status, among others) gives way to it.

It makes containers whose names begin with the sandbox's, the network "kind" if
that is missing, and entries named kind-NAME in your kubeconfig. It never changes
your current context (unless --switch-context), the engine's settings, or other
clusters. If it fails or is interrupted, all of that is removed again.

Exit codes: 0 made, 1 failed, 2 usage, 3 no engine, no node image, no driver for
real GPUs or a taken port, 130 interrupted.`,
		Example: `  kubectl ai sandbox create
  kubectl ai sandbox create --nodes 2 --gpus-per-node 4 --profile a100-80
  kubectl ai sandbox create --mig all-1g.10gb        # nvidia.com/mig-1g.10gb: 56
  kubectl ai sandbox create --time-slicing 4         # nvidia.com/gpu: 32
  kubectl ai sandbox create --node gpus=0 --node profile=h100,count=2 --node profile=l4,gpus=4
  kubectl ai sandbox create --gpus real --nodes 3    # the GPUs divided between two workers
  kubectl ai sandbox create --node gpus=0 --node devices=0-1 --node profile=h100,gpus=8
  kubectl ai sandbox create --config kind.yaml       # your nodes, mounts, ports, patches
  kubectl ai sandbox create --name team --registry
  kubectl --context kind-ai get nodes`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cmd.Flags().Changed("registry-port") {
				o.Registry = true
			}
			if err := o.readConfig(cmd.Flags()); err != nil {
				return err
			}
			if err := o.Validate(cmd.Flags()); err != nil {
				return err
			}
			if err := o.Complete(cmd.Context(), f, cmd.Flags()); err != nil {
				return err
			}
			return o.Run(cmd.Context())
		},
	}
	addSandboxName(cmd, f, &o.Name)
	flags := cmd.Flags()
	o.add(flags)
	flags.StringVar(&o.GPUs, "gpus", "auto", "GPUs of the nodes: auto (real if there are any, else simulated), real, fake (simulated, they compute nothing) or none")
	flags.StringVar(&o.Config, "config", "", "kind configuration to make it from, - for standard input; its nodes take the place of --nodes")
	flags.BoolVar(&o.Registry, "registry", false, "run a registry beside it, shared by sandboxes")
	flags.IntVar(&o.RegistryPort, "registry-port", registry.DefaultPort, "port of the registry on 127.0.0.1; implies --registry")
	flags.StringVar(&o.Image, "image", "", "kind node image (default: kind's own, or one built on this machine)")
	flags.DurationVar(&o.Wait, "wait", 2*time.Minute, "how long nodes may take to become ready; 0s does not wait")
	flags.BoolVar(&o.Retain, "retain", false, "keep what there is of a sandbox that failed, for a look")
	flags.BoolVar(&o.SwitchContext, "switch-context", false, "make the new context your current one")
	completeWords(cmd, "gpus", gpuModes...)
	completeGPUs(cmd)
	return cmd
}

// readConfig reads the user's kind configuration, if there is one.
func (o *SandboxCreateOptions) readConfig(flags *pflag.FlagSet) (err error) {
	switch {
	case o.Config == "":
		return nil
	case flags.Changed("nodes"):
		return explain.Usagef("--config and --nodes exclude each other: the nodes are those of %s", o.Config)
	case o.Config == "-":
		o.config, err = cluster.ReadConfig(o.In)
	default:
		f, openErr := os.Open(o.Config)
		if openErr != nil {
			return explain.Usagef("--config: %v", openErr)
		}
		defer func() { _ = f.Close() }()
		o.config, err = cluster.ReadConfig(f)
	}
	if err != nil {
		return fmt.Errorf("--config %s: %w", o.Config, err)
	}
	o.Nodes = o.config.Nodes()
	if name := o.config.Name(); name != "" && !flags.Changed("name") {
		o.Name = name
	}
	return nil
}

// Validate checks the flags, all of them before it returns.
func (o *SandboxCreateOptions) Validate(flags *pflag.FlagSet) error {
	var errs []error
	if err := cluster.CheckName(o.Name); err != nil {
		errs = append(errs, err)
	}
	errs = append(errs, checkOneOf("gpus", o.GPUs, gpuModes...), o.validateGPUs(flags))
	if o.config != nil && len(o.Node) > 0 && len(o.nodes) > 0 && len(o.nodes) != o.config.Nodes() {
		errs = append(errs, explain.Usagef("--node says what %d nodes have, and --config %s has %d, the control plane first", len(o.nodes), o.Config, o.config.Nodes()))
	}
	if o.RegistryPort < 1 || o.RegistryPort > 65535 {
		errs = append(errs, explain.Usagef("--registry-port %d: 1 to 65535, please", o.RegistryPort))
	}
	if o.Wait < 0 {
		errs = append(errs, explain.Usagef("--wait %v: not negative, please", o.Wait))
	}
	return errors.Join(errs...)
}

// gpuModes are the values of --gpus.
var gpuModes = []string{"auto", cluster.RealGPUs, cluster.SimulatedGPUs, cluster.NoGPUs}

// validateGPUs reads what each node is to have, real GPUs as they were written.
func (o *SandboxCreateOptions) validateGPUs(flags *pflag.FlagSet) (err error) {
	switch {
	case o.GPUs == cluster.NoGPUs:
		o.nodes = make([]spec.GPUs, max(0, o.Nodes))
		return checkNodes("--nodes ", o.Nodes)
	case o.GPUs == cluster.RealGPUs && len(o.Node) == 0:
		if flag := changed(flags, simulation...); flag != "" {
			return explain.Usagef("--gpus real and --%s exclude each other: real GPUs are as they are", flag)
		}
		_, err := o.gpuFlags.real(driver.All)
		return errors.Join(checkNodes("--nodes ", o.Nodes), err)
	}
	if o.nodes, err = o.gpus(flags); err != nil {
		return err
	}
	switch real := slices.ContainsFunc(o.nodes, spec.GPUs.Real); {
	case real && o.GPUs == cluster.SimulatedGPUs:
		return explain.Usagef("--gpus fake and --node devices= exclude each other")
	case !real && o.GPUs == cluster.RealGPUs:
		return explain.Usagef("--gpus real and no --node with devices=: which GPUs is each node to have?")
	}
	return nil
}

// Complete finds the engine and checks, before anything is made, that what
// was asked for can be had.
func (o *SandboxCreateOptions) Complete(ctx context.Context, f *Factory, flags *pflag.FlagSet) (err error) {
	o.version, o.programs = f.Version, f.Payload
	if o.sandboxes, err = openSandboxes(ctx, f); err != nil {
		return err
	}
	found := machine{}
	found.driver, found.err = driver.Find("/")
	if err := o.chooseGPUs(found, o.sandboxes.Engine, flags); err != nil {
		return err
	}
	o.driver = found.driver
	if err := install.Check(o.programs, o.sandboxes.Engine.Arch, o.nodes); err != nil {
		return err
	}
	if o.Registry {
		return o.sandboxes.registries.Check(ctx, registry.Endpoint{Port: o.RegistryPort})
	}
	return nil
}

// Run makes the sandbox.
func (o *SandboxCreateOptions) Run(ctx context.Context) error {
	options := cluster.Options{
		Name: o.Name, Nodes: len(o.nodes), Image: o.Image, Config: o.config, Wait: o.Wait,
		Retain: o.Retain, SwitchContext: o.SwitchContext, Version: o.version,
		GPUs: cluster.Equip(o.nodes), Mounts: driverMounts(o.nodes, o.driver),
	}
	if o.Registry {
		options.Registry = o.RegistryPort
		options.Provision = append(options.Provision, o.provisionRegistry)
	}
	if options.GPUs.Mode != cluster.NoGPUs {
		options.Provision = append(options.Provision, provisionGPUs(o.programs))
	}
	c, err := o.sandboxes.Create(ctx, options)
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(o.Out, "sandbox/%s created\n", c.Name)
	o.Talk("")
	o.Talk("  context   %s", c.Context())
	if mode := options.GPUs.Mode; mode != cluster.NoGPUs {
		o.Talk("  GPUs      %s, %s", equipment(o.nodes), nature(mode))
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
