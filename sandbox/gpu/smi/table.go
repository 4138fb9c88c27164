package smi

import (
	"fmt"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

func rule(fill string, widths ...int) string {
	var b strings.Builder
	b.WriteByte('+')
	for _, w := range widths {
		b.WriteString(strings.Repeat(fill, w) + "+")
	}
	return b.String()
}

// doubleRule separates headings from what they head.
func doubleRule(widths ...int) string {
	return "|" + strings.Trim(rule("=", widths...), "+") + "|"
}

// line fills a framed line.
func (l layout) line(text string) string {
	return fmt.Sprintf("|%-*s|", l.wide(), text)
}

func (t *tool) lines(lines ...string) { t.print(strings.Join(lines, "\n") + "\n") }

// showTable prints the summary.
func showTable(t *tool, o options) error {
	devices, err := t.choose(o.ids)
	if err != nil {
		return err
	}
	l := layoutOf(t.form)
	cells := rule("-", l.columns...)
	t.lines(t.now.Format(logTime)+"       ", rule("-", l.wide()), fmt.Sprintf(l.version, t.state.DriverVersion, t.state.DriverVersion, t.state.CUDAVersion), l.corner+cells[1:])
	t.lines(l.head...)
	t.lines(doubleRule(l.columns...))
	lost := false
	for _, d := range devices {
		t.lines(l.gpuRow(d)...)
		t.lines(cells)
		lost = lost || d.Fault.Lost
	}
	t.print("\n")
	t.migTable(l, devices)
	t.processTable(l, devices)
	if t.state.Simulated && t.Terminal {
		t.print("(simulated by kubectl-ai)\n")
	}
	if lost {
		return &silent{exitLost}
	}
	return nil
}

// errorCell is what stands in for a value that the driver could not read.
const errorCell = "ERR!"

func (l layout) gpuRow(d model.Device) []string {
	fan, temperature, perf, usage, limit := "N/A", fmt.Sprintf("%dC", d.Temperature), fmt.Sprintf("P%d", d.PerformanceState), watts(d.PowerMilliwatts), watts(d.PowerLimit)
	memory := fmt.Sprintf("%dMiB / %*dMiB", model.MiB(d.UsedMemoryBytes), l.memory, d.MemoryMiB())
	ecc, utilization, compute, mig := fmt.Sprint(d.Fault.ECC.Uncorrected), fmt.Sprintf("%d%%", d.Utilization), "Default", enabled(d.MIGEnabled, d.MIGCapable, "N/A")
	if d.MIGEnabled {
		ecc, utilization = "On", "N/A"
	}
	if d.Fault.Lost {
		fan, temperature, perf, usage, limit = errorCell, errorCell, errorCell, errorCell, errorCell
		memory, ecc, utilization, compute, mig = "GPU is lost", errorCell, errorCell, errorCell, errorCell
	}
	return []string{
		fmt.Sprintf(l.rows[0], d.Index, l.shorten(d.Name), onOff(d.PersistenceEnabled), d.PCIBusID, "Off", ecc),
		fmt.Sprintf(l.rows[1], fan, temperature, perf, usage, limit, memory, utilization, compute),
		fmt.Sprintf(l.rows[2], "", "", mig),
	}
}

func (l layout) shorten(name string) string {
	if len(name) <= l.name {
		return name
	}
	return name[:l.name-len(l.cut)] + l.cut
}

func onOff(on bool) string {
	if on {
		return "On"
	}
	return "Off"
}

func watts(milliwatts int) string { return fmt.Sprintf("%dW", milliwatts/1000) }

// migTable prints the MIG devices of the GPUs that can have some.
func (t *tool) migTable(l layout, devices []model.Device) {
	cut, found := false, false
	for _, d := range devices {
		cut = cut || d.MIGEnabled && !d.Fault.Lost
	}
	if !cut {
		return
	}
	cells := rule("-", l.migColumns...)
	t.lines(rule("-", l.wide()), l.line(" MIG devices:"), cells)
	t.lines(l.migHead...)
	t.lines(doubleRule(l.migColumns...))
	for _, d := range devices {
		if d.Fault.Lost {
			continue
		}
		for i, m := range d.MIG {
			found = true
			e := m.Engines
			memory := fmt.Sprintf(l.migRow, model.MiB(m.UsedMemoryBytes), fmt.Sprintf("%5dMiB", model.MiB(m.MemoryBytes)))
			bar1 := fmt.Sprintf(l.migRow, 0, fmt.Sprintf("%5dMiB", model.MiB(bar1Share(d, m))))
			t.lines(
				fmt.Sprintf("|%3d  %3d %3d %3d  |%s| %-3d%6d |%3d %3d  %3d  %3d  %3d |", d.Index, m.GPUInstance, m.ComputeInstance, i, memory, m.Multiprocessors, 0, e.Copy, e.Encoder, e.Decoder, e.OFA, e.JPEG),
				fmt.Sprintf("|%18s|%s|%11s|%23s|", "", bar1, "", ""), cells)
		}
	}
	if !found {
		t.lines(l.line("  No MIG devices found"), rule("-", l.wide()))
	}
	t.print("\n")
}
