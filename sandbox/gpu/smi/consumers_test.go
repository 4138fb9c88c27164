package smi

import (
	"encoding/csv"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// What well-known programs run and how they read it, each from a description
// of its code.

func run(t *testing.T, s System, args ...string) (string, int) {
	t.Helper()
	var out strings.Builder
	code := Run(args, s, &out)
	return out.String(), code
}

func integer(t *testing.T, text string) int {
	t.Helper()
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Errorf("%q is no integer", text)
	}
	return n
}

// GPUtil takes the lines but the last for GPUs, splits them at ", " and reads
// twelve fields by position; what is no number becomes NaN.
func TestGPUtil(t *testing.T) {
	for name, system := range map[string]System{"whole": container(t, nil), "cut": cutNode(t, nil)} {
		out, exit := run(t, system, "--query-gpu=index,uuid,utilization.gpu,memory.total,memory.used,memory.free,driver_version,name,gpu_serial,display_active,display_mode,temperature.gpu", "--format=csv,noheader,nounits")
		lines := strings.Split(out, "\n")
		if exit != 0 || len(lines)-1 != 2 || lines[2] != "" {
			t.Fatalf("%s: exit %d, %d lines", name, exit, len(lines))
		}
		for i, line := range lines[:2] {
			v := strings.Split(line, ", ")
			if len(v) != 12 {
				t.Fatalf("%s: %d fields: %s", name, len(v), line)
			}
			if integer(t, v[0]) != i || v[6] != "590.48.01" || v[7] != "NVIDIA H100 80GB HBM3" || v[9] != "Disabled" {
				t.Errorf("%s: %q", name, v)
			}
			total, used, free := integer(t, v[3]), integer(t, v[4]), integer(t, v[5])
			if used+free > total || integer(t, v[11]) < 20 {
				t.Errorf("%s: memory %d+%d of %d, %s °C", name, used, free, total, v[11])
			}
			if _, err := strconv.ParseFloat(v[2], 64); (err != nil) != (name == "cut" && i == 0) {
				t.Errorf("%s: utilisation %q", name, v[2])
			}
		}
	}
}

// Lightning asks for one GPU by an entry of CUDA_VISIBLE_DEVICES, whatever it
// is, and takes what is no number for 0.
func TestLightning(t *testing.T) {
	ask := func(s System, id string) ([]string, int) {
		out, exit := run(t, s, "--query-gpu=utilization.gpu,memory.used,memory.free,utilization.memory,fan.speed,temperature.gpu,temperature.memory", "--format=csv,nounits,noheader", "--id="+id)
		return strings.Split(strings.TrimSpace(out), ", "), exit
	}
	for _, id := range []string{"1", second} {
		values, exit := ask(container(t, nil), id)
		if exit != 0 || len(values) != 7 || values[4] != "[N/A]" || integer(t, values[2]) != 81081 {
			t.Errorf("--id=%s: exit %d, %q", id, exit, values)
		}
	}
	if values, exit := ask(cutNode(t, ptr(secondMIG)), secondMIG); exit != 0 || len(values) != 7 || values[0] != "[N/A]" {
		t.Errorf("a MIG device: exit %d, %q", exit, values)
	}
	if _, exit := ask(container(t, nil), "7"); exit == 0 {
		t.Error("a GPU that is not there was found")
	}
}

// Accelerate counts lines, parses the driver version, and tries a field that
// the real tool does not have.
func TestAccelerate(t *testing.T) {
	system := container(t, nil)
	out, exit := run(t, system, "--query-gpu=count,name", "--format=csv,noheader")
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if exit != 0 || len(lines) != 2 {
		t.Fatalf("exit %d: %q", exit, lines)
	}
	for _, line := range lines {
		if count, name, _ := strings.Cut(line, ","); integer(t, count) != 2 || strings.TrimSpace(name) != "NVIDIA H100 80GB HBM3" {
			t.Errorf("%q", line)
		}
	}
	out, _ = run(t, system, "--query-gpu=driver_version", "--format=csv,noheader")
	version := strings.SplitN(out, "\n", 2)[0]
	if !regexp.MustCompile(`^\d+(\.\d+)*$`).MatchString(version) || integer(t, strings.SplitN(version, ".", 2)[0]) < 550 {
		t.Errorf("driver version %q", version)
	}
	if out, exit := run(t, system, "--query-gpu=compute_capability", "--format=csv,noheader"); exit != 2 || out != "Field \"compute_capability\" is not a valid field to query.\n\n" {
		t.Errorf("exit %d: %q", exit, out)
	}
}

// collect_env of PyTorch finds the driver in the table, up to the next blank,
// and takes the UUIDs out of -L.
func TestCollectEnv(t *testing.T) {
	system := container(t, nil)
	table, _ := run(t, system)
	match := regexp.MustCompile(`Driver Version: (.*?) `).FindStringSubmatch(table)
	if match == nil || match[1] != "590.48.01" {
		t.Errorf("driver %q", match)
	}
	list, _ := run(t, system, "-L")
	if got := regexp.MustCompile(` \(UUID: .+?\)`).ReplaceAllString(list, ""); got != "GPU 0: NVIDIA H100 80GB HBM3\nGPU 1: NVIDIA H100 80GB HBM3\n" {
		t.Errorf("%q", got)
	}
	renamed := change(t, system, func(s *model.State) { s.DriverVersion = "610.43.02" })
	if table, _ = run(t, renamed); strings.Contains(table, "Driver Version: ") {
		t.Error("it finds a driver where the real tool calls it by another name")
	}
}

// Command lines seen again and again in scripts.
func TestScripts(t *testing.T) {
	system := change(t, container(t, nil), func(s *model.State) {
		s.Devices[1].Processes = []model.Process{{PID: 42, Namespace: 1, Name: "python, with a comma", UsedMemoryBytes: 2 << 30}}
	})
	uuid := regexp.MustCompile(`(?i)^GPU-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	for _, fields := range []string{"index,uuid,memory.total", "index,uuid,memory.total,memory.used,memory.free", "index,uuid,memory.total,memory.used,utilization.gpu", "index,uuid,memory.total,memory.free"} {
		out, exit := run(t, system, "--query-gpu="+fields, "--format=csv,noheader,nounits")
		records, err := csv.NewReader(strings.NewReader(out)).ReadAll()
		if err != nil || exit != 0 || len(records) != 2 {
			t.Fatalf("%s: exit %d, %v: %q", fields, exit, err, out)
		}
		for i, r := range records {
			if len(r) != strings.Count(fields, ",")+1 || integer(t, r[0]) != i || !uuid.MatchString(strings.TrimSpace(r[1])) {
				t.Errorf("%s: %q", fields, r)
			}
			for _, cell := range r[2:] {
				if _, err := strconv.ParseFloat(strings.TrimSpace(cell), 64); err != nil {
					t.Errorf("%s: %q is no number", fields, cell)
				}
			}
		}
	}
	for query, want := range map[string]string{
		"--query-compute-apps=gpu_uuid,pid":                                second + ", 42\n",
		"--query-compute-apps=gpu_uuid,pid,used_gpu_memory,used_memory":    second + ", 42, 2048 MiB, 2048 MiB\n",
		"--query-compute-apps=pid,process_name,name,gpu_serial,gpu_bus_id": "42, python, with a comma, python, with a comma, 1356648518505, 00000000:1E:00.0\n",
		"--query-gpu=name": "NVIDIA H100 80GB HBM3\nNVIDIA H100 80GB HBM3\n",
	} {
		if out, exit := run(t, system, query, "--format=csv,noheader"); out != want || exit != 0 {
			t.Errorf("%s: exit %d: %q", query, exit, out)
		}
	}
	if out, _ := run(t, system, "-L"); strings.Count(out, "\n") != 2 {
		t.Errorf("-L | wc -l = %d", strings.Count(out, "\n"))
	}
	if out, _ := run(t, system, "--query-gpu=name", "--format=csv,noheader"); !regexp.MustCompile(`(H100|H200|L4|L40|RTX 40)`).MatchString(out) {
		t.Errorf("no GPU for FP8: %q", out)
	}
}

// closed is a pipe whose reader has gone, as head -1 does.
type closed struct{ lines int }

func (c *closed) Write(p []byte) (int, error) {
	if c.lines == 0 {
		return 0, io.ErrClosedPipe
	}
	c.lines--
	return len(p), nil
}

func TestAReaderThatLeavesEarly(t *testing.T) {
	system := container(t, nil)
	system.Wait = func(d time.Duration) bool {
		t.Error("it goes on")
		return false
	}
	if exit := Run([]string{"--query-gpu=name", "--format=csv,noheader", "-l", "1"}, system, &closed{lines: 1}); exit == 0 {
		t.Error("exit 0")
	}
}
