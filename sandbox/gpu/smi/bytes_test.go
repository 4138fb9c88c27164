package smi

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/smi/form"
)

// Where the state holds what a machine had, the output is the machine's, byte
// for byte: idle, under load, cut.
func TestBytesAreThoseOfRealMachines(t *testing.T) {
	burn := []model.Process{
		{PID: 11327, Namespace: 1, Name: "/root/tools/memhog", UsedMemoryBytes: 2566 << 20},
		{PID: 11328, Namespace: 1, Name: "/root/tools/memhog", UsedMemoryBytes: 1542 << 20},
		{PID: 11345, Namespace: 1, Name: "./gpu_burn", UsedMemoryBytes: 15690 << 20},
	}
	cut := []model.Process{
		{PID: 21180, Namespace: 1, Name: "/root/tools/memhog", UsedMemoryBytes: 2296 << 20},
		{PID: 21181, Namespace: 1, Name: "/root/tools/memhog", UsedMemoryBytes: 1272 << 20},
		{PID: 21198, Namespace: 1, Name: "./gpu_burn", UsedMemoryBytes: 7484 << 20},
	}
	loaded := func(s *model.State, d *model.Device) {
		boards[0].simulate(s, d)
		d.Temperature, d.PowerMilliwatts, d.UsedMemoryBytes, d.Utilization = 59, 629450, 19818<<20, 100
		d.Processes = burn
	}
	cutLoaded := func(s *model.State, d *model.Device) {
		cutH100(s, d)
		d.Temperature, d.PowerMilliwatts, d.UsedMemoryBytes = 52, 432000, 11125<<20
		d.MIG[0].UsedMemoryBytes, d.MIG[0].Processes = 11091<<20, cut
	}
	for _, c := range []struct {
		capture, title, command string
		at                      time.Time
		simulate
	}{
		{boards[0].capture, form.TitleVersion, "--version", time.Time{}, boards[0].simulate},
		{boards[0].capture, form.TitleList, "-L", time.Time{}, boards[0].simulate},
		{boards[0].capture, "capabilities :: nvlink -s", "nvlink -s", time.Time{}, boards[0].simulate},
		{boards[0].capture, "idle :: " + form.TitleTable, "", time.Date(2026, 7, 14, 8, 12, 38, 0, time.UTC), boards[0].simulate},
		{boards[0].capture, "idle :: " + form.TitleAppsCSV, appsQuery, time.Time{}, boards[0].simulate},
		{boards[0].capture, "load :: " + form.TitleTable, "", time.Date(2026, 7, 14, 8, 12, 53, 0, time.UTC), loaded},
		{boards[0].capture, "load :: " + form.TitleAppsCSV, appsQuery, time.Date(2026, 7, 14, 8, 12, 53, 500e6, time.UTC), loaded},
		{boards[0].capture, "load :: query-retired-pages", "--format=csv --query-retired-pages=timestamp,gpu_name,gpu_bus_id,gpu_serial,gpu_uuid,retired_pages.address,retired_pages.timestamp,retired_pages.cause", time.Date(2026, 7, 14, 8, 12, 53, 535e6, time.UTC), loaded},
		{boards[0].capture, "load :: query-accounted-apps", "--format=csv --query-accounted-apps=timestamp,gpu_name,gpu_bus_id,gpu_serial,gpu_uuid,pid,gpu_util,mem_util,max_memory_usage,time", time.Time{}, loaded},
		{boards[0].capture, "idle :: pmon (per-process monitor)", "pmon -c 5", time.Time{}, boards[0].simulate},
		{boards[1].capture, form.TitleList, "-L", time.Time{}, cutH100},
		{boards[1].capture, "capabilities :: nvlink -s", "nvlink -s", time.Time{}, cutH100},
		{boards[1].capture, "idle :: " + form.TitleTable, "", time.Date(2026, 7, 14, 9, 0, 26, 0, time.UTC), cutH100},
		{boards[1].capture, "load :: " + form.TitleTable, "", time.Date(2026, 7, 14, 9, 0, 43, 0, time.UTC), cutLoaded},
		{boards[1].capture, "load :: " + form.TitleAppsCSV, appsQuery, time.Date(2026, 7, 14, 9, 0, 44, 742e6, time.UTC), cutLoaded},
		{boards[2].capture, form.TitleVersion, "--version", time.Time{}, l40s},
		{boards[2].capture, form.TitleList, "-L", time.Time{}, l40s},
		{boards[2].capture, "capabilities :: nvlink -s", "nvlink -s", time.Time{}, l40s},
		{boards[2].capture, "idle :: " + form.TitleTable, "", time.Date(2026, 7, 3, 8, 33, 38, 0, time.UTC), l40s},
	} {
		capture, ok := readCapture(t, c.capture)
		if !ok {
			continue
		}
		want, err := form.Section(capture, c.title)
		if err != nil {
			t.Fatal(err)
		}
		system := as(t, c.simulate)
		system.Now = func() time.Time { return c.at }
		got, exit := smi(t, system, c.command)
		if diff := cmp.Diff(want, got); diff != "" || exit != 0 {
			t.Errorf("%s: nvidia-smi %s: exit %d, -real +simulated:\n%s", c.title, c.command, exit, diff)
		}
	}
}

const appsQuery = "--format=csv --query-compute-apps=timestamp,gpu_name,gpu_bus_id,gpu_serial,gpu_uuid,pid,process_name,used_gpu_memory"

// What differs in the values of all 212 fields between an idle H100 and its
// simulation is what makes a board this one, and is not made up.
func TestValuesAreThoseOfARealH100(t *testing.T) {
	capture, ok := readCapture(t, boards[0].capture)
	if !ok {
		return
	}
	text, err := form.Section(capture, "idle :: "+form.TitleCSV)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(text, "\n")
	header, want := strings.Split(lines[0], ", "), strings.Split(lines[1], ", ")
	var fields []string
	for _, h := range header {
		field, _, _ := strings.Cut(h, " [")
		fields = append(fields, field)
	}
	system := as(t, boards[0].simulate)
	system.Now = func() time.Time { return time.Date(2026, 7, 14, 8, 12, 38, 696e6, time.UTC) }
	out, exit := smi(t, system, "--format=csv,noheader --query-gpu="+strings.Join(fields, ","))
	got := strings.Split(strings.TrimSuffix(out, "\n"), ", ")
	if exit != 0 || len(got) != len(want) {
		t.Fatalf("exit %d, %d values, want %d", exit, len(got), len(want))
	}
	known := map[string]bool{
		"pci.sub_device_id": true, "vbios_version": true, "inforom.img": true, "inforom.oem": true, "inforom.ecc": true, "platform.module_id": true,
		"power.draw.instant": true, // one reading of power stands for three
	}
	for i, field := range fields {
		if (got[i] == want[i]) == known[field] {
			t.Errorf("%s = %q, real: %q", field, got[i], want[i])
		}
	}
}
