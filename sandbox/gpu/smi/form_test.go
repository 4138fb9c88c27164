package smi

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/smi/form"
)

// board is a machine that was captured, and the state that simulates it.
type board struct {
	facts   string // in testdata/facts
	capture string // under KUBECTL_AI_SHARED; "" where only facts are here
	simulate
}

type simulate func(s *model.State, d *model.Device)

// What the captures mask.
const (
	maskedGPU    = "GPU-00000000-0000-0000-0000-000000000000"
	maskedSerial = "0000000000000"
)

var boards = []board{
	{"h100-590.48.01", "smi-h100-80gb-590.48.01.txt", func(_ *model.State, d *model.Device) { d.PCIBusID = "00000000:00:09.0" }},
	{"h100-mig-590.48.01", "smi-h100-mig-590.48.01.txt", cutH100},
	{"l40s-595.80", "smi-l40s-595.80.txt", l40s},
	{"a100-mig-535.54.03", "smi-qx-a100-sxm4-v12.xml", a100},
	{"t4-515.105.01", "smi-qx-tesla-t4.xml", t4},
	{"rtx2080super-610.57.04", "", func(s *model.State, d *model.Device) {
		t4(s, d)
		s.DriverVersion, s.CUDAVersion, d.Name = "610.57.04", "13.3", "NVIDIA GeForce RTX 2080 SUPER"
	}},
	{"rtx4000ada-595.84", "", func(s *model.State, d *model.Device) {
		l40s(s, d)
		s.DriverVersion, d.Name = "595.84", "NVIDIA RTX 4000 SFF Ada Generation"
		d.Processes = []model.Process{{PID: 4711, Namespace: 1, Name: "python"}}
	}},
}

func cutH100(_ *model.State, d *model.Device) {
	d.PCIBusID, d.MIGEnabled = "00000000:00:09.0", true
	d.Temperature, d.PowerMilliwatts, d.UsedMemoryBytes = 42, 98000, 59<<20
	part := func(uuid, profile string, instance, sm, engines int, mib, used uint64) model.MIGDevice {
		return model.MIGDevice{
			UUID: "MIG-" + uuid, Profile: profile, GPUInstance: instance, MemoryBytes: mib << 20, UsedMemoryBytes: used << 20, Multiprocessors: sm,
			GPUSlices: engines, ComputeSlices: engines, Engines: model.Engines{Copy: engines, Decoder: engines, JPEG: engines},
		}
	}
	d.MIG = []model.MIGDevice{
		part("00000000-0000-0000-0000-000000000000", "3g.40gb", 2, 60, 3, 40448, 26),
		part("00000001-0000-0000-0000-000000000001", "2g.20gb", 3, 32, 2, 20096, 17),
		part("00000002-0000-0000-0000-000000000002", "1g.10gb", 9, 16, 1, 9984, 9),
		part("00000003-0000-0000-0000-000000000003", "1g.10gb", 10, 16, 1, 9984, 9),
	}
}

func l40s(s *model.State, d *model.Device) {
	s.DriverVersion, s.NVMLVersion, s.CUDAVersion = "595.80", "13.595.80", "13.2"
	d.Name, d.Architecture, d.ComputeCapability, d.PCIBusID, d.PCIDeviceID = "NVIDIA L40S", "ada-lovelace", "8.9", "00000000:01:00.0", 0x26B910DE
	d.MIGCapable, d.NVLinkGroup, d.MemoryTemperature, d.PersistenceEnabled, d.PCIeGeneration = false, 0, 0, false, 4
	d.MemoryBytes, d.ReservedMemoryBytes = 46068<<20, 609<<20
	d.Temperature, d.Utilization, d.PowerMilliwatts, d.PowerLimit, d.MinPowerLimit = 64, 100, 242000, 350000, 100000
	d.GraphicsClock, d.MaxGraphicsClock, d.MemoryClock, d.MaxMemoryClock, d.VideoClock = 2520, 2520, 9001, 9001, 1965
}

func a100(s *model.State, d *model.Device) {
	s.DriverVersion, s.CUDAVersion = "535.54.03", "12.2"
	d.Name, d.Architecture, d.MIGEnabled = "NVIDIA A100-SXM4-80GB", "ampere", true
	d.MIG = []model.MIGDevice{{Profile: "1g.20gb", GPUInstance: 3}, {Profile: "1g.20gb", GPUInstance: 4}}
}

func t4(s *model.State, d *model.Device) {
	s.DriverVersion, s.CUDAVersion = "515.105.01", "11.7"
	d.Name, d.Architecture, d.MIGCapable, d.NVLinkGroup, d.MemoryTemperature = "Tesla T4", "turing", false, 0, 0
	d.Processes = []model.Process{{PID: 675, Namespace: 1, Name: "Xorg"}, {PID: 5762, Namespace: 1, Name: "python"}}
}

// as returns a container with the one GPU that is simulated.
func as(t *testing.T, simulate simulate) System {
	t.Helper()
	system := container(t, nil)
	state, err := model.Read(system.StateDirs...)
	if err != nil {
		t.Fatal(err)
	}
	d := state.Devices[0]
	d.UUID, d.Serial = maskedGPU, maskedSerial
	simulate(&state, &d)
	state.Simulated, state.Devices = false, []model.Device{d}
	if err := model.Write(system.StateDirs[1], state); err != nil {
		t.Fatal(err)
	}
	return system
}

// The form of what is simulated is that of the machine that was captured:
// fields, columns and units of --query-gpu, lines of -q, elements of -q -x,
// lines of the table. The facts are here; where the captures themselves are
// (KUBECTL_AI_SHARED says where), the facts are compared with them first.
func TestFormIsThatOfRealMachines(t *testing.T) {
	for _, b := range boards {
		t.Run(b.facts, func(t *testing.T) {
			facts := readFacts(t, b.facts)
			if capture, ok := readCapture(t, b.capture); ok {
				again, err := form.Of(capture)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(again, facts); diff != "" {
					t.Errorf("the facts are not those of the capture, -capture +facts:\n%s", diff)
				}
			}
			system := as(t, b.simulate)
			for name, want := range facts {
				if b.capture == "" && name == "table" {
					continue // a desktop's, with its programs
				}
				if diff := cmp.Diff(want, simulatedForm(t, system, name, facts)); diff != "" {
					t.Errorf("%s, -real +simulated:\n%s", name, diff)
				}
			}
		})
	}
}

// Driver 580.173.02, whose captures are not at hand as a whole, has the form of
// 590 but for what this says.
func TestDriver580(t *testing.T) {
	older := func(cut simulate) System {
		return as(t, func(s *model.State, d *model.Device) {
			cut(s, d)
			s.DriverVersion, s.CUDAVersion = "580.173.02", "13.0"
		})
	}
	insert := func(list []string, before string, line string) []string {
		at := slices.Index(list, before)
		return slices.Insert(slices.Clone(list), max(at, 0), line)
	}
	without := func(list []string, gone string) []string {
		return slices.DeleteFunc(slices.Clone(list), func(s string) bool { return strings.HasPrefix(strings.TrimSpace(s), gone) })
	}
	facts := readFacts(t, "h100-590.48.01")

	fields := without(facts["fields"], "edpp_multiplier")
	fields = insert(fields, "remapped_rows.uncorrectable remapped_rows.dbe", "remapped_rows.correctable_inactive")
	fields = insert(fields, "remapped_rows.pending", "remapped_rows.uncorrectable_inactive")
	fields = insert(fields, "platform.chassis_serial_number", "fabric.health.partition_assigned")
	if diff := cmp.Diff(fields, simulatedForm(t, older(boards[0].simulate), "fields", facts)); diff != "" {
		t.Errorf("fields, -real +simulated:\n%s", diff)
	}

	report := without(facts["report"], "EDPp Multiplier")
	report = insert(report, "        Uncorrectable Error                            : *", "        Inactive Correctable Error                     : *")
	report = insert(report, "        Remapping Failure Occurred                     : *", "        Inactive Uncorrectable Error                   : *")
	at := slices.Index(report, "        Remapping Failure Occurred                     : *")
	report[at-1], report[at-2] = report[at-2], report[at-1] // before Pending
	report = insert(report, "    Processes                                          : *", "            Partition Assigned                         : *")
	if diff := cmp.Diff(report, simulatedForm(t, older(boards[0].simulate), "report", facts)); diff != "" {
		t.Errorf("-q, -real +simulated:\n%s", diff)
	}

	cut, _ := smi(t, older(cutH100), "-q")
	for _, line := range []string{"\n        FB Memory Usage\n            Total                                      : 40448 MiB\n", "\n        BAR1 Memory\n            Total                                      : 24739 MiB\n"} {
		if !strings.Contains(cut, line) {
			t.Errorf("a MIG device has no %q", line)
		}
	}
	values, _ := smi(t, older(boards[0].simulate), "--query-gpu=power.management,clocks.applications.graphics,display_mode --format=csv,noheader")
	if values != "Enabled, 1980 MHz, [Requested functionality has been deprecated]\n" {
		t.Errorf("values %q", values)
	}
}

func simulatedForm(t *testing.T, system System, name string, facts form.Facts) []string {
	t.Helper()
	var fields []string
	for _, h := range facts["header"] {
		field, _, _ := strings.Cut(h, " [")
		fields = append(fields, field)
	}
	command := map[string]string{
		"fields": "--help-query-gpu", "header": "--format=csv --query-gpu=" + strings.Join(fields, ","), "report": "-q", "table": "", "elements": "-q -x",
	}[name]
	out, exit := smi(t, system, command)
	if exit != 0 {
		t.Errorf("nvidia-smi %s: exit %d: %s", command, exit, out)
	}
	switch name {
	case "fields":
		return form.Fields(out)
	case "header":
		return form.Header(out)
	case "report":
		return form.Report(out)
	case "table":
		return form.Table(out)
	}
	elements, err := form.Elements(out)
	if err != nil {
		t.Fatal(err)
	}
	return elements
}

func readFacts(t *testing.T, name string) form.Facts {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", "facts", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }() // read only
	facts, err := form.Read(f)
	if err != nil {
		t.Fatal(err)
	}
	return facts
}

// readCapture reads what a real machine printed, which is no part of the
// project.
func readCapture(t *testing.T, name string) (string, bool) {
	t.Helper()
	shared := os.Getenv("KUBECTL_AI_SHARED")
	if shared == "" {
		shared = "../../../../shared"
	}
	content, err := os.ReadFile(filepath.Join(shared, "data", "nvidia", name))
	if name == "" || err != nil {
		t.Logf("not compared with a real machine: %v", err)
		return "", false
	}
	return string(content), true
}
