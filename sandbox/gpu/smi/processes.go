package smi

import (
	"fmt"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// processType is that of all processes here: compute.
const processType = "C"

// process is one with the instances that it runs on.
type process struct {
	model.Process
	gpuInstance, computeInstance string // "N/A" on a whole GPU
}

func processes(d model.Device) []process {
	var list []process
	for _, p := range d.Processes {
		list = append(list, process{p, "N/A", "N/A"})
	}
	for _, m := range d.MIG {
		for _, p := range m.Processes {
			list = append(list, process{p, fmt.Sprint(m.GPUInstance), fmt.Sprint(m.ComputeInstance)})
		}
	}
	return list
}

// processNameMax is what the table shows of a name; of a longer one, the end.
const processNameMax = 35

func shortenPath(name string) string {
	if len(name) <= processNameMax {
		return name
	}
	return "..." + name[len(name)-processNameMax+3:]
}

func (t *tool) processTable(devices []model.Device) {
	full := rule("-", wide)
	t.print(full + "\n" +
		"| Processes:                                                                              |\n" +
		"|  GPU   GI   CI              PID   Type   Process name                        GPU Memory |\n" +
		"|        ID   ID                                                               Usage      |\n" +
		doubleRule(wide) + "\n")
	found := false
	for _, d := range devices {
		for _, p := range processes(d) {
			found = true
			t.printf("|%5d   %s  %s %15d %6s   %-36s%7dMiB |\n", d.Index, middleOf3(p.gpuInstance), middleOf3(p.computeInstance),
				p.PID, processType, shortenPath(p.Name), model.MiB(p.UsedMemoryBytes))
		}
	}
	if !found {
		t.print("|  No running processes found                                                             |\n")
	}
	t.print(full + "\n")
}

// middleOf3 centres an id, or N/A, in three columns.
func middleOf3(id string) string {
	if len(id) >= 3 {
		return id
	}
	return fmt.Sprintf("%2s ", id)
}
