package model

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the generated files")

// The C library and EncodeBinary cannot disagree: its structs are made from
// the Go ones, and the C compiler checks every offset.
func TestHeaderOfTheLibraryIsTheLayout(t *testing.T) {
	got := header(binaryHeader{}, binaryDevice{}, binaryMIG{}, binaryProcess{})
	path := filepath.Join("..", "nvmllib", "c", "state.h")
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("run with -update, and raise BinaryVersion if a field moved (-file +layout):\n%s", diff)
	}
}

// header writes C structs of these Go ones.
func header(structs ...any) string {
	out := &strings.Builder{}
	fmt.Fprintf(out, `/* The state of a node's GPUs as a file of records. Made by
 * go test ./sandbox/gpu/model -run Layout -update from binary_layout.go, where
 * the fields are described. */
#ifndef STATE_H
#define STATE_H

#include <stddef.h>
#include <stdint.h>

#define STATE_MAGIC %s
#define STATE_VERSION %d
#define STATE_MAX_DEVICES %d
#define STATE_MAX_MIGS %d
`, quote(binaryMagic[:]), BinaryVersion, MaxPerNode, maxMIGs*MaxPerNode)
	for _, s := range structs {
		typ := reflect.TypeOf(s)
		name := "state_" + snake(strings.TrimPrefix(typ.Name(), "binary"))
		fmt.Fprintf(out, "\nstruct %s {\n", name)
		var checks strings.Builder
		offset := 0
		for i := range typ.NumField() {
			f := typ.Field(i)
			switch f.Type.Kind() {
			case reflect.Array:
				fmt.Fprintf(out, "\tchar %s[%d];\n", snake(f.Name), f.Type.Len())
			default:
				fmt.Fprintf(out, "\t%s_t %s;\n", f.Type.Kind(), snake(f.Name))
			}
			fmt.Fprintf(&checks, "_Static_assert(offsetof(struct %s, %s) == %d, \"%s\");\n", name, snake(f.Name), offset, f.Name)
			offset += binary.Size(reflect.Zero(f.Type).Interface())
		}
		fmt.Fprintf(out, "};\n\n%s_Static_assert(sizeof(struct %s) == %d, \"%s\");\n", &checks, name, offset, name)
	}
	return out.String() + "\n#endif\n"
}

func quote(bytes []byte) string {
	return strings.NewReplacer("\r", `\r`, "\n", `\n`).Replace(`"` + string(bytes) + `"`)
}

// snake writes PCIBusID as pci_bus_id.
func snake(name string) string {
	name = strings.NewReplacer("PCIe", "Pcie", "MIGs", "Migs", "NVLink", "Nvlink").Replace(name)
	var out strings.Builder
	runes := []rune(name)
	for i, r := range runes {
		starts := i > 0 && unicode.IsUpper(r) && (!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1]))
		if starts {
			out.WriteByte('_')
		}
		out.WriteRune(unicode.ToLower(r))
	}
	return out.String()
}

func TestEncodeBinary(t *testing.T) {
	s := golden(t)
	s.Devices[0].Fault = Fault{XID: 79, Lost: true, Since: time.UnixMicro(3)}
	s.Devices[0].Processes = []Process{{PID: 7, Namespace: 4026531836, Name: "python", UsedMemoryBytes: 5}}
	s.Devices[1].Name = strings.Repeat("n", 300)
	s.Devices[1].MIG = []MIGDevice{{UUID: "MIG-1", Profile: "1g.10gb", Processes: []Process{{PID: 8}, {PID: 9}}}, {UUID: "MIG-2"}}
	content, err := EncodeBinary(s)
	if err != nil {
		t.Fatal(err)
	}
	var (
		h         binaryHeader
		devices   = make([]binaryDevice, 2)
		migs      = make([]binaryMIG, 2)
		processes = make([]binaryProcess, 3)
	)
	in := bytes.NewReader(content)
	for _, part := range []any{&h, devices, migs, processes} {
		if err := binary.Read(in, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	if in.Len() != 0 || int(h.Size) != len(content) {
		t.Errorf("%d bytes follow the records; size %d of %d", in.Len(), h.Size, len(content))
	}
	if h.CUDA != 13010 || h.Devices != 2 || h.MIGs != 2 || h.Processes != 3 {
		t.Errorf("header %+v", h)
	}
	if d := devices[0]; d.Temperature != 41 || d.Power != 69850 || d.XID != 79 || d.FaultSince != 3 || d.Lost != 1 || d.ComputeMajor != 9 || d.Architecture != 9 {
		t.Errorf("first device %+v", d)
	}
	if d := devices[1]; d.FirstMIG != 0 || d.MIGs != 2 || d.FirstProcess != 1 || d.Processes != 0 {
		t.Errorf("second device %+v", d)
	}
	if m := migs[0]; m.Device != 1 || m.FirstProcess != 1 || m.Processes != 2 {
		t.Errorf("first MIG device %+v", m)
	}
	if p := processes[0]; p.PID != 7 || p.Namespace != 4026531836 || p.UsedBytes != 5 {
		t.Errorf("first process %+v", p)
	}
	if name := devices[1].Name; name[len(name)-1] != 0 || name[0] != 'n' {
		t.Errorf("a long name is cut and ends with a zero byte: %q", name)
	}
}

func TestNumbersOfVersions(t *testing.T) {
	for version, want := range map[string]uint32{"13.1": 13010, "12.8": 12080, "11": 11000, "": 0, "x.y": 0} {
		if got := cudaNumber(version); got != want {
			t.Errorf("CUDA %q is %d, want %d", version, got, want)
		}
	}
	for _, p := range Profiles() {
		if cudaCores[p.Product] == 0 {
			t.Errorf("%s has no number of CUDA cores", p.Product)
		}
		if architectureNumber(p.Architecture) > 13 {
			t.Errorf("%s: NVML has no number for %s", p.Name, p.Architecture)
		}
	}
}
