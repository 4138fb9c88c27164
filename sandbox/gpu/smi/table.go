package smi

import (
	"fmt"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// Widths are those of the captured drivers' table (590 on); older drivers have
// narrower ones, of which no capture is known here.
const (
	wide    = 89
	left    = 41
	middle  = 24
	right   = 22
	nameMax = 27 // longer names end in " ..."
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

// showTable prints the summary.
func showTable(t *tool, o options) error {
	devices, err := t.choose(o.ids)
	if err != nil {
		return err
	}
	thirds := rule("-", left, middle, right)
	t.printf("%s       \n%s\n%s\n%s\n", t.now.Format(logTime), rule("-", wide), t.versionLine(), thirds)
	t.print("| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |\n" +
		"| Fan  Temp   Perf          Pwr:Usage/Cap |           Memory-Usage | GPU-Util  Compute M. |\n" +
		"|                                         |                        |               MIG M. |\n" +
		doubleRule(left, middle, right) + "\n")
	lost := false
	for _, d := range devices {
		t.gpuRow(d)
		t.print(thirds + "\n")
		lost = lost || d.Fault.Lost
	}
	t.print("\n")
	t.migTable(devices)
	t.processTable(devices)
	if t.state.Simulated && t.Terminal {
		t.print("(simulated by kubectl-ai)\n")
	}
	if lost {
		return &silent{exitLost}
	}
	return nil
}

func (t *tool) versionLine() string {
	if t.form >= 610 {
		return fmt.Sprintf("| NVIDIA-SMI %-22s KMD Version: %-13s CUDA UMD Version: %-8s |", t.state.DriverVersion, t.state.DriverVersion, t.state.CUDAVersion)
	}
	return fmt.Sprintf("| NVIDIA-SMI %-22s Driver Version: %-14s CUDA Version: %-8s |", t.state.DriverVersion, t.state.DriverVersion, t.state.CUDAVersion)
}

// errorCell is what stands in for a value that the driver could not read.
const errorCell = "ERR!"

func (t *tool) gpuRow(d model.Device) {
	fan, temperature, perf, usage, limit := "N/A", fmt.Sprintf("%dC", d.Temperature), fmt.Sprintf("P%d", d.PerformanceState), watts(d.PowerMilliwatts), watts(d.PowerLimit)
	memory := fmt.Sprintf("%8dMiB / %6dMiB", model.MiB(d.UsedMemoryBytes), d.MemoryMiB())
	ecc, utilization, compute, mig := fmt.Sprint(d.Fault.ECC.Uncorrected), fmt.Sprintf("%d%%", d.Utilization), "Default", enabled(d.MIGEnabled, d.MIGCapable, "N/A")
	if d.MIGEnabled {
		ecc, utilization = "On", "N/A"
	}
	if d.Fault.Lost {
		fan, temperature, perf, usage, limit = errorCell, errorCell, errorCell, errorCell, errorCell
		memory, ecc, utilization, compute, mig = "GPU is lost", errorCell, errorCell, errorCell, errorCell
	}
	t.printf("| %3d  %-31s%-3s |%19s %-3s |%21s |\n", d.Index, shorten(d.Name), onOff(d.PersistenceEnabled), d.PCIBusID, "Off", ecc)
	t.printf("| %-4s%5s    %-4s%14s / %5s |%23s |%8s %12s |\n", fan, temperature, perf, usage, limit, memory, utilization, compute)
	t.printf("| %39s | %22s | %20s |\n", "", "", mig)
}

func shorten(name string) string {
	if len(name) <= nameMax {
		return name
	}
	return name[:nameMax-4] + " ..."
}

func onOff(on bool) string {
	if on {
		return "On"
	}
	return "Off"
}

func watts(milliwatts int) string { return fmt.Sprintf("%dW", milliwatts/1000) }

// migTable prints the MIG devices, where there are any.
func (t *tool) migTable(devices []model.Device) {
	line := rule("-", 18, 34, 11, 23)
	head := rule("-", wide) + "\n" +
		"| MIG devices:                                                                            |\n" + line + "\n" +
		"| GPU  GI  CI  MIG |              Shared Memory-Usage |        Vol|        Shared         |\n" +
		"|      ID  ID  Dev |                Shared BAR1-Usage | SM     Unc| CE ENC  DEC  OFA  JPG |\n" +
		"|                  |                                  |        ECC|                       |\n" +
		doubleRule(18, 34, 11, 23) + "\n"
	found := false
	for _, d := range devices {
		if d.Fault.Lost {
			continue
		}
		for i, m := range d.MIG {
			t.print(head)
			head, found = "", true
			e := m.Engines
			t.printf("|%3d  %3d %3d %3d  |%16dMiB / %-12s| %-3d%6d |%3d %3d  %3d  %3d  %3d |\n", d.Index, m.GPUInstance, m.ComputeInstance, i,
				model.MiB(m.UsedMemoryBytes), fmt.Sprintf("%5dMiB", model.MiB(m.MemoryBytes)), m.Multiprocessors, 0, e.Copy, e.Encoder, e.Decoder, e.OFA, e.JPEG)
			t.printf("|%18s|%16dMiB / %-12s|%11s|%23s|\n", "", 0, fmt.Sprintf("%5dMiB", model.MiB(bar1Share(d, m))), "", "")
			t.print(line + "\n")
		}
	}
	if found {
		t.print("\n")
	}
}
