package form

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFields(t *testing.T) {
	help := "List of valid properties:\n\n\"name\" or \"gpu_name\"\nThe name.\n\n\"mode\"\nIt is one of\n\"0: Default\" means more.\n\n\"clocks.max.sm\" or \"clocks.max.sm\"\n"
	if diff := cmp.Diff([]string{"name gpu_name", "mode", "clocks.max.sm"}, Fields(help)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestHeader(t *testing.T) {
	if diff := cmp.Diff([]string{"index", "memory.total [MiB]"}, Header("index, memory.total [MiB]\n0, 1 MiB\n")); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestReport(t *testing.T) {
	text := `
Attached GPUs                       : 1
GPU 00000000:1B:00.0
    MIG Device
        Index                       : 0
    MIG Device
        Index                       : 1
        ECC
            Volatile                : 0
    Name                            : A: B
    Processes
        GPU instance ID             : N/A
        Process ID                  : 1
            Type                    : C
        GPU instance ID             : N/A
        Process ID                  : 2
            Type                    : C
    Capabilities
        EGM                         : disabled

`
	want := []string{
		"", "Attached GPUs                       : *", "GPU *",
		"    MIG Device", "        Index                       : *",
		"    Name                            : *",
		"    Processes", "        GPU instance ID             : *", "        Process ID                  : *", "            Type                    : *",
		"    Capabilities", "        EGM                         : *",
	}
	if diff := cmp.Diff(want, Report(text)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestTable(t *testing.T) {
	got := Table("Tue Jul 14 08:12:38 2026       \n| N/A   41C    P0 |\n")
	if diff := cmp.Diff([]string{"time, 31 columns", "| N/A#####C    P# |"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestElements(t *testing.T) {
	got, err := Elements(`<?xml version="1.0" ?><!DOCTYPE log SYSTEM "a.dtd"><log><gpu id="1"><clock>1</clock><clock>2</clock></gpu><gpu id="2"><clock>1</clock></gpu></log>`)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"log", "log/gpu@id", "log/gpu@id/clock"}, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	if _, err := Elements("<log><gpu></log>"); err == nil {
		t.Error("what is no document was read")
	}
}

func TestFactsAreReadAsTheyWereWritten(t *testing.T) {
	capture := "head\n\n################################\n# " + TitleFields + "\n# $ x\n####\n\"a\"\n\n\n####\n# idle :: " + TitleCSV + "\n####\na, b\n\n\n####\n# idle :: " +
		TitleReport + "\n####\n\nA : 1\n\nGPU 00000000:1B:00.0\n\n\n####\n# idle :: " + TitleTable + "\n####\nnow\n| 1 |\n\n\n####\n"
	facts, err := Of(capture)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := facts.Write(&b); err != nil {
		t.Fatal(err)
	}
	again, err := Read(strings.NewReader(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(facts, again); diff != "" {
		t.Errorf("-written +read:\n%s", diff)
	}
	if _, err := Of("nothing"); err == nil {
		t.Error("what is no capture was read")
	}
}
