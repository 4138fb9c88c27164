package smi

import (
	"encoding/xml"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

func TestXMLOfALostGPUIsADocument(t *testing.T) {
	out, exit := smi(t, lostNode(t), "-q -x")
	var log struct {
		GPUs []struct {
			ID   string `xml:"id,attr"`
			Name string `xml:"product_name"`
			Temp string `xml:"temperature>gpu_temp"`
		} `xml:"gpu"`
	}
	if err := xml.Unmarshal([]byte(out), &log); err != nil || exit != 15 {
		t.Fatalf("exit %d, %v", exit, err)
	}
	if len(log.GPUs) != 2 || log.GPUs[0].Temp != "41 C" || log.GPUs[1].Temp != "GPU is lost" || log.GPUs[1].ID != "00000000:1E:00.0" {
		t.Errorf("%+v", log.GPUs)
	}
}

func TestDTDDeclaresAllElements(t *testing.T) {
	system := cutNode(t, nil)
	declared, exit := smi(t, system, "--dtd")
	document, _ := smi(t, system, "-q -x --dtd")
	if !strings.Contains(document, declared) || exit != 0 {
		t.Errorf("exit %d; the document does not hold what --dtd prints", exit)
	}
	for line := range strings.Lines(document) {
		name, _, found := strings.Cut(strings.TrimLeft(line, "\t<"), ">")
		name, _, _ = strings.Cut(name, " ")
		if found && !strings.HasPrefix(name, "!") && !strings.HasPrefix(name, "?") && !strings.HasPrefix(name, "/") && !strings.HasPrefix(name, "]") &&
			!strings.Contains(declared, "<!ELEMENT "+name+" ") {
			t.Errorf("%s is not declared", name)
		}
	}
}

func TestContainersSeeTheirOwn(t *testing.T) {
	processes := func(s *model.State) {
		s.Devices[1].Processes = []model.Process{
			{PID: 7, Namespace: 1, Name: "python", UsedMemoryBytes: 3 << 30},
			{PID: 7, Namespace: 2, Name: "another container's", UsedMemoryBytes: 5 << 30},
		}
		s.Devices[0].MIG[1].Processes = []model.Process{{PID: 8, Namespace: 1, Name: "torchrun", UsedMemoryBytes: 1 << 30}}
	}
	apps := "--query-compute-apps=gpu_uuid,pid,name,used_memory --format=csv,noheader,nounits"
	for _, c := range []struct {
		name, visible, command, want string
		exit                         int
	}{
		{"a process of its own", second, apps, second + ", 7, python, 3072\n", 0},
		{"one on a MIG device, whose GPU is named", secondMIG, apps, first + ", 8, torchrun, 1024\n", 0},
		{"both", "all", apps, first + ", 8, torchrun, 1024\n" + second + ", 7, python, 3072\n", 0},
		{"by the UUID of its MIG device", secondMIG, "--query-gpu=index,mig.mode.current,utilization.gpu --format=csv,noheader --id=" + secondMIG, "0, Enabled, [N/A]\n", 0},
		{"not another's MIG device", secondMIG, "-L -i MIG-00000002-0000-0000-0000-000000000002", "No devices were found\n", 6},
		{"by the UUID of one of several", "all", "-L -i " + secondMIG, "GPU 0: NVIDIA H100 80GB HBM3 (UUID: " + first + ")\n  MIG 2g.20gb     Device  0: (UUID: " + secondMIG + ")\n", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, exit := smi(t, change(t, cutNode(t, ptr(c.visible)), processes), c.command)
			if diff := cmp.Diff(c.want, got); diff != "" || exit != c.exit {
				t.Errorf("exit %d, want %d; -want +got:\n%s", exit, c.exit, diff)
			}
		})
	}
}

func TestFaultsShow(t *testing.T) {
	temperature, watts, load := 91, 655, 77
	for _, c := range []struct {
		name  string
		fault model.Fault
		query string
		want  string
	}{
		{"an XID does not", model.Fault{XID: 48}, "name,gpu_recovery_action", "NVIDIA H100 80GB HBM3, None"},
		{
			"memory errors",
			model.Fault{ECC: model.ECC{Corrected: 12, Uncorrected: 3}},
			"ecc.errors.corrected.volatile.total,ecc.errors.uncorrected.volatile.dram,ecc.errors.uncorrected.aggregate.total", "12, 3, 3",
		},
		{
			"heat",
			model.Fault{Throttle: true},
			"clocks_event_reasons.active,clocks_throttle_reasons.hw_slowdown,clocks_event_reasons.hw_thermal_slowdown,clocks_event_reasons.gpu_idle",
			"0x0000000000000049, Active, Active, Active",
		},
		{
			"readings set by hand",
			model.Fault{Set: model.Readings{Temperature: &temperature, Power: &watts, Utilization: &load}},
			"temperature.gpu,temperature.gpu.tlimit,power.draw,utilization.gpu,clocks_event_reasons.active", "91, -4, 655.00 W, 77 %, 0x0000000000000000",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			system := change(t, container(t, ptr(first)), func(s *model.State) { s.Devices[0].Fault = c.fault })
			got, exit := smi(t, system, "--format=csv,noheader --query-gpu="+c.query)
			if diff := cmp.Diff(c.want+"\n", got); diff != "" || exit != 0 {
				t.Errorf("exit %d; -want +got:\n%s", exit, diff)
			}
		})
	}
	out, _ := smi(t, change(t, container(t, ptr(first)), func(s *model.State) { s.Devices[0].Fault.ECC.Uncorrected = 3 }), "")
	if !strings.Contains(out, "00000000:1B:00.0 Off |                    3 |") {
		t.Errorf("the table does not show uncorrected errors:\n%s", out)
	}
}

// A new state is seen in the next round, and the header is not said again.
func TestLoop(t *testing.T) {
	system := container(t, ptr(first))
	var waited []time.Duration
	system.Wait = func(d time.Duration) bool {
		waited = append(waited, d)
		change(t, system, func(s *model.State) { s.Devices[0].Utilization += 10 })
		return len(waited) < 3
	}
	for command, want := range map[string]time.Duration{
		"-l 2": 2 * time.Second, "--loop=3": 3 * time.Second, "-lms 250": 250 * time.Millisecond, "--loop-ms=50": 50 * time.Millisecond, "-l": 5 * time.Second,
	} {
		waited = nil
		change(t, system, func(s *model.State) { s.Devices[0].Utilization = 0 })
		got, exit := smi(t, system, "--query-gpu=utilization.gpu --format=csv "+command)
		if got != "utilization.gpu [%]\n0 %\n10 %\n20 %\n" || exit != 0 || waited[0] != want {
			t.Errorf("%s: exit %d, waited %v:\n%s", command, exit, waited, got)
		}
	}
}

func TestALostGPUEndsNoLoop(t *testing.T) {
	system := lostNode(t)
	healed := false
	system.Wait = func(time.Duration) bool {
		change(t, system, func(s *model.State) { s.Devices[1].Fault.Lost = false })
		defer func() { healed = true }()
		return !healed
	}
	got, exit := smi(t, system, "--query-gpu=index --format=csv,noheader -l 1")
	want := "0\nUnable to determine the device handle for GPU1: 0000:1E:00.0: GPU is lost.  Reboot the system to recover this GPU\n0\n1\n"
	if diff := cmp.Diff(want, got); diff != "" || exit != 0 {
		t.Errorf("exit %d, -want +got:\n%s", exit, diff)
	}
}

func TestFile(t *testing.T) {
	if out, exit := smi(t, container(t, ptr("void")), "-L -f "+filepath.Join(t.TempDir(), "log")); out != "No devices were found\n" || exit != 6 {
		t.Errorf("without a GPU: exit %d, %q", exit, out)
	}
	path := filepath.Join(t.TempDir(), "log")
	out, exit := smi(t, container(t, ptr(first)), "-L -f "+path)
	content, err := os.ReadFile(path)
	if err != nil || out != "" || exit != 0 || string(content) != "GPU 0: NVIDIA H100 80GB HBM3 (UUID: "+first+")\n" {
		t.Errorf("exit %d, %v, stdout %q, file %q", exit, err, out, content)
	}
}

// What is simulated says so to a person, and not to a program.
func TestSaysThatItIsSimulated(t *testing.T) {
	system := container(t, nil)
	if out, _ := smi(t, system, ""); strings.Contains(out, "simulated") {
		t.Error("a table in a pipe does")
	}
	system.Terminal = true
	if out, _ := smi(t, system, ""); !strings.HasSuffix(out, "(simulated by kubectl-ai)\n") {
		t.Error("a table on a terminal does not")
	}
	for _, command := range []string{"-h", "--version"} {
		if out, _ := smi(t, system, command); !strings.Contains(out, "kubectl-ai") {
			t.Errorf("%s does not", command)
		}
	}
}
