package mig

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func layout(t *testing.T, text string) Layout {
	t.Helper()
	l, err := ReadFile(strings.NewReader("version: v1\nmig-configs:\n  mine:\n" + text))
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func places(t *testing.T, l Layout, board string, gpu int) []string {
	t.Helper()
	placed, err := l.Place(board, gpu)
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	for _, i := range placed {
		list = append(list, fmt.Sprintf("%s@%d+%d", i.Name, i.At.Start, i.At.Size))
	}
	return list
}

func TestPlace(t *testing.T) {
	all, err := Parse("all-1g.10gb")
	if err != nil {
		t.Fatal(err)
	}
	if got := places(t, all, "h100", 5); len(got) != 7 || got[6] != "1g.10gb@6+1" {
		t.Errorf("all-1g.10gb = %v", got)
	}
	l := layout(t, `
  - {devices: all, mig-enabled: true, mig-devices: {1g.10gb: 1, 2g.20gb: 1, 3g.40gb: 1}}
  - {devices: [1], mig-enabled: false}
  - {devices: [2, 3], mig-enabled: true, mig-devices: {7g.80gb: 1}}
`)
	for gpu, want := range [][]string{{"3g.40gb@0+3", "1g.10gb@3+1", "2g.20gb@4+2"}, nil, {"7g.80gb@0+7"}, {"7g.80gb@0+7"}, {"3g.40gb@0+3", "1g.10gb@3+1", "2g.20gb@4+2"}} {
		if diff := cmp.Diff(want, places(t, l, "h100", gpu)); diff != "" {
			t.Errorf("GPU %d (-want +got):\n%s", gpu, diff)
		}
	}
	// The one that fits in one place alone comes last in the list, and yet fits.
	l = layout(t, "  - {devices: all, mig-enabled: true, mig-devices: {1g.10gb: 3, 4g.40gb: 1}}\n")
	if diff := cmp.Diff([]string{"4g.40gb@0+4", "1g.10gb@4+1", "1g.10gb@5+1", "1g.10gb@6+1"}, places(t, l, "h100", 0)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestWhatDoesNotFit(t *testing.T) {
	cases := []struct{ name, board, cut, says string }{
		{"too much", "h100", "{3g.40gb: 2, 4g.40gb: 1}", "3g.40gb can lie at memory slices 0-2 or 4-6, and none of these is free: 4g.40gb at 0-3, 3g.40gb at 4-6"},
		{"too many of a profile", "h100", "{1g.10gb+me: 2}", "at most 1"},
		{"another board's", "h100", "{1g.5gb: 1}", "has no MIG profile 1g.5gb; it has 1g.10gb"},
		{"a board without MIG", "t4", "{1g.5gb: 1}", "has no MIG"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := layout(t, "  - {devices: all, mig-enabled: true, mig-devices: "+c.cut+"}\n").Check(c.board, 8)
			if err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v; want it to say %q", err, c.says)
			}
		})
	}
	var placement *PlacementError
	if err := layout(t, "  - {devices: [0], mig-enabled: true, mig-devices: {7g.80gb: 1, 1g.10gb: 1}}\n").Check("h100", 1); !errors.As(err, &placement) {
		t.Errorf("%v is no *PlacementError", err)
	}
	if err := layout(t, "  - {devices: [8], mig-enabled: true, mig-devices: {7g.80gb: 1}}\n").Check("h100", 8); err == nil || !strings.Contains(err.Error(), "GPU 8") {
		t.Errorf("a GPU that is not there: %v", err)
	}
}

func TestWhatIsNoLayout(t *testing.T) {
	for _, text := range []string{"", "1g.10gb", "all-"} {
		if _, err := Parse(text); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
	for _, text := range []string{
		"", "version: v2\nmig-configs: {a: []}", "version: v1\nmig-configs: {a: [], b: []}", "version: v1\nmore: 1",
		"version: v1\nmig-configs: {a: [{devices: some, mig-enabled: true}]}",
		"version: v1\nmig-configs: {a: [{devices: [0, 0], mig-enabled: true, mig-devices: {1g.10gb: 1}}]}",
		"version: v1\nmig-configs: {a: [{devices: [-2], mig-enabled: true, mig-devices: {1g.10gb: 1}}]}",
		"version: v1\nmig-configs: {a: [{devices: all, mig-devices: {1g.10gb: 1}}]}",
		"version: v1\nmig-configs: {a: [{devices: all, mig-enabled: true, mig-devices: {1g.10gb: 0}}]}",
	} {
		if l, err := ReadFile(strings.NewReader(text)); err == nil {
			t.Errorf("accepted as %+v:\n%s", l, text)
		}
	}
}

func FuzzReadFile(f *testing.F) {
	f.Add("version: v1\nmig-configs: {a: [{devices: all, mig-enabled: true, mig-devices: {1g.10gb: 7}}]}")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := ReadFile(strings.NewReader(text))
		if err != nil {
			return
		}
		for board := range Tables() {
			_ = l.Check(board, 8)
		}
	})
}
