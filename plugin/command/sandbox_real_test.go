package command

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
	"k8s.io/cli-runtime/pkg/genericiooptions"

	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/term"
	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
	"github.com/kubectl-ai/kubectl-ai/sandbox/engine"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/driver"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/driver/drivertest"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/spec"
)

// nodesChosen returns the nodes that `sandbox create` makes of these arguments on
// a machine, and what it said.
func nodesChosen(t *testing.T, m machine, e *engine.Engine, args string) ([]spec.GPUs, string, error) {
	t.Helper()
	var said bytes.Buffer
	o := &SandboxCreateOptions{Streams: term.Streams{IOStreams: genericiooptions.IOStreams{ErrOut: &said}}, GPUs: "auto"}
	flags := pflag.NewFlagSet("create", pflag.ContinueOnError)
	o.add(flags)
	flags.StringVar(&o.GPUs, "gpus", "auto", "")
	if err := flags.Parse(strings.Fields(args)); err != nil {
		t.Fatal(err)
	}
	if err := o.validateGPUs(flags); err != nil {
		return nil, "", err
	}
	err := o.chooseGPUs(m, e, flags)
	return o.nodes, said.String(), err
}

func TestGPUsOfThisMachine(t *testing.T) {
	t.Parallel()
	found, err := driver.Find(drivertest.Machine(t, "590.48.01", 4))
	if err != nil {
		t.Fatal(err)
	}
	bus := func(i ...int) spec.GPUs {
		var g spec.GPUs
		for _, n := range i {
			g.Devices = append(g.Devices, found.GPUs[n].BusID)
		}
		return g
	}
	shared := bus(0, 1, 2, 3)
	shared.Sharing = model.Sharing{Strategy: model.TimeSlicing, Replicas: 4}
	h100 := spec.GPUs{Profile: "h100", Count: 8}
	with, without := machine{driver: found}, machine{err: driver.ErrNoDriver}
	for _, c := range []struct {
		name, args string
		machine    machine
		want       []spec.GPUs
		says       string
	}{
		{"auto takes what there is", "", with, []spec.GPUs{bus(0, 1, 2, 3)}, "590.48.01 and 4 GPUs"},
		{"auto simulates elsewhere", "", without, []spec.GPUs{h100}, "no NVIDIA driver"},
		{"auto simulates when a profile is asked for", "--profile h100", with, []spec.GPUs{h100}, "as the flags ask"},
		{"fake simulates", "--gpus fake", with, []spec.GPUs{h100}, ""},
		{"none is none", "--gpus none", with, []spec.GPUs{{}}, ""},
		{"workers share them out", "--gpus real --nodes 4", with, []spec.GPUs{{}, bus(0, 1), bus(2), bus(3)}, ""},
		{"as many each as asked for", "--gpus real --nodes 3 --gpus-per-node 1", with, []spec.GPUs{{}, bus(0), bus(1)}, ""},
		{"they may be shared", "--gpus real --time-slicing 4", with, []spec.GPUs{shared}, ""},
		{
			"real and simulated nodes", "--node gpus=0 --node devices=2-3:0 --node devices=" + drivertest.UUID(1) + " --node profile=h100", with,
			[]spec.GPUs{{}, bus(2, 3, 0), bus(1), h100},
			"",
		},
	} {
		got, said, err := nodesChosen(t, c.machine, &engine.Engine{Name: "docker"}, c.args)
		if diff := cmp.Diff(c.want, got); err != nil || diff != "" || !strings.Contains(said, c.says) {
			t.Errorf("%s: %v, said %q, want %q\n%s", c.name, err, said, c.says, diff)
		}
	}
	if got, said, err := nodesChosen(t, with, &engine.Engine{Name: "podman", Rootless: true}, ""); err != nil || got[0].Real() || !strings.Contains(said, "rootless") {
		t.Errorf("auto on a rootless engine: %+v, %q, %v", got, said, err)
	}
}

func TestGPUsThatCannotBeHad(t *testing.T) {
	t.Parallel()
	found, err := driver.Find(drivertest.Machine(t, "590.48.01", 2))
	if err != nil {
		t.Fatal(err)
	}
	with, docker := machine{driver: found}, &engine.Engine{Name: "docker"}
	for _, c := range []struct {
		name, args string
		machine    machine
		engine     *engine.Engine
		id         string
		exit       int
	}{
		{"no driver", "--gpus real", machine{err: driver.ErrNoDriver}, docker, "GPU-030", explain.ExitPrecondition},
		{"no driver, listed", "--node devices=0", machine{err: driver.ErrNoDriver}, docker, "GPU-030", explain.ExitPrecondition},
		{"half a driver", "--gpus real", machine{err: &driver.IncompleteError{Version: "590.48.01", Missing: []string{"/dev/nvidia-uvm"}}}, docker, "GPU-031", explain.ExitPrecondition},
		{"a rootless engine", "--gpus real", with, &engine.Engine{Name: "podman", Rootless: true}, "GPU-034", explain.ExitPrecondition},
		{"too few for the nodes", "--gpus real --nodes 4", with, docker, "USE-001", explain.ExitUsage},
		{"too few for each", "--gpus real --nodes 3 --gpus-per-node 2", with, docker, "USE-001", explain.ExitUsage},
		{"one that is not there", "--node devices=7", with, docker, "GPU-032", explain.ExitUsage},
		{"one that is taken", "--node devices=0 --node devices=0-1", with, docker, "GPU-032", explain.ExitUsage},
	} {
		_, _, err := nodesChosen(t, c.machine, c.engine, c.args)
		if entry := explain.Find(err); err == nil || entry.ID != c.id || entry.Exit != c.exit {
			t.Errorf("%s: %v is %s, exit %d", c.name, err, entry.ID, entry.Exit)
		}
	}
	incomplete := &driver.IncompleteError{Version: "590.48.01", Missing: []string{"libcuda.so.590.48.01"}}
	got, said, err := nodesChosen(t, machine{err: incomplete}, docker, "")
	if err != nil || got[0].Real() || !strings.Contains(said, "libcuda.so.590.48.01") {
		t.Errorf("auto with half a driver: %+v, %q, %v", got, said, err)
	}
	if errors.Is(incomplete, driver.ErrNoDriver) {
		t.Error("half a driver is none")
	}
}

func TestDriverFilesAreMountedWhereTheyAreNeeded(t *testing.T) {
	t.Parallel()
	d := driver.Driver{Files: []string{"/usr/lib64/libcuda.so.1.2"}}
	got := driverMounts([]spec.GPUs{{}, {Devices: []string{"all"}}, {Profile: "h100", Count: 8}}, d)
	want := [][]cluster.Mount{nil, {{Machine: "/usr/lib64/libcuda.so.1.2", Node: "/run/nvidia/host-driver/usr/lib64/libcuda.so.1.2"}}, nil}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
