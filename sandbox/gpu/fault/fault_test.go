package fault_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/fault"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

var at = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)

func TestInject(t *testing.T) {
	cases := []struct {
		name    string
		kinds   []fault.Kind
		want    model.Fault
		healthy bool
		says    string
	}{
		{"an error of a program leaves the GPU in order", []fault.Kind{{XID: 31}}, model.Fault{XID: 31, Since: at}, true, "XID 31: a program used an address that is not mapped"},
		{"another XID takes it out", []fault.Kind{{XID: 74}}, model.Fault{XID: 74, Since: at}, false, "XID 74: an NVLink failed"},
		{"one without a description too", []fault.Kind{{XID: 200}}, model.Fault{XID: 200, Since: at}, false, "XID 200"},
		{"XID 79 is a board that is lost", []fault.Kind{{XID: 79}}, model.Fault{XID: 79, Lost: true, Since: at}, false, "XID 79: the GPU has fallen off the bus"},
		{"a board that is lost has XID 79", []fault.Kind{{Lost: true}}, model.Fault{XID: 79, Lost: true, Since: at}, false, "XID 79: the GPU has fallen off the bus"},
		{"memory errors are counted", []fault.Kind{{ECC: true}, {XID: 95}}, model.Fault{XID: 95, ECC: model.ECC{Uncorrected: 2}, Since: at}, false, "XID 95: an uncorrectable memory error that was not contained"},
		{"a hot board goes on", []fault.Kind{{Throttle: true}}, model.Fault{Throttle: true, Since: at}, true, "throttled: it is hot, and clocks are lowered"},
		{"faults add up", []fault.Kind{{Throttle: true}, {XID: 119}}, model.Fault{XID: 119, Throttle: true, Since: at}, false, "XID 119: the GPU's system processor (GSP) does not answer; throttled"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var d model.Device
			for _, k := range c.kinds {
				var err error
				if d.Fault, err = fault.Inject(d, k, at); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(c.want, d.Fault); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			if d.Healthy() != c.healthy || fault.Describe(d.Fault) != c.says {
				t.Errorf("healthy %v, %q", d.Healthy(), fault.Describe(d.Fault))
			}
		})
	}
}

func TestWhatCannotBe(t *testing.T) {
	board := model.Device{Index: 3, UUID: "GPU-3", PowerLimit: 700_000}
	for _, xid := range []int{0, -1, 1000} {
		var e *fault.XIDError
		if _, err := fault.Inject(board, fault.Kind{XID: xid}, at); !errors.As(err, &e) {
			t.Errorf("XID %d: %v", xid, err)
		}
	}
	// An error of a program must not make a GPU healthy that is out.
	out := board
	out.Fault = model.Fault{XID: 74}
	var e *fault.OutError
	if f, err := fault.Inject(out, fault.Kind{XID: 31}, at); !errors.As(err, &e) || f != out.Fault {
		t.Errorf("an error of a program on a GPU that is out: %v", err)
	}

	state := model.State{Node: "n", Simulated: true, Devices: []model.Device{board}}
	for _, ref := range []string{"3", "GPU-3"} {
		if d, err := fault.Find(state, ref); err != nil || d.UUID != board.UUID {
			t.Errorf("Find(%s) = %v, %v", ref, d.UUID, err)
		}
	}
	var unknown *fault.UnknownGPUError
	if _, err := fault.Find(state, "4"); !errors.As(err, &unknown) || unknown.Count != 1 {
		t.Errorf("a GPU that is not there: %v", err)
	}
	state.Simulated = false
	var real *fault.RealError
	if _, err := fault.Find(state, "3"); !errors.As(err, &real) {
		t.Errorf("a real GPU: %v", err)
	}
}

func TestSet(t *testing.T) {
	n := func(i int) *int { return &i }
	board := model.Device{PowerLimit: 700_000, Fault: model.Fault{XID: 31, Set: model.Readings{Temperature: n(60)}}}
	got, err := fault.Set(board, model.Readings{Power: n(650), Utilization: n(0)})
	if err != nil {
		t.Fatal(err)
	}
	want := model.Fault{XID: 31, Set: model.Readings{Temperature: n(60), Power: n(650), Utilization: n(0)}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	for _, r := range []model.Readings{{Power: n(701)}, {Power: n(-1)}, {Temperature: n(121)}, {Utilization: n(101)}} {
		var e *fault.ReadingError
		if _, err := fault.Set(board, r); !errors.As(err, &e) {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

func TestXIDsAreInOrderAndDescribed(t *testing.T) {
	last := 0
	for _, x := range fault.XIDs() {
		if x.Number <= last || x.Meaning == "" {
			t.Errorf("after %d: %+v", last, x)
		}
		last = x.Number
	}
}
