package model

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func golden(t *testing.T) State {
	t.Helper()
	content, err := os.ReadFile("testdata/h100x2.json")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Decode(content)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestVisible(t *testing.T) {
	s := golden(t)
	a, b := s.Devices[0], s.Devices[1]
	first := func(d Device) Device { d.Index = 0; return d }
	cases := []struct {
		name, value string
		want        []Device
	}{
		{"all", "all", []Device{a, b}},
		{"a UUID is numbered from 0", b.UUID, []Device{first(b)}},
		{"the order is the bus's, not the list's", b.UUID + "," + a.UUID, []Device{a, b}},
		{"indices", "1", []Device{first(b)}},
		{"blanks around commas", " " + a.UUID + " , " + b.UUID + " ", []Device{a, b}},
		{"none", "none", []Device{}},
		{"void", "void", []Device{}},
		{"empty", "", []Device{}},
		{"an unknown one is not there", "GPU-00000000-0000-0000-0000-000000000000", []Device{}},
		{"named twice, there once", a.UUID + "," + a.UUID + ",0", []Device{a}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, s.Visible(c.value)); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestFile(t *testing.T) {
	t.Run("what was written is read", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "a", "b")
		want := golden(t)
		for range 2 { // the second time over a file
			if err := Write(dir, want); err != nil {
				t.Fatal(err)
			}
		}
		got, err := Read(filepath.Join(dir, "missing"), dir)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("-want +got:\n%s", diff)
		}
		left, err := os.ReadDir(dir)
		if err != nil || len(left) != 1 {
			t.Errorf("folder holds %v, %v; want the state alone", left, err)
		}
		info, err := os.Stat(filepath.Join(dir, StateFile))
		if err != nil || info.Mode().Perm() != 0o644 {
			t.Errorf("state is %v, %v; every user of a pod reads it", info, err)
		}
	})
	t.Run("no state anywhere", func(t *testing.T) {
		if _, err := Read(t.TempDir(), t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("another version", func(t *testing.T) {
		if _, err := Decode([]byte(`{"version":"v9"}`)); !errors.Is(err, ErrVersion) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("not JSON", func(t *testing.T) {
		if _, err := Decode([]byte("nothing")); err == nil {
			t.Error("accepted")
		}
	})
}

func TestLabels(t *testing.T) {
	want := map[string]string{
		"nvidia.com/gpu.present":       "true",
		"nvidia.com/gpu.product":       "NVIDIA-H100-80GB-HBM3",
		"nvidia.com/gpu.count":         "2",
		"nvidia.com/gpu.memory":        "81559",
		"nvidia.com/gpu.family":        "hopper",
		"kubectl-ai.dev/gpu-simulated": "true",
	}
	if diff := cmp.Diff(want, golden(t).Labels()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for name, want := range map[string]string{
		"NVIDIA A100-SXM4-80GB":  "NVIDIA-A100-SXM4-80GB",
		"Tesla T4 (rev. 2)/µ":    "Tesla-T4-rev.-2",
		"-NVIDIA GeForce® RTX- ": "NVIDIA-GeForce-RTX",
	} {
		if got := labelValue(name); got != want {
			t.Errorf("label of %q = %q, want %q", name, got, want)
		}
	}
}

func TestLookupProfile(t *testing.T) {
	if p, err := LookupProfile("H100"); err != nil || p.Product != "NVIDIA H100 80GB HBM3" {
		t.Errorf("H100 = %+v, %v", p, err)
	}
	if names := ProfileNames(); names[0] != DefaultProfile {
		t.Errorf("first of %v is not the default", names)
	}
	_, err := LookupProfile("t1000")
	var unknown *UnknownProfileError
	if !errors.As(err, &unknown) || len(unknown.Known) != len(Profiles()) {
		t.Errorf("t1000: %v", err)
	}
}

func TestFreeMemory(t *testing.T) {
	d := Device{MemoryBytes: 100, ReservedMemoryBytes: 30, UsedMemoryBytes: 20}
	if got := d.FreeMemoryBytes(); got != 50 {
		t.Errorf("free = %d", got)
	}
	d.UsedMemoryBytes = 90
	if got := d.FreeMemoryBytes(); got != 0 {
		t.Errorf("free of an overfull GPU = %d", got)
	}
}

func FuzzDecode(f *testing.F) {
	content, err := os.ReadFile("testdata/h100x2.json")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(content)
	f.Fuzz(func(t *testing.T, content []byte) {
		s, err := Decode(content)
		if err != nil {
			return
		}
		again, err := Encode(s)
		if err != nil {
			t.Fatal(err)
		}
		back, err := Decode(again)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(s, back); diff != "" {
			t.Errorf("round trip:\n%s", diff)
		}
	})
}
