package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/control"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/fault"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// node has one GPU, and remembers what ai-gpu was asked for.
type node struct {
	state model.State
	asked []string
	fails error // of ai-gpu
}

func (n *node) String() string { return "n" }

func (n *node) Run(_ context.Context, _ io.Reader, cmd ...string) ([]byte, error) {
	if cmd[0] == "cat" {
		return model.Encode(n.state)
	}
	n.asked = append(n.asked, strings.Join(cmd, " "))
	if n.fails != nil {
		return nil, n.fails
	}
	return json.Marshal(model.Report{State: n.state})
}

func TestWhatIsAskedFor(t *testing.T) {
	n := &node{state: model.State{Simulated: true, Devices: []model.Device{{UUID: "GPU-a", PowerLimit: 700_000}}}}
	number := func(i int) *int { return &i }
	calls := []func() (model.Report, error){
		func() (model.Report, error) { return control.List(t.Context(), n) },
		func() (model.Report, error) { return control.Fail(t.Context(), n, "0", fault.Kind{XID: 79}) },
		func() (model.Report, error) { return control.Fail(t.Context(), n, "GPU-a", fault.Kind{Lost: true}) },
		func() (model.Report, error) { return control.Fail(t.Context(), n, "0", fault.Kind{ECC: true}) },
		func() (model.Report, error) { return control.Fail(t.Context(), n, "0", fault.Kind{Throttle: true}) },
		func() (model.Report, error) { return control.Heal(t.Context(), n, "0") },
		func() (model.Report, error) { return control.Heal(t.Context(), n, "") },
		func() (model.Report, error) {
			return control.Set(t.Context(), n, "0", model.Readings{Temperature: number(90), Utilization: number(0)})
		},
	}
	for _, call := range calls {
		if r, err := call(); err != nil || len(r.State.Devices) != 1 {
			t.Errorf("%+v, %v", r, err)
		}
	}
	want := []string{
		"ls", "fail --gpu 0 --xid 79", "fail --gpu GPU-a --lost", "fail --gpu 0 --ecc", "fail --gpu 0 --throttle",
		"heal --gpu 0", "heal", "set --gpu 0 --temperature 90 --utilization 0",
	}
	for i := range want {
		want[i] = "/usr/local/bin/ai-gpu " + want[i]
	}
	if !slices.Equal(n.asked, want) {
		t.Errorf("asked for\n%s\nwant\n%s", strings.Join(n.asked, "\n"), strings.Join(want, "\n"))
	}
}

// What is refused in the node is an error of its type here.
func TestWhatIsRefused(t *testing.T) {
	failed := errors.New("exit status 1")
	n := &node{state: model.State{Simulated: true, Devices: []model.Device{{UUID: "GPU-a"}}}, fails: failed}
	var (
		unknown *fault.UnknownGPUError
		xid     *fault.XIDError
		reading *fault.ReadingError
		real    *fault.RealError
	)
	if _, err := control.Fail(t.Context(), n, "1", fault.Kind{Lost: true}); !errors.As(err, &unknown) {
		t.Error(err)
	}
	if _, err := control.Fail(t.Context(), n, "0", fault.Kind{XID: 1000}); !errors.As(err, &xid) {
		t.Error(err)
	}
	hot := 121
	if _, err := control.Set(t.Context(), n, "0", model.Readings{Temperature: &hot}); !errors.As(err, &reading) {
		t.Error(err)
	}
	if _, err := control.Heal(t.Context(), n, "0"); !errors.Is(err, failed) {
		t.Errorf("nothing is wrong with what was asked for: %v", err)
	}
	n.state.Simulated = false
	if _, err := control.Heal(t.Context(), n, ""); !errors.As(err, &real) {
		t.Error(err)
	}
}
