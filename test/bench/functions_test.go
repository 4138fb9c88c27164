//go:build bench

package bench

import (
	"debug/elf"
	"debug/gosym"
	"testing"
)

// functions returns the bytes of code of every function of a Go binary for
// Linux, stripped or not.
func functions(t *testing.T, binary string) map[string]int64 {
	t.Helper()
	file, err := elf.Open(binary)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	lines, err := file.Section(".gopclntab").Data()
	if err != nil {
		t.Fatal(err)
	}
	table, err := gosym.NewTable(nil, gosym.NewLineTable(lines, file.Section(".text").Addr))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]int64{}
	for _, f := range table.Funcs {
		out[f.Name] += int64(f.End - f.Entry)
	}
	return out
}
