package install

import (
	"encoding/json"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/spec"
)

// started is a node with two GPUs, of which some broke before it was stopped.
func started(t *testing.T, name string, broken int) *fakeNode {
	t.Helper()
	content, err := os.ReadFile("../model/testdata/h100x2.json")
	if err != nil {
		t.Fatal(err)
	}
	state, err := model.Decode(content)
	if err != nil {
		t.Fatal(err)
	}
	for i := range broken {
		state.Devices[i].Fault.Lost = true
	}
	n := newNode(t, name)
	report, err := json.Marshal(model.Report{State: state})
	if err != nil {
		t.Fatal(err)
	}
	n.lists = string(report)
	return n
}

func TestAwait(t *testing.T) {
	t.Parallel()
	whole, half, none := started(t, "ai-worker", 0), started(t, "ai-worker2", 1), started(t, "ai-worker3", 2)
	half.early = &engine.CommandError{Command: "docker exec", Stderr: "read the state: no such file"}
	k, r := &kubectl{}, &steps{}
	h100 := spec.GPUs{Profile: "h100", Count: 2}
	o := Options{GPUs: []spec.GPUs{{}, h100, h100, h100}, Kubectl: k.run, Wait: 2 * time.Minute}
	if err := Await(t.Context(), list(newNode(t, "ai-control-plane"), whole, half, none, newNode(t, "one more")), o, r); err != nil {
		t.Fatal(err)
	}
	asked := map[string]bool{}
	for _, call := range k.calls {
		asked[call] = true
	}
	want := map[string]bool{
		`wait --timeout 2m0s --for=jsonpath={.status.allocatable.nvidia\.com/gpu}=2 node/ai-worker`:                                          true,
		`wait --timeout 2m0s --for=jsonpath={.status.allocatable.nvidia\.com/gpu}=1 node/ai-worker2`:                                         true,
		`wait --timeout 2m0s --for=jsonpath={.metadata.labels.nvidia\.com/gpu\.present}=true node/ai-worker node/ai-worker2 node/ai-worker3`: true,
	}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("kubectl -want +got:\n%s", diff)
	}
	if diff := cmp.Diff(steps{"Wait for the kubelets to offer the GPUs", "<nil>"}, *r); diff != "" {
		t.Errorf("steps -want +got:\n%s", diff)
	}
	for _, n := range []*fakeNode{whole, half, none} {
		if n.started != 0 || len(n.files) != 0 {
			t.Errorf("%s was changed", n)
		}
	}

	k.fail = errors.New("timed out")
	var late *NotOfferedError
	if err := Await(t.Context(), list(whole), Options{GPUs: []spec.GPUs{h100}, Kubectl: k.run}, nil); !errors.As(err, &late) || late.Want != 2 {
		t.Errorf("a kubelet that does not offer them: %v", err)
	}
}

func TestAwaitHasNothingToWaitFor(t *testing.T) {
	t.Parallel()
	for name, gpus := range map[string][]spec.GPUs{"no GPUs": {{}}, "a sandbox that does not say": nil} {
		r := &steps{}
		if err := Await(t.Context(), list(newNode(t, "ai-control-plane")), Options{GPUs: gpus}, r); err != nil || len(*r) != 0 {
			t.Errorf("%s: %v, steps %q", name, err, *r)
		}
	}
}
