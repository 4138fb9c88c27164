package command

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/fault"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// gpuList is what `sandbox gpu ls -o json` prints.
type gpuList struct {
	APIVersion string    `json:"apiVersion"`
	Kind       string    `json:"kind"`
	Items      []gpuItem `json:"items"`
}

// gpuItem is one GPU. Memory is in bytes, temperature in °C, power in W,
// utilisation in per cent.
type gpuItem struct {
	Node        string         `json:"node"`
	Index       int            `json:"index"`
	UUID        string         `json:"uuid"`
	Product     string         `json:"product"`
	Simulated   bool           `json:"simulated"`
	Healthy     bool           `json:"healthy"`
	XID         int            `json:"xid,omitempty"`
	Fault       string         `json:"fault,omitempty"`
	FaultSince  *time.Time     `json:"faultSince,omitempty"`
	Lost        bool           `json:"lost,omitempty"` // the readings below are none
	Utilization int            `json:"utilization"`
	Memory      uint64         `json:"memoryBytes"`
	MemoryUsed  uint64         `json:"memoryUsedBytes"`
	Temperature int            `json:"temperature"`
	Power       int            `json:"powerWatts"`
	Replicas    int            `json:"replicas"` // how often it is offered
	MIG         []migItem      `json:"mig,omitempty"`
	Holders     []holderItem   `json:"holders,omitempty"`
	Set         model.Readings `json:"set,omitzero"` // by hand
}

type migItem struct {
	UUID        string       `json:"uuid"`
	Profile     string       `json:"profile"`
	GPUInstance int          `json:"gpuInstance"`
	Utilization int          `json:"utilization"`
	Memory      uint64       `json:"memoryBytes"`
	MemoryUsed  uint64       `json:"memoryUsedBytes"`
	Holders     []holderItem `json:"holders,omitempty"`
}

// holderItem is a container that holds a device.
type holderItem struct {
	Namespace string     `json:"namespace"`
	Pod       string     `json:"pod"`
	Container string     `json:"container"`
	Since     *time.Time `json:"since,omitempty"` // when the node took its pod
}

// viewGPUs makes the list of what nodes report. started tells since when pods
// are on their node, by namespace/name; keep leaves GPUs out, nil none.
func viewGPUs(reports []model.Report, started map[string]time.Time, keep func(node string, d model.Device) bool) gpuList {
	list := gpuList{APIVersion: outputVersion, Kind: "GPUList", Items: []gpuItem{}}
	for _, r := range reports {
		of := func(uuid string) (items []holderItem) {
			for _, h := range model.HoldersOf(r.Holders, uuid) {
				item := holderItem{Namespace: h.Namespace, Pod: h.Pod, Container: h.Container}
				if at, ok := started[h.Namespace+"/"+h.Pod]; ok {
					item.Since = &at
				}
				items = append(items, item)
			}
			return items
		}
		for _, d := range r.State.Devices {
			if keep != nil && !keep(r.State.Node, d) {
				continue
			}
			item := gpuItem{
				Node: r.State.Node, Index: d.Index, UUID: d.UUID, Product: d.Name, Simulated: r.State.Simulated,
				Healthy: d.Healthy(), XID: d.Fault.XID, Fault: fault.Describe(d.Fault), Lost: d.Fault.Lost, Set: d.Fault.Set,
				Utilization: d.Utilization, Memory: d.MemoryBytes, MemoryUsed: d.UsedMemoryBytes,
				Temperature: d.Temperature, Power: d.PowerMilliwatts / 1000, Replicas: max(1, r.State.Sharing.Replicas), Holders: of(d.UUID),
			}
			if !d.Fault.Since.IsZero() {
				item.FaultSince = &d.Fault.Since
			}
			for _, m := range d.MIG {
				item.MIG = append(item.MIG, migItem{
					UUID: m.UUID, Profile: m.Profile, GPUInstance: m.GPUInstance,
					Utilization: m.Utilization, Memory: m.MemoryBytes, MemoryUsed: m.UsedMemoryBytes, Holders: of(m.UUID),
				})
			}
			list.Items = append(list.Items, item)
		}
	}
	return list
}

func (l gpuList) names() []string {
	names := make([]string, len(l.Items))
	for i, g := range l.Items {
		names[i] = "gpu/" + g.UUID
	}
	return names
}

// table prints the list for people; wide with what is seldom asked for.
func (l gpuList) table(w io.Writer, wide bool, now time.Time) error {
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	row := func(cells ...string) {
		if !wide {
			cells = cells[:len(cells)-4]
		}
		_, _ = fmt.Fprintln(t, strings.Join(cells, "\t"))
	}
	row("NODE", "GPU", "PRODUCT", "HEALTH", "UTIL", "MEMORY", "HELD BY", "UUID", "TEMP", "POWER", "REPLICAS")
	for _, g := range l.Items {
		util, memory, temperature, power := fmt.Sprintf("%d%%", g.Utilization), used(g.MemoryUsed, g.Memory), fmt.Sprintf("%d°C", g.Temperature), fmt.Sprintf("%dW", g.Power)
		if len(g.MIG) > 0 {
			util = "N/A"
		}
		if g.Lost {
			util, memory, temperature, power = "-", "-", "-", "-"
		}
		row(g.Node, fmt.Sprint(g.Index), g.Product, g.health(), util, memory, heldBy(g.Holders, now), g.UUID, temperature, power, fmt.Sprint(g.Replicas))
		for _, m := range g.MIG {
			util, memory := fmt.Sprintf("%d%%", m.Utilization), used(m.MemoryUsed, m.Memory)
			if g.Lost {
				util, memory = "-", "-"
			}
			row(g.Node, fmt.Sprintf("%d/%d", g.Index, m.GPUInstance), "MIG "+m.Profile, g.health(), util, memory, heldBy(m.Holders, now), m.UUID, "", "", fmt.Sprint(g.Replicas))
		}
	}
	return t.Flush()
}

func (g gpuItem) health() string {
	switch {
	case !g.Healthy:
		return g.Fault
	case g.Fault != "":
		return "ok (" + g.Fault + ")"
	}
	return "ok"
}

func used(used, all uint64) string {
	return fmt.Sprintf("%d/%dMiB", model.MiB(used), model.MiB(all))
}

func heldBy(holders []holderItem, now time.Time) string {
	var parts []string
	for _, h := range holders {
		part := h.Namespace + "/" + h.Pod + " (" + h.Container + ")"
		if h.Since != nil {
			part += " " + duration.HumanDuration(now.Sub(*h.Since))
		}
		parts = append(parts, part)
	}
	return orDash(strings.Join(parts, ", "))
}
