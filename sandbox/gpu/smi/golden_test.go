package smi

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

var update = flag.Bool("update", false, "write the golden files")

// change rewrites the state of a container.
func change(t *testing.T, s System, edit func(s *model.State)) System {
	t.Helper()
	state, err := model.Read(s.StateDirs...)
	if err != nil {
		t.Fatal(err)
	}
	edit(&state)
	if err := model.Write(s.StateDirs[1], state); err != nil {
		t.Fatal(err)
	}
	return s
}

// cutNode is a node whose first GPU is cut and whose second is whole.
func cutNode(t *testing.T, visible *string) System {
	return change(t, container(t, visible), func(s *model.State) {
		d := &s.Devices[0]
		bus := d.PCIBusID
		cutH100(s, d)
		d.PCIBusID = bus
		for i := range d.MIG {
			d.MIG[i].Placement = []model.Placement{{Start: 0, Size: 3}, {Start: 4, Size: 2}, {Start: 3, Size: 1}, {Start: 6, Size: 1}}[i]
		}
	})
}

const secondMIG = "MIG-00000001-0000-0000-0000-000000000001"

func TestGolden(t *testing.T) {
	for name, c := range map[string]struct {
		system   System
		commands []string
	}{
		"table":     {container(t, nil), []string{""}},
		"mig":       {cutNode(t, nil), []string{"-L", "", "mig -lgi", "mig -lci", "mig -lgip", "mig -lgipp", "-q -d PIDS,ECC -i " + secondMIG}},
		"old":       {older(t, "515.105.01"), []string{""}},
		"old-535":   {older(t, "535.54.03"), []string{""}},
		"empty":     {change(t, container(t, ptr(first)), func(s *model.State) { s.Devices[0].MIGEnabled = true }), []string{""}},
		"container": {cutNode(t, ptr(secondMIG)), []string{"-L", ""}},
		"links":     {cutNode(t, nil), []string{"topo -m", "nvlink -s -i 1", "dmon -c 2", "pmon -c 1 -i 1"}},
		"nvlink":    {container(t, nil), []string{"topo -m"}},
		"report":    {container(t, ptr(second)), []string{"-q -d MEMORY,UTILIZATION,CLOCK,POWER,VOLTAGE,SUPPORTED_GPU_TARGET_TEMP,ACCOUNTING"}},
		"lost":      {lostNode(t), []string{"", "-L", "--query-gpu=index,name --format=csv,noheader", "-q -d TEMPERATURE -i 1", "dmon -c 1"}},
		"help":      {container(t, nil), []string{"-h", "--version", "--help-query-compute-apps", "--help-query-accounted-apps", "--help-query-retired-pages"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got strings.Builder
			for _, command := range c.commands {
				out, exit := smi(t, c.system, command)
				fmt.Fprintf(&got, "$ nvidia-smi %s\n%s", command, out)
				if exit != 0 {
					fmt.Fprintf(&got, "exit %d\n", exit)
				}
			}
			path := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.WriteFile(path, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("run with -update and read the difference (-want +got):\n%s", diff)
			}
			sameWidth(t, got.String())
		})
	}
}

// sameWidth checks that the lines of each table are as wide as its first.
func sameWidth(t *testing.T, text string) {
	t.Helper()
	width := 0
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch framed := strings.HasPrefix(line, "+") || strings.HasPrefix(line, "|"); {
		case !framed:
			width = 0
		case width == 0:
			width = len(line)
		case len(line) != width:
			t.Errorf("%d columns, want %d: %s", len(line), width, line)
		}
	}
}

func lostNode(t *testing.T) System {
	return change(t, container(t, nil), func(s *model.State) { s.Devices[1].Fault.Lost = true })
}

// older is a node with an older driver, a GPU that is cut and one that works.
func older(t *testing.T, driver string) System {
	return change(t, cutNode(t, nil), func(s *model.State) {
		s.DriverVersion, s.CUDAVersion = driver, "12.2"
		s.Devices[1].Utilization, s.Devices[1].PowerMilliwatts, s.Devices[1].UsedMemoryBytes = 100, 334000, 59119<<20
		s.Devices[1].Processes = []model.Process{{PID: 8796, Namespace: 1, Name: "/opt/conda/envs/a-long-name/bin/python3.11", UsedMemoryBytes: 3043 << 20}}
	})
}

func TestNewDriverNames(t *testing.T) {
	system := change(t, container(t, ptr(first)), func(s *model.State) {
		s.DriverVersion, s.NVMLVersion, s.CUDAVersion, s.Simulated = "610.43.02", "13.610.43.02", "13.3", false
	})
	table, _ := smi(t, system, "")
	if !strings.Contains(table, "\n| NVIDIA-SMI 610.43.02              KMD Version: 610.43.02     CUDA UMD Version: 13.3     |\n") {
		t.Errorf("table:\n%s", table)
	}
	version, _ := smi(t, system, "--version")
	if !strings.Contains(version, "DRIVER version      : Deprecated, see \"KMD version\" instead\n") || !strings.HasSuffix(version, "KMD version         : 610.43.02\nCUDA UMD version    : 13.3\n") {
		t.Errorf("version:\n%s", version)
	}
	report, _ := smi(t, system, "-q")
	for _, line := range []string{
		"CUDA Version                                           : 13.3 [Deprecated; will be removed in CUDA 14.0. Use CUDA UMD Version instead]",
		"KMD Version                                            : 610.43.02",
		"        Memory Max Operating T.Limit Temp Specification: 0 C",
		"            Default Power Limit                        : 700.00 W",
	} {
		if !strings.Contains(report, "\n"+line+"\n") {
			t.Errorf("-q does not say %q", line)
		}
	}
}

func TestForms(t *testing.T) {
	for version, want := range map[string]int{"470.82.01": 515, "515.105.01": 515, "550.90": 535, "580.95.05": 580, "590.48.01": 590, "595.80": 595, "700.1": 610, "?": 610} {
		if got := formOf(version); got != want {
			t.Errorf("driver %s has the form of %d, want %d", version, got, want)
		}
	}
}

// Lines of tables that users of older drivers have published.
func TestOldTables(t *testing.T) {
	for driver, c := range map[string]struct {
		edit  func(d *model.Device)
		lines []string
	}{
		"515.105.01": {func(d *model.Device) {
			d.Name, d.PCIBusID, d.Temperature, d.PowerMilliwatts, d.PowerLimit = "Tesla T4", "00000000:00:1E.0", 45, 27000, 70000
			d.MIGCapable, d.PersistenceEnabled, d.MemoryBytes = false, false, 15360<<20
		}, []string{
			"| NVIDIA-SMI 515.105.01   Driver Version: 515.105.01   CUDA Version: 13.1     |",
			"|   0  Tesla T4            Off  | 00000000:00:1E.0 Off |                    0 |",
			"| N/A   45C    P0    27W /  70W |      0MiB / 15360MiB |      0%      Default |",
			"|                               |                      |                  N/A |",
		}},
		"535.54.03": {func(d *model.Device) {
			d.Name, d.PCIBusID, d.Temperature, d.PowerMilliwatts, d.PowerLimit = "NVIDIA A100-SXM4-80GB", "00000000:89:00.0", 65, 334000, 400000
			d.MemoryBytes, d.UsedMemoryBytes, d.Utilization = 81920<<20, 59119<<20, 100
		}, []string{
			"| NVIDIA-SMI 535.54.03              Driver Version: 535.54.03    CUDA Version: 13.1     |",
			"|   0  NVIDIA A100-SXM4-80GB          On  | 00000000:89:00.0 Off |                    0 |",
			"| N/A   65C    P0             334W / 400W |  59119MiB / 81920MiB |    100%      Default |",
			"|                                         |                      |             Disabled |",
		}},
	} {
		out, exit := smi(t, change(t, container(t, ptr(first)), func(s *model.State) {
			s.DriverVersion = driver
			c.edit(&s.Devices[0])
		}), "")
		for _, line := range c.lines {
			if !strings.Contains(out, "\n"+line+"\n") || exit != 0 {
				t.Errorf("driver %s, exit %d: no line\n%s\nin\n%s", driver, exit, line, out)
			}
		}
	}
}
