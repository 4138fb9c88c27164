package smi

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

const (
	first  = "GPU-2230d8ef-8533-5f40-a147-6b6ef8b71c06"
	second = "GPU-f7705d26-d505-5c09-902c-9b7288149369"
)

// container returns a container on a node with two GPUs that was given these.
// visible is nil on the node itself.
func container(t *testing.T, visible *string) System {
	t.Helper()
	dir := t.TempDir()
	content, err := os.ReadFile("../model/testdata/h100x2.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, model.StateFile), content, 0o644); err != nil {
		t.Fatal(err)
	}
	return System{
		Now:  func() time.Time { return time.Date(2026, 7, 4, 8, 12, 38, 696e6, time.UTC) },
		Wait: func(time.Duration) bool { return true },
		LookupEnv: func(name string) (string, bool) {
			if name != "NVIDIA_VISIBLE_DEVICES" || visible == nil {
				return "", false
			}
			return *visible, true
		},
		StateDirs:    []string{filepath.Join(dir, "missing"), dir},
		PIDNamespace: 1,
		CPUs:         "0-19",
	}
}

func smi(t *testing.T, s System, command string) (string, int) {
	t.Helper()
	var out strings.Builder
	code := Run(strings.Fields(command), s, &out)
	return out.String(), code
}

func ptr(s string) *string { return &s }

func TestRun(t *testing.T) {
	cases := []struct {
		name    string
		visible *string
		command string
		want    string
		exit    int
	}{
		{"the node sees all", nil, "-L", "GPU 0: NVIDIA H100 80GB HBM3 (UUID: " + first + ")\nGPU 1: NVIDIA H100 80GB HBM3 (UUID: " + second + ")\n", 0},
		{"a container sees its own, from 0", ptr(second), "--list-gpus", "GPU 0: NVIDIA H100 80GB HBM3 (UUID: " + second + ")\n", 0},
		{"no GPU", ptr("void"), "-L", "No devices were found\n", 6},
		{"no GPU, table", ptr(""), "", "No devices were found\n", 6},
		{"by index", nil, "-i 1 -L", "GPU 1: NVIDIA H100 80GB HBM3 (UUID: " + second + ")\n", 0},
		{"by UUID", nil, "-L --id=" + second, "GPU 1: NVIDIA H100 80GB HBM3 (UUID: " + second + ")\n", 0},
		{"by bus id, short", nil, "-L -i 1e:00.0", "GPU 1: NVIDIA H100 80GB HBM3 (UUID: " + second + ")\n", 0},
		{"by bus id, long", nil, "-L -i 00000000:1E:00.0", "GPU 1: NVIDIA H100 80GB HBM3 (UUID: " + second + ")\n", 0},
		{"several", nil, "-L -i 1,0", "GPU 0: NVIDIA H100 80GB HBM3 (UUID: " + first + ")\nGPU 1: NVIDIA H100 80GB HBM3 (UUID: " + second + ")\n", 0},
		{"one that is not there", ptr(second), "-i 1 -L", "No devices were found\n", 6},
		{"the node's GPU that is not the container's", ptr(second), "-i " + first, "No devices were found\n", 6},
		{"a query as monitoring asks", nil, "--query-gpu=index,uuid,memory.total,memory.used,utilization.gpu --format=csv,noheader,nounits", "0, " + first + ", 81559, 0, 0\n1, " + second + ", 81559, 0, 0\n", 0},
		{"header and units", ptr(first), "--query-gpu=name,memory.total,power.draw,fan.speed,clocks.mem --format=csv", "name, memory.total [MiB], power.draw [W], fan.speed [%], clocks.current.memory [MHz]\nNVIDIA H100 80GB HBM3, 81559 MiB, 69.85 W, [N/A], 2619 MHz\n", 0},
		{"count is the container's", ptr(first), "--query-gpu count,name --format csv,noheader", "1, NVIDIA H100 80GB HBM3\n", 0},
		{
			"GPUtil's query", ptr(second),
			"--query-gpu=index,uuid,utilization.gpu,memory.total,memory.used,memory.free,driver_version,name,gpu_serial,display_active,display_mode,temperature.gpu --format=csv,noheader,nounits",
			"0, " + second + ", 0, 81559, 0, 81081, 590.48.01, NVIDIA H100 80GB HBM3, 1356648518505, Disabled, [Requested functionality has been deprecated], 41\n", 0,
		},
		{
			"Lightning's query", ptr(first),
			"--query-gpu=utilization.gpu,memory.used,memory.free,utilization.memory,fan.speed,temperature.gpu,temperature.memory --format=csv,nounits,noheader --id=0",
			"0, 0, 81081, 0, [N/A], 41, 48\n", 0,
		},
		{"processes: there are none", nil, "--query-compute-apps=gpu_uuid,pid,used_memory --format=csv", "gpu_uuid, pid, used_gpu_memory [MiB]\n", 0},
		{"processes without a header", nil, "--query-compute-apps=pid --format=csv,noheader", "", 0},
		{"a field that the real tool does not have", nil, "--query-gpu=name,compute_capability --format=csv", "Field \"compute_capability\" is not a valid field to query.\n\n", 2},
		{"a query needs a format", nil, "--query-gpu=name", "ERROR: A query needs --format=csv. Please run 'nvidia-smi -h' for help.\n", 2},
		{"a format needs a query", nil, "--format=csv", "ERROR: Option --format is for queries such as --query-gpu. Please run 'nvidia-smi -h' for help.\n", 2},
		{"an unknown format", nil, "--query-gpu=name --format=csv,nohead", "ERROR: \"nohead\" is not a format. Formats are csv, noheader and nounits.\n", 2},
		{"a value is missing", nil, "-L -i", "ERROR: Option -i is missing its value. Please run 'nvidia-smi -h' for help.\n", 2},
		{"an unknown option", nil, "--frobnicate", "ERROR: Option --frobnicate is not recognized. Please run 'nvidia-smi -h' for help.\n", 2},
		{"not simulated", nil, "-pm 1", "-pm is an option of nvidia-smi that is not simulated. Run 'nvidia-smi -h' for those that are.\n", 2},
		{"versions", ptr("void"), "--version", "NVIDIA-SMI version  : 590.48.01\nNVML version        : 590.48\nDRIVER version      : 590.48.01\nCUDA Version        : 13.1\nSimulated by        : kubectl-ai\n", 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got, exit := smi(t, container(t, c.visible), c.command)
			if diff := cmp.Diff(c.want, got); diff != "" || exit != c.exit {
				t.Errorf("exit %d, want %d; -want +got:\n%s", exit, c.exit, diff)
			}
		})
	}
}

func TestNoState(t *testing.T) {
	for _, command := range []string{"", "-L", "--query-gpu=name --format=csv", "--version"} {
		got, exit := smi(t, System{Now: time.Now, LookupEnv: os.LookupEnv, StateDirs: []string{t.TempDir()}}, command)
		if exit != 9 || !strings.HasPrefix(got, "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.") {
			t.Errorf("nvidia-smi %s: exit %d\n%s", command, exit, got)
		}
	}
	for _, command := range []string{"-h", "--help", "--help-query-gpu", "--help-query-compute-apps"} {
		if _, exit := smi(t, System{Now: time.Now}, command); exit != 0 {
			t.Errorf("nvidia-smi %s needs no GPU: exit %d", command, exit)
		}
	}
}

func TestLongNamesAreCut(t *testing.T) {
	for name, want := range map[string][2]string{
		"NVIDIA GeForce RTX 2080 SUPER": {"NVIDIA GeForce ...", "NVIDIA GeForce RTX 2080 ..."},
		"NVIDIA H100 80GB HBM3":         {"NVIDIA H100 80G...", "NVIDIA H100 80GB HBM3"},
		"Tesla T4":                      {"Tesla T4", "Tesla T4"},
	} {
		if got := [2]string{layout515.shorten(name), layout580.shorten(name)}; got != want {
			t.Errorf("%q = %q, want %q", name, got, want)
		}
	}
}

func TestFieldNamesAreUnique(t *testing.T) {
	for _, k := range kinds {
		for _, form := range captured {
			seen := map[string]bool{}
			for _, c := range k.of(form) {
				for _, n := range c.names {
					if seen[n] {
						t.Errorf("%s: %s is there twice", k.option, n)
					}
					seen[n] = true
				}
			}
		}
	}
}

func FuzzRun(f *testing.F) {
	f.Add("-L")
	f.Add("--query-gpu=name,pci.bus --format=csv,noheader")
	f.Add("-i 0,1 --id=GPU-x --version")
	f.Add("--help-query-gpu")
	f.Add("-q -x -d CLOCK,POWER")
	f.Add("mig -lgi")
	f.Add("dmon -c 2 -d 1")
	dir := f.TempDir()
	content, err := os.ReadFile("../model/testdata/h100x2.json")
	if err != nil {
		f.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, model.StateFile), content, 0o644); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, command string) {
		if strings.Contains(command, "-f") {
			return // writes files
		}
		var out strings.Builder
		s := System{
			Now: time.Now, Wait: func(time.Duration) bool { return false },
			LookupEnv: func(string) (string, bool) { return "", false }, StateDirs: []string{dir},
		}
		code := Run(strings.Fields(command), s, &out)
		if code != 0 && code != 2 && code != 6 {
			t.Errorf("nvidia-smi %s: exit %d", command, code)
		}
		if code != 0 && out.Len() == 0 {
			t.Errorf("nvidia-smi %s: exit %d and not a word", command, code)
		}
	})
}
