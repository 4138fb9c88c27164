package smi

import (
	"fmt"
	"strings"

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

// shortenPath cuts a name to so many characters; of a longer one the end is
// shown.
func shortenPath(name string, most int) string {
	if len(name) <= most {
		return name
	}
	return "..." + name[len(name)-most+3:]
}

func (t *tool) processTable(l layout, devices []model.Device) {
	full := rule("-", l.wide())
	t.lines(full, l.line(" Processes:"))
	t.lines(l.processHead...)
	t.lines(doubleRule(l.wide()))
	// A name has the column to the memory's heading, less a blank.
	column := strings.Index(l.processHead[0], "GPU Memory") - strings.Index(l.processHead[0], "Process name")
	found := false
	for _, d := range devices {
		for _, p := range processes(d) {
			found = true
			t.lines(fmt.Sprintf(l.processRow, d.Index, middleOf3(p.gpuInstance), middleOf3(p.computeInstance),
				p.PID, processType, shortenPath(p.Name, column-1), model.MiB(p.UsedMemoryBytes)))
		}
	}
	if !found {
		t.lines(l.line("  No running processes found"))
	}
	t.lines(full)
}

// middleOf3 centres an id, or N/A, in three columns.
func middleOf3(id string) string {
	if len(id) >= 3 {
		return id
	}
	return fmt.Sprintf("%2s ", id)
}
