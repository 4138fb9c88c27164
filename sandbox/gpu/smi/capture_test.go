package smi

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// A simulated H100 prints what a real, idle one printed, byte for byte. What
// real machines print is no part of the project: KUBECTL_AI_SHARED says where
// it is.
func TestLikeARealH100(t *testing.T) {
	shared := os.Getenv("KUBECTL_AI_SHARED")
	if shared == "" {
		shared = "../../../../shared"
	}
	raw, err := os.ReadFile(filepath.Join(shared, "data", "nvidia", "smi-h100-80gb-590.48.01.txt"))
	if err != nil {
		t.Logf("not compared with a real machine: %v", err)
		return
	}
	capture := string(raw)
	system := container(t, ptr("0"))
	state, err := model.Read(system.StateDirs...)
	if err != nil {
		t.Fatal(err)
	}
	// What the capture masks, and where that board sat.
	state.Simulated = false
	d := &state.Devices[0]
	d.UUID, d.Serial, d.PCIBusID = "GPU-00000000-0000-0000-0000-000000000000", "0000000000000", "00000000:00:09.0"
	if err := model.Write(system.StateDirs[1], state); err != nil {
		t.Fatal(err)
	}

	same := func(title, command string) {
		want := section(t, capture, title)
		got, exit := smi(t, system, command)
		if diff := cmp.Diff(want, strings.TrimRight(got, "\n")); diff != "" || exit != 0 {
			t.Errorf("nvidia-smi %s: exit %d, -real +simulated:\n%s", command, exit, diff)
		}
	}
	same("capabilities :: version", "--version")
	same("capabilities :: list (-L)", "-L")
	system.Now = time.Date(2026, 7, 14, 8, 12, 38, 0, time.UTC)
	same("idle :: nvidia-smi (default table)", "")

	lines := strings.Split(section(t, capture, "idle :: query-gpu (csv, what the exporter parses)"), "\n")
	header, values := strings.Split(lines[0], ", "), strings.Split(lines[1], ", ")
	system.Now = system.Now.Add(696 * time.Millisecond)
	// One reading of power stands for three; a board's firmware is not made up.
	differ := []string{"power.draw.instant", "vbios_version"}
	known := 0
	for i, name := range header {
		field, _, _ := strings.Cut(name, " [")
		columns := gpuColumns()
		if slices.Contains(differ, field) || !slices.ContainsFunc(columns, func(c column) bool { return c.names[0] == field }) {
			continue
		}
		known++
		got, _ := smi(t, system, "--query-gpu="+field+" --format=csv")
		if diff := cmp.Diff(name+"\n"+values[i]+"\n", got); diff != "" {
			t.Errorf("field %s, -real +simulated:\n%s", field, diff)
		}
	}
	if want := len(gpuColumns()) - len(differ); known != want {
		t.Errorf("compared %d fields of %d; is there one that the real tool does not have?", known, want)
	}
	t.Logf("%d of the real tool's %d fields", known+len(differ), len(header))
}

// section returns what a command printed in a capture.
func section(t *testing.T, capture, title string) string {
	t.Helper()
	_, rest, ok := strings.Cut(capture, "\n# "+title+"\n")
	if !ok {
		t.Fatalf("the capture has no section %q", title)
	}
	_, rest, _ = strings.Cut(rest, "####\n")
	body, _, _ := strings.Cut(rest, "\n\n\n####")
	return strings.TrimRight(body, "\n")
}
