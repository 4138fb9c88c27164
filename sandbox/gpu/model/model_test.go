package model

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

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

func TestVisibleMIG(t *testing.T) {
	s := golden(t)
	s.Devices[1].MIGEnabled = true
	s.Devices[1].MIG = []MIGDevice{{UUID: "MIG-a"}, {UUID: "MIG-b"}}
	for value, want := range map[string][][]string{
		"MIG-b":                      {{"MIG-b"}},
		"1:0":                        {{"MIG-a"}},
		"0,MIG-a":                    {nil, {"MIG-a"}},
		"MIG-b,MIG-a":                {{"MIG-a", "MIG-b"}},
		s.Devices[1].UUID:            {{"MIG-a", "MIG-b"}},
		"all":                        {nil, {"MIG-a", "MIG-b"}},
		"MIG-c":                      {},
		"MIG-a," + s.Devices[1].UUID: {{"MIG-a", "MIG-b"}},
	} {
		got := [][]string{}
		for i, d := range s.Visible(value) {
			var uuids []string
			for _, m := range d.MIG {
				uuids = append(uuids, m.UUID)
			}
			if got = append(got, uuids); d.Index != i {
				t.Errorf("%s: GPU %d has the index %d", value, i, d.Index)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: -want +got:\n%s", value, diff)
		}
	}
	if len(s.Devices[1].MIG) != 2 {
		t.Error("the state itself was changed")
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
		if err != nil || len(left) != 2 {
			t.Errorf("folder holds %v, %v; want the state in its two forms alone", left, err)
		}
		for _, name := range []string{StateFile, BinaryFile} {
			info, err := os.Stat(filepath.Join(dir, name))
			if err != nil || info.Mode().Perm() != 0o644 {
				t.Errorf("%s is %v, %v; every user of a pod reads it", name, info, err)
			}
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
	at := time.Unix(1700000000, 0)
	got := golden(t).Labels("Google Compute Engine", at)
	for key, want := range map[string]string{
		"nvidia.com/gpu.present": "true", "nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3", "nvidia.com/gpu.count": "2",
		"nvidia.com/gpu.memory": "81559", "nvidia.com/gpu.family": "hopper", "kubectl-ai.dev/gpu-simulated": "true",
		"nvidia.com/gpu.machine": "Google-Compute-Engine", "nvidia.com/gfd.timestamp": "1700000000", "nvidia.com/gpu.replicas": "1",
		"nvidia.com/gpu.sharing-strategy": "none", "nvidia.com/cuda.driver.rev": "01", "nvidia.com/cuda.driver-version.full": "590.48.01",
		"nvidia.com/cuda.runtime-version.full": "13.1", "nvidia.com/gpu.compute.major": "9", "nvidia.com/mig.capable": "true", "nvidia.com/mps.capable": "true",
	} {
		if got[key] != want {
			t.Errorf("%s = %q, want %q", key, got[key], want)
		}
	}
	if _, there := got["nvidia.com/mig.strategy"]; there {
		t.Error("a MIG strategy without MIG")
	}

	shared := golden(t)
	shared.Sharing = Sharing{TimeSlicing, 4}
	got = shared.Labels("", at)
	for key, want := range map[string]string{
		"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3-SHARED", "nvidia.com/gpu.replicas": "4", "nvidia.com/gpu.sharing-strategy": "time-slicing", "nvidia.com/gpu.count": "2",
	} {
		if got[key] != want {
			t.Errorf("shared: %s = %q, want %q", key, got[key], want)
		}
	}
	for key := range got {
		if !OwnsLabel(key) {
			t.Errorf("%s is not known as one of these", key)
		}
	}
	if OwnsLabel("nvidia.com/run.ai-swap.enabled") || OwnsLabel("kubernetes.io/hostname") {
		t.Error("labels of others are taken for these")
	}
}

// The sets of NVIDIA's own tests, which are no part of this project.
func TestLabelsAreThoseOfGPUFeatureDiscovery(t *testing.T) {
	dir := filepath.Join(cmpOr(os.Getenv("KUBECTL_AI_SHARED"), "../../../../shared"), "data", "nvidia")
	cut := golden(t)
	for i := range cut.Devices {
		cut.Devices[i].MIGEnabled = true
		cut.Devices[i].MIG = []MIGDevice{{UUID: "MIG-" + itoa(i), Profile: "1g.10gb", MemoryBytes: 10 << 30, Multiprocessors: 16, GPUSlices: 1, ComputeSlices: 1}}
	}
	single, mixed := cut, cut
	single.MIGStrategy, mixed.MIGStrategy = MIGSingle, MIGMixed
	for name, s := range map[string]State{"gfd-expected-output.txt": golden(t), "gfd-expected-output-mig-single.txt": single, "gfd-expected-output-mig-mixed.txt": mixed} {
		raw, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Logf("not compared with %s, which is not here", name)
			continue
		}
		var want []*regexp.Regexp
		for _, line := range strings.Fields(string(raw)) {
			// The file's slips: classes that are meant as alternatives, and a
			// product name without digits.
			line = strings.NewReplacer("[none|mps|time-slicing]", "(none|mps|time-slicing)", "[unknown|compute|graphics]", "(unknown|compute|graphics)",
				"[compute]", "compute", "[true|false]", "(true|false)", "product=[A-Za-z_-]+", "product=[A-Za-z0-9._-]+").Replace(line)
			want = append(want, regexp.MustCompile("^"+line+"$"))
		}
		used := make([]bool, len(want))
		for key, value := range s.Labels("machine", time.Unix(1700000000, 0)) {
			if key == LabelPresent || key == LabelSimulated { // the operator's, and ours
				continue
			}
			i := slices.IndexFunc(want, func(r *regexp.Regexp) bool { return r.MatchString(key + "=" + value) })
			if i < 0 {
				t.Errorf("%s: %s=%s is not among them", name, key, value)
				continue
			}
			used[i] = true
		}
		for i, u := range used {
			if !u {
				t.Errorf("%s: nothing for %s", name, want[i])
			}
		}
	}
}

func cmpOr(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

func TestLabelValue(t *testing.T) {
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
