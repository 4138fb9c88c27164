// Package agent is what runs in a node with GPUs: it keeps their state, which
// nvidia-smi and others read, and offers them to the kubelet. One state goes to
// all, so that they cannot disagree.
//
// What simulated GPUs show is made of three things: the idle boards, the
// faults that were asked for (a file, which outlives agent and node), and what
// the containers that hold them do. Whenever one changes, the state is made
// anew, and so are the list of the kubelet, the metrics, and Events on the
// Node.
package agent

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path"
	"runtime"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/deviceplugin"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/nodeobject"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/nvmllib"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/spec"
)

// Agent serves the GPUs of one node. Run it once.
type Agent struct {
	Spec      spec.Node
	State     model.State // as the source shows it
	StateDir  string      // model.NodeDir
	PluginDir string      // deviceplugin.DefaultDir
	Log       *slog.Logger
	// CDIKind is how containers get real GPUs: as kind=UUID, by CDI. Without,
	// GPUs are simulated, and containers get what shows them.
	CDIKind string
	// Watch shows real GPUs anew whenever they change, until ctx ends.
	Watch func(ctx context.Context, show func(model.State) error) error

	Proc         string // the processes of the node: "/proc"
	PodResources string // holders.DefaultSocket
	Kubeconfig   string // nodeobject.DefaultKubeconfig; "": no labels and Events
	Metrics      string // address of the metrics, ":9400"; "": none

	offers map[string]*deviceplugin.Inventory // by resource
	node   node                               // nil: none
}

// node is the Node object.
type node interface {
	Event(warning bool, reason, message string)
	Run(ctx context.Context) error
}

// Run offers the GPUs until ctx ends.
func (a *Agent) Run(ctx context.Context) error {
	a.State.Sharing, a.State.MIGStrategy = a.Spec.GPUs.Sharing, a.Spec.GPUs.MIGStrategy
	a.offers = map[string]*deviceplugin.Inventory{}
	for resource := range a.State.Units() {
		a.offers[resource] = deviceplugin.NewInventory()
	}
	if a.Kubeconfig != "" {
		a.node = nodeobject.New(a.Spec.Name, a.Kubeconfig, a.State.Labels(machine(), time.Now()), a.Log)
	}
	r := &readings{idle: a.State, publish: a.publish, tell: a.tell}
	// Before the first registration: a pod that gets a GPU can read it.
	if err := a.begin(r); err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	for _, resource := range slices.Sorted(maps.Keys(a.offers)) {
		o := a.options(resource)
		a.Log.Info("GPUs", "resource", resource, "units", a.offers[resource].Len(), "product", a.State.Devices[0].Name, "simulated", a.State.Simulated)
		group.Go(func() error { return deviceplugin.New(a.offers[resource], o).Run(ctx) })
	}
	group.Go(func() error { return a.watchUse(ctx, r) })
	if a.State.Simulated {
		group.Go(func() error { return a.watchFaults(ctx, r) })
	}
	if a.node != nil {
		group.Go(func() error { return a.node.Run(ctx) })
	}
	if a.Metrics != "" {
		group.Go(func() error { return a.serveMetrics(ctx, r) })
	}
	if a.Watch != nil {
		group.Go(func() error { return a.Watch(ctx, a.see(r)) })
	}
	return group.Wait()
}

// see shows real GPUs as they are now, and with the next change again if that
// fails.
func (a *Agent) see(r *readings) func(model.State) error {
	return func(s model.State) error {
		if err := r.seen(s); err != nil {
			a.Log.Error("the GPUs are not shown", "error", err)
		}
		return nil
	}
}

// begin shows the GPUs for the first time, with the faults of before.
func (a *Agent) begin(r *readings) error {
	if before, err := model.Read(a.StateDir); err == nil {
		r.shown = before // so that old faults are no news
	}
	faults, err := ReadFaults(a.StateDir)
	if err != nil {
		a.Log.Error("the faults of before are lost", "error", err)
	}
	return r.failed(faults)
}

// machine is the machine's model as its firmware has it; some have none.
func machine() string {
	content, err := os.ReadFile("/sys/class/dmi/id/product_name")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(content))
}

// publish makes a state the node's: readers of the file and the kubelet see it.
func (a *Agent) publish(s model.State) error {
	if err := model.Write(a.StateDir, s); err != nil {
		return err
	}
	units := s.Units()
	for resource, inventory := range a.offers {
		inventory.Set(a.devices(s, units[resource])...)
	}
	return nil
}

// devices returns units as the kubelet hears of them.
func (a *Agent) devices(s model.State, units []model.Unit) []deviceplugin.Device {
	gpus := map[string]model.Device{}
	for _, d := range s.Devices {
		gpus[d.UUID] = d
	}
	list := make([]deviceplugin.Device, len(units))
	for i, u := range units {
		gpu := gpus[u.GPU]
		list[i] = deviceplugin.Device{ID: u.ID, Healthy: u.Healthy, Shows: u.UUID, Group: u.GPU}
		if u.UUID == u.GPU && !s.Sharing.Shared() { // whole GPUs lie together where NVLink joins them
			if joined := gpu.NVLinkGroup; joined > 1 {
				list[i].Group = fmt.Sprint("NVLink ", gpu.Index/joined)
			}
		}
		if a.Spec.GPUs.NUMA {
			list[i].NUMA = gpu.NUMANode + 1
		}
	}
	return list
}

// mounts are what a pod with simulated GPUs finds: nvidia-smi, the library that other
// programs look at GPUs with, and the state that both read.
func (a *Agent) mounts() []deviceplugin.Mount {
	list := []deviceplugin.Mount{{Source: model.SMIPath, Target: model.SMIPath}, {Source: a.StateDir, Target: model.PodDir}}
	for _, dir := range nvmllib.Folders(runtime.GOARCH) {
		list = append(list, deviceplugin.Mount{Source: model.NVMLPath, Target: path.Join(dir, nvmllib.Name)})
	}
	return list
}

// mpsPipe is where a program looks for the MPS daemon of its node. Simulated
// GPUs have none.
const mpsPipe = "/mps/nvidia.com/gpu/pipe"

func (a *Agent) options(resource string) deviceplugin.Options {
	o := deviceplugin.Options{
		Resource:    resource,
		Dir:         a.PluginDir,
		Variable:    model.VisibleDevices,
		CDIKind:     a.CDIKind,
		Distributed: a.Spec.GPUs.Allocation == spec.Distributed || a.Spec.GPUs.Allocation == "" && a.Spec.GPUs.Sharing.Shared(),
		Log:         a.Log.With("resource", resource),
	}
	if a.CDIKind == "" {
		o.Mounts = a.mounts()
	}
	if a.Spec.GPUs.Sharing.Strategy == model.MPS {
		o.Environment = map[string]string{"CUDA_MPS_PIPE_DIRECTORY": mpsPipe}
	}
	return o
}
