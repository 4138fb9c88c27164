package command

import (
	"errors"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/driver"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/mig"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/spec"
)

// simulation are the flags that say what is simulated; real GPUs have nothing
// of it.
var simulation = []string{"profile", "mig", "mps"}

// changed returns the first of these flags that was given, "" for none.
func changed(flags *pflag.FlagSet, names ...string) string {
	for _, name := range names {
		if flags.Changed(name) {
			return name
		}
	}
	return ""
}

// real returns what the flags say of real GPUs, checked.
func (f gpuFlags) real(devices ...string) (spec.GPUs, error) {
	f.Profile = ""
	g := spec.GPUs{Devices: devices}
	if f.MIG != "" {
		return g, explain.Usagef("real GPUs are not cut here: make MIG devices on this machine with nvidia-smi mig")
	}
	if err := f.offer(&g); err != nil {
		return g, err
	}
	g.MIGStrategy, g.MIG = f.MIGStrategy, mig.Layout{}
	return g, g.Check()
}

// share divides this machine's GPUs among the nodes. A control plane that has
// workers takes no pods, so it gets none.
func (n *nodeFlags) share(d driver.Driver, flags *pflag.FlagSet) ([]spec.GPUs, error) {
	takers := max(1, n.Nodes-1)
	shares := d.Divide(takers)
	if flags.Changed("gpus-per-node") {
		shares = nil
		if n.PerNode > 0 && n.PerNode*takers <= len(d.GPUs) {
			for i := range takers {
				some := driver.Driver{GPUs: d.GPUs[i*n.PerNode : (i+1)*n.PerNode]}
				shares = append(shares, some.Divide(1)[0])
			}
		}
	}
	if shares == nil {
		return nil, explain.Usagef("this machine has %d GPUs: too few for %d nodes with as many each", len(d.GPUs), takers)
	}
	nodes := make([]spec.GPUs, n.Nodes)
	for i, share := range shares {
		g, err := n.gpuFlags.real(share...)
		if err != nil {
			return nil, err
		}
		nodes[n.Nodes-takers+i] = g
	}
	return nodes, nil
}

// machine is what matters of this machine to nodes with real GPUs.
type machine struct {
	driver driver.Driver
	err    error // of driver.Find
}

// unfit says why nodes cannot have the machine's GPUs, nil if they can.
func (m machine) unfit(e *engine.Engine) error {
	if m.err == nil && e.Rootless {
		return &explain.RootlessError{Engine: e.Name}
	}
	return m.err
}

// chooseGPUs makes of what was asked for what each node will have. With auto,
// real GPUs are taken where they can be had and nothing was said of what to
// simulate.
func (o *SandboxCreateOptions) chooseGPUs(m machine, e *engine.Engine, flags *pflag.FlagSet) (err error) {
	unfit := m.unfit(e)
	listed := slices.ContainsFunc(o.nodes, spec.GPUs.Real)
	switch {
	case listed && len(o.Node) > 0:
		if unfit != nil {
			return unfit
		}
		return o.resolve(m.driver)
	case o.GPUs == cluster.RealGPUs:
		if unfit != nil {
			return unfit
		}
		o.nodes, err = o.share(m.driver, flags)
		return err
	case o.GPUs != "auto":
		return nil
	case errors.Is(unfit, driver.ErrNoDriver):
		o.Talk("--gpus auto: no NVIDIA driver on this machine; GPUs are simulated and compute nothing")
	case unfit != nil:
		o.Talk("--gpus auto: %v; GPUs are simulated and compute nothing", unfit)
	case len(o.Node) > 0 || changed(flags, simulation...) != "":
		o.Talk("--gpus auto: this machine has the NVIDIA driver %s; GPUs are simulated, as the flags ask, and compute nothing", m.driver.Version)
	default:
		if o.nodes, err = o.share(m.driver, flags); err == nil {
			o.Talk("--gpus auto: this machine has the NVIDIA driver %s and %d GPUs, which the nodes get; --gpus fake simulates", m.driver.Version, len(m.driver.GPUs))
		}
	}
	return err
}

// resolve replaces the devices of --node by what identifies them in a node.
func (o *SandboxCreateOptions) resolve(d driver.Driver) error {
	lists := make([][]string, len(o.nodes))
	for i, g := range o.nodes {
		lists[i] = g.Devices
	}
	lists, err := d.Resolve(lists)
	if err != nil {
		return err
	}
	for i := range o.nodes {
		o.nodes[i].Devices = lists[i]
	}
	return nil
}

// driverMounts are the driver's files for every node with real GPUs.
func driverMounts(nodes []spec.GPUs, d driver.Driver) [][]cluster.Mount {
	mounts := make([][]cluster.Mount, len(nodes))
	for i, g := range nodes {
		if !g.Real() {
			continue
		}
		for _, file := range d.Files {
			mounts[i] = append(mounts[i], cluster.Mount{Machine: file, Node: driver.NodeRoot + file})
		}
	}
	return mounts
}

// nature says of the GPUs of a sandbox whether they compute.
func nature(mode string) string {
	switch mode {
	case cluster.RealGPUs:
		return "this machine's own"
	case cluster.MixedGPUs:
		return "simulated but for this machine's own: simulated ones compute nothing"
	}
	return "simulated: they are scheduled and seen, and compute nothing"
}

// deviceList reads devices=0-3:GPU-….
func deviceList(value string) []string { return strings.Split(value, ":") }

// migStrategies are the values of --mig-strategy.
var migStrategies = []string{"", model.MIGNone, model.MIGSingle, model.MIGMixed}
