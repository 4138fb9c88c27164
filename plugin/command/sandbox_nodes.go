package command

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/pflag"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/mig"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/spec"
)

// maxNodes bounds the nodes of a sandbox: each is a container with a kubelet.
const maxNodes = 32

// nodeFlags say how many nodes a sandbox has and what GPUs each of them.
type nodeFlags struct {
	Nodes   int
	PerNode int
	gpuFlags
	Node []string // one or several nodes each, in place of the others
}

// gpuFlags are the GPUs of a node as flags, or as the parts of --node.
type gpuFlags struct {
	Profile     string
	MIG         string
	MIGStrategy string
	TimeSlicing int
	MPS         int
	Allocation  string
	NUMA        bool
}

func (n *nodeFlags) add(flags *pflag.FlagSet) {
	flags.IntVar(&n.Nodes, "nodes", 1, "number of nodes: a control plane that also takes pods, or a control plane and workers")
	flags.IntVar(&n.PerNode, "gpus-per-node", 8, "number of GPUs a node")
	flags.StringVar(&n.Profile, "profile", model.DefaultProfile, "GPU model to simulate: "+strings.Join(model.ProfileNames(), ", ")+", or a YAML file")
	flags.StringVar(&n.MIG, "mig", "", "cut the GPUs: all-PROFILE such as all-1g.10gb, or a file in the format of mig-parted")
	flags.StringVar(&n.MIGStrategy, "mig-strategy", "", "how MIG devices are offered: mixed (a resource each profile), single (as nvidia.com/gpu) or none (default mixed with --mig)")
	flags.IntVar(&n.TimeSlicing, "time-slicing", 0, "offer each GPU, or MIG device, so many times")
	flags.IntVar(&n.MPS, "mps", 0, "the same as MPS has it: labels and environment, no daemon")
	flags.StringVar(&n.Allocation, "allocation", "", "which free GPUs a container gets: packed (together) or distributed (default packed, distributed where GPUs are shared)")
	flags.BoolVar(&n.NUMA, "numa", false, "tell the kubelet on which NUMA node each GPU is")
	flags.StringArrayVar(&n.Node, "node", nil, "a node, or with count= several, in place of the flags above: profile=h100,gpus=8,count=2 and mig=, mig-strategy=, time-slicing=, mps=, allocation=, numa=, or devices=0-3:GPU-…:MIG-… for GPUs of this machine; may be repeated")
}

// gpus returns the GPUs of each node, the control plane first.
func (n *nodeFlags) gpus(flags *pflag.FlagSet) ([]spec.GPUs, error) {
	if len(n.Node) == 0 {
		g, err := n.gpuFlags.spec(n.PerNode)
		if err := errors.Join(checkNodes("--nodes ", n.Nodes), err); err != nil {
			return nil, err
		}
		return slices.Repeat([]spec.GPUs{g}, n.Nodes), nil
	}
	for _, name := range []string{"nodes", "gpus-per-node", "profile", "mig", "mig-strategy", "time-slicing", "mps", "allocation", "numa"} {
		if flags.Changed(name) {
			return nil, explain.Usagef("--node and --%s exclude each other: give --node %s=", name, strings.TrimSuffix(name, "-per-node"))
		}
	}
	var nodes []spec.GPUs
	var errs []error
	for _, text := range n.Node {
		g, count, err := parseNode(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("--node %s: %w", text, err))
			continue
		}
		nodes = append(nodes, slices.Repeat([]spec.GPUs{g}, count)...)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return nodes, checkNodes("nodes in all: ", len(nodes))
}

func checkNodes(what string, n int) error {
	if n < 1 || n > maxNodes {
		return explain.Usagef("%s%d: 1 to %d, please", what, n, maxNodes)
	}
	return nil
}

// parseNode reads the value of --node.
func parseNode(text string) (g spec.GPUs, count int, err error) {
	f, gpus := gpuFlags{Profile: model.DefaultProfile}, 8
	count = 1
	var devices []string
	seen := map[string]bool{}
	for part := range strings.SplitSeq(text, ",") {
		key, value, ok := strings.Cut(part, "=")
		if !ok || value == "" {
			return g, 0, explain.Usagef("%q is no KEY=VALUE", part)
		}
		if seen[key] {
			return g, 0, explain.Usagef("%s is there twice", key)
		}
		seen[key] = true
		switch key {
		case "profile":
			f.Profile = value
		case "devices":
			devices = deviceList(value)
		case "mig":
			f.MIG = value
		case "mig-strategy":
			f.MIGStrategy = value
		case "allocation":
			f.Allocation = value
		case "gpus":
			gpus, err = strconv.Atoi(value)
		case "count":
			count, err = strconv.Atoi(value)
		case "time-slicing":
			f.TimeSlicing, err = strconv.Atoi(value)
		case "mps":
			f.MPS, err = strconv.Atoi(value)
		case "numa":
			f.NUMA, err = strconv.ParseBool(value)
		default:
			return g, 0, explain.Usagef("unknown %s; there are profile, gpus, devices, count, mig, mig-strategy, time-slicing, mps, allocation, numa", key)
		}
		if err != nil {
			return g, 0, explain.Usagef("%s=%s is no such value", key, value)
		}
	}
	if count < 1 || count > maxNodes {
		return g, 0, explain.Usagef("count=%d: 1 to %d, please", count, maxNodes)
	}
	if devices != nil {
		for _, key := range []string{"profile", "gpus", "count"} {
			if seen[key] {
				return g, 0, explain.Usagef("devices= and %s= exclude each other: a device is one node's, and nothing is simulated", key)
			}
		}
		g, err = f.real(devices...)
		return g, count, err
	}
	if gpus == 0 {
		return spec.GPUs{}, count, nil
	}
	g, err = f.spec(gpus)
	return g, count, err
}

// spec returns the GPUs of a node, checked.
func (f gpuFlags) spec(count int) (spec.GPUs, error) {
	g := spec.GPUs{Profile: f.Profile, Count: count, MIGStrategy: f.MIGStrategy, Allocation: f.Allocation, NUMA: f.NUMA}
	if count == 0 {
		return g, model.CheckCount(count)
	}
	if ext := filepath.Ext(f.Profile); ext == ".yaml" || ext == ".yml" {
		p, err := read(f.Profile, model.ReadProfile)
		if err != nil {
			return g, err
		}
		g.Profile, g.Custom = p.Name, &p
	} else if p, err := model.LookupProfile(f.Profile); err != nil {
		return g, err
	} else {
		g.Profile = p.Name // as the model spells it
	}
	if err := f.offer(&g); err != nil {
		return g, err
	}
	switch {
	case f.MIG == "" && f.MIGStrategy != "":
		return g, explain.Usagef("--mig-strategy without --mig: nothing is cut")
	case f.MIG != "":
		var err error
		if g.MIG, err = layout(f.MIG); err != nil {
			return g, err
		}
		g.MIGStrategy = cmp.Or(f.MIGStrategy, model.MIGMixed)
	}
	return g, g.Check()
}

// offer fills in how GPUs are offered, simulated or not.
func (f gpuFlags) offer(g *spec.GPUs) error {
	g.Allocation, g.NUMA = f.Allocation, f.NUMA
	if err := errors.Join(
		checkOneOf("mig-strategy", f.MIGStrategy, migStrategies...),
		checkOneOf("allocation", f.Allocation, "", spec.Packed, spec.Distributed),
	); err != nil {
		return err
	}
	switch {
	case f.TimeSlicing != 0 && f.MPS != 0:
		return explain.Usagef("--time-slicing and --mps exclude each other")
	case f.TimeSlicing != 0:
		g.Sharing = model.Sharing{Strategy: model.TimeSlicing, Replicas: f.TimeSlicing}
	case f.MPS != 0:
		g.Sharing = model.Sharing{Strategy: model.MPS, Replicas: f.MPS}
	}
	return nil
}

// layout reads the value of --mig.
func layout(text string) (mig.Layout, error) {
	if strings.HasPrefix(text, "all-") {
		return mig.Parse(text)
	}
	return read(text, mig.ReadFile)
}

// read opens a file that a flag names and reads it with parse.
func read[T any](path string, parse func(io.Reader) (T, error)) (T, error) {
	f, err := os.Open(path)
	if err != nil {
		var none T
		return none, explain.Usagef("%v", err)
	}
	defer func() { _ = f.Close() }()
	v, err := parse(f)
	if err != nil {
		return v, explain.Usagef("%s: %v", path, err)
	}
	return v, nil
}
