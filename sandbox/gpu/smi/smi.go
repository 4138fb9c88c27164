// Package smi is the nvidia-smi that a pod with simulated GPUs finds: the
// command line, output forms and exit codes of NVIDIA's tool (driver 590), for
// what programs ask of it. It reads the state that ai-gpu wrote into the node
// and shows the GPUs that the container was given.
//
// As with the real tool, errors go to stdout, where scripts look for them.
// What is simulated says so where people look (the table, --version, --help)
// and not where programs do (-L, CSV).
package smi

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// Exit codes of the real tool.
const (
	exitDone     = 0
	exitUsage    = 2 // an argument is wrong
	exitNotFound = 6 // a query found no GPU
	exitNoDriver = 9 // nothing answers for the driver
)

// System is what the tool sees of the machine.
type System struct {
	Now time.Time
	// LookupEnv reads the environment, as os.LookupEnv does.
	LookupEnv func(string) (string, bool)
	// StateDirs are searched for the state in this order.
	StateDirs []string
}

// Run runs nvidia-smi with these arguments and returns its exit code.
func Run(args []string, system System, out io.Writer) int {
	t := &tool{System: system, out: out}
	o, err := parse(args)
	if err == nil && o.help {
		t.print(help)
		return exitDone
	}
	if err == nil && o.helpQuery != nil {
		t.print(o.helpQuery())
		return exitDone
	}
	if err == nil {
		err = t.load()
	}
	if err == nil {
		err = t.run(o)
	}
	var failure *failure
	switch {
	case errors.As(err, &failure):
		t.print(failure.message + "\n")
		return failure.exit
	case err != nil: // stdout is closed: nobody is there to be told
		return 1
	}
	return exitDone
}

// failure is a message on stdout and an exit code.
type failure struct {
	exit    int
	message string
}

func (f *failure) Error() string { return f.message }

func usagef(format string, args ...any) error {
	return &failure{exitUsage, fmt.Sprintf(format, args...)}
}

var errNotFound = &failure{exitNotFound, "No devices were found"}

type tool struct {
	System
	out     io.Writer
	failed  error
	state   model.State
	devices []model.Device
}

func (t *tool) print(text string) {
	if t.failed == nil {
		_, t.failed = io.WriteString(t.out, text)
	}
}

// load reads the state and picks the GPUs of this container. Without the
// variable this is the node itself, which sees all.
func (t *tool) load() error {
	state, err := model.Read(t.StateDirs...)
	if err != nil {
		detail := err.Error()
		if errors.Is(err, fs.ErrNotExist) {
			detail = "There is no GPU state in " + strings.Join(t.StateDirs, " or ") + "; is kubectl-ai-gpu.service running in the node?"
		}
		return &failure{exitNoDriver, "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver.\n" + detail + "\n"}
	}
	visible, set := t.LookupEnv(model.VisibleDevices)
	if !set {
		visible = "all"
	}
	t.state, t.devices = state, state.Visible(visible)
	return nil
}

func (t *tool) run(o options) error {
	if o.version {
		t.version()
		return t.failed
	}
	devices, err := t.choose(o.ids)
	if err != nil {
		return err
	}
	switch {
	case o.list:
		for _, d := range devices {
			t.print(fmt.Sprintf("GPU %d: %s (UUID: %s)\n", d.Index, d.Name, d.UUID))
		}
	case o.query != nil:
		t.csv(*o.query, devices)
	default:
		t.table(devices)
	}
	return t.failed
}

// choose returns the devices that -i names: indices, UUIDs or bus ids, in the
// order of the bus.
func (t *tool) choose(ids []string) ([]model.Device, error) {
	if len(t.devices) == 0 {
		return nil, errNotFound
	}
	if ids == nil {
		return t.devices, nil
	}
	chosen := map[int]bool{}
	for _, id := range ids {
		found := false
		for _, d := range t.devices {
			if id == strconv.Itoa(d.Index) || strings.EqualFold(id, d.UUID) || sameBus(id, d.PCIBusID) {
				chosen[d.Index], found = true, true
			}
		}
		if !found {
			return nil, errNotFound
		}
	}
	var devices []model.Device
	for _, d := range t.devices {
		if chosen[d.Index] {
			devices = append(devices, d)
		}
	}
	return devices, nil
}

// sameBus compares bus ids, whose domain has four or eight digits or none.
func sameBus(id, bus string) bool {
	if strings.Count(id, ":") == 0 {
		return false
	}
	short := func(s string) string {
		if domain, rest, ok := strings.Cut(s, ":"); ok && strings.Contains(rest, ":") && strings.Trim(domain, "0") == "" {
			return rest
		}
		return s
	}
	return strings.EqualFold(short(id), short(bus))
}

func (t *tool) version() {
	_, nvml, _ := strings.Cut(t.state.NVMLVersion, ".")
	if parts := strings.Split(nvml, "."); len(parts) > 2 {
		nvml = strings.Join(parts[:2], ".")
	}
	t.print("NVIDIA-SMI version  : " + t.state.DriverVersion + "\n" +
		"NVML version        : " + nvml + "\n" +
		"DRIVER version      : " + t.state.DriverVersion + "\n" +
		"CUDA Version        : " + t.state.CUDAVersion + "\n")
	if t.state.Simulated {
		t.print("Simulated by        : kubectl-ai\n")
	}
}
