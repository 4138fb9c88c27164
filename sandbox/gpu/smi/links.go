package smi

import (
	"fmt"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// commands are the words that stand in place of options.
var commands = map[string]func(a *arguments) (options, error){
	"topo":   topo,
	"nvlink": nvlink,
	"mig":    migCommand,
	"dmon":   dmon,
	"pmon":   pmon,
}

// choice reads a command whose first option says what to show.
func choice(command string, a *arguments, choices map[string]func(t *tool, o options) error) (options, error) {
	var o options
	for a.next() {
		if show, ok := choices[a.name]; ok {
			o.action = show
			continue
		}
		if a.name != "-i" && a.name != "--id" {
			return o, usagef("%s %s is not simulated. Run 'nvidia-smi -h' for what is.", command, a.name)
		}
		if err := o.takeIDs(a); err != nil {
			return o, err
		}
	}
	if o.action == nil {
		return o, usagef("ERROR: Command %s is missing its option. Please run 'nvidia-smi -h' for help.", command)
	}
	return o, nil
}

func topo(a *arguments) (options, error) {
	return choice("topo", a, map[string]func(t *tool, o options) error{"-m": showTopology, "--matrix": showTopology})
}

func nvlink(a *arguments) (options, error) {
	return choice("nvlink", a, map[string]func(t *tool, o options) error{"-s": showLinks, "--status": showLinks})
}

const legend = `
Legend:

  X    = the GPU itself
  SYS  = over PCIe and between NUMA nodes
  NODE = over PCIe and between host bridges of a NUMA node
  PHB  = over PCIe and a host bridge
  PXB  = over several PCIe bridges
  PIX  = over one PCIe bridge
  NV#  = over # NVLinks

`

// showTopology prints how each two GPUs are joined.
func showTopology(t *tool, o options) error {
	devices, err := t.choose(o.ids)
	if err != nil {
		return err
	}
	heads := make([]string, len(devices))
	for i, d := range devices {
		heads[i] = fmt.Sprintf("GPU%d", d.Index)
	}
	t.printf("\t\x1b[4m%s\tCPU Affinity\tNUMA Affinity\tGPU NUMA ID\x1b[0m\n", strings.Join(heads, "\t"))
	for i, d := range devices {
		t.print(heads[i])
		for _, other := range devices {
			t.print("\t" + t.joined(d, other))
		}
		t.printf("\t%s\t%d\t\tN/A\n", t.CPUs, d.NUMANode)
	}
	t.print(legend)
	return nil
}

// joined tells how two GPUs are: by NVLink within a group, of which a node may
// have several in a row.
func (t *tool) joined(a, b model.Device) string {
	count, _ := links(a)
	switch {
	case a.UUID == b.UUID:
		return " X "
	case count > 0 && a.Minor/a.NVLinkGroup == b.Minor/a.NVLinkGroup && !a.MIGEnabled && !b.MIGEnabled:
		return fmt.Sprintf("NV%d", count)
	case a.NUMANode == b.NUMANode:
		return "NODE"
	}
	return "SYS"
}

// showLinks prints the NVLinks of each GPU.
func showLinks(t *tool, o options) error {
	return t.each(o.ids, func(d model.Device) {
		t.printf("GPU %d: %s (UUID: %s)\n", d.Index, d.Name, d.UUID)
		count, speed := links(d)
		switch {
		case d.MIGEnabled:
			t.print("Nvlink queries are not supported for Devices in MIG mode\n")
		case count == 0:
			t.print("Device does not have or support Nvlink\n")
		default:
			for i := range count {
				t.printf("\t Link %d: %s\n", i, speed)
			}
		}
	})
}
