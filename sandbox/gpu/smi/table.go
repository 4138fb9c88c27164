package smi

import (
	"fmt"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// Widths are those of driver 590's table.
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

// table prints the summary.
func (t *tool) table(devices []model.Device) {
	full, thirds := rule("-", wide), rule("-", left, middle, right)
	line := func(format string, args ...any) { t.print(fmt.Sprintf(format, args...) + "\n") }
	line("%s       ", t.Now.Format("Mon Jan _2 15:04:05 2006"))
	line("%s", full)
	line("| NVIDIA-SMI %-22s Driver Version: %-14s CUDA Version: %-8s |", t.state.DriverVersion, t.state.DriverVersion, t.state.CUDAVersion)
	line("%s", thirds)
	line("| GPU  Name                 Persistence-M | Bus-Id          Disp.A | Volatile Uncorr. ECC |")
	line("| Fan  Temp   Perf          Pwr:Usage/Cap |           Memory-Usage | GPU-Util  Compute M. |")
	line("|                                         |                        |               MIG M. |")
	line("|%s|", strings.Trim(rule("=", left, middle, right), "+"))
	for _, d := range devices {
		line("| %3d  %-31s%-3s |%19s %-3s |%21s |", d.Index, shorten(d.Name), onOff(d.PersistenceEnabled), d.PCIBusID, "Off", "0")
		line("| N/A  %3dC    %-3s%15s / %5s |%8dMiB / %6dMiB |%7d%% %12s |",
			d.Temperature, fmt.Sprintf("P%d", d.PerformanceState), watts(d.PowerMilliwatts), watts(d.PowerLimit),
			model.MiB(d.UsedMemoryBytes), d.MemoryMiB(), d.Utilization, "Default")
		line("| %39s | %22s | %20s |", "", "", enabled(d.MIGEnabled, d.MIGCapable, "N/A"))
		line("%s", thirds)
	}
	line("")
	line("%s", full)
	line("| Processes:                                                                              |")
	line("|  GPU   GI   CI              PID   Type   Process name                        GPU Memory |")
	line("|        ID   ID                                                               Usage      |")
	line("|%s|", strings.Trim(rule("=", wide), "+"))
	line("|  No running processes found                                                             |")
	line("%s", full)
	if t.state.Simulated {
		line("(simulated by kubectl-ai)")
	}
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

func enabled(on, capable bool, otherwise string) string {
	switch {
	case !capable:
		return otherwise
	case on:
		return "Enabled"
	}
	return "Disabled"
}

func watts(milliwatts int) string { return fmt.Sprintf("%dW", milliwatts/1000) }
