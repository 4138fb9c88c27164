// Package smi is the nvidia-smi that a pod with simulated GPUs finds: the
// command line, output forms and exit codes of NVIDIA's tool, for what
// programs ask of it. It reads the state that ai-gpu wrote into the node and
// shows the GPUs, or the MIG device, that the container was given.
//
// The output's form is data: fields.txt has the fields of --query-gpu and
// report.txt the entries of -q and -q -x, each with the drivers that have it;
// they are facts of real machines' output (see package form). The driver that
// the state claims decides, see formOf.
//
// As with the real tool, errors go to stdout, where scripts look for them.
// What is simulated says so where people look and not where programs do: in
// -h and --version, and below the table on a terminal. What is piped has the
// real tool's form, line for line.
package smi

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// Exit codes of the real tool.
const (
	exitDone     = 0
	exitUsage    = 2  // an argument is wrong
	exitNotFound = 6  // a query found no GPU
	exitNoDriver = 9  // nothing answers for the driver
	exitLost     = 15 // a GPU has fallen off the bus
)

// System is what the tool sees of the machine.
type System struct {
	Now func() time.Time
	// Wait lets a time pass between two rounds of --loop and tells whether
	// to go on.
	Wait func(time.Duration) bool
	// LookupEnv reads the environment, as os.LookupEnv does.
	LookupEnv func(string) (string, bool)
	// StateDirs are searched for the state in this order.
	StateDirs []string
	// PIDNamespace is the namespace of the tool, whose processes it shows.
	PIDNamespace uint64
	// CPUs is the list of CPUs, "0-19".
	CPUs string
	// Terminal tells whether a person reads the output.
	Terminal bool
}

// Run runs nvidia-smi with these arguments and returns its exit code.
func Run(args []string, system System, out io.Writer) int {
	t := &tool{System: system, out: out}
	o, err := parse(args)
	if err == nil {
		err = t.do(o)
	}
	var (
		failure *failure
		silent  *silent
	)
	switch {
	case errors.As(err, &silent):
		return silent.exit
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
	now     time.Time // of this round
	state   model.State
	form    int // driver whose form the output has
	devices []model.Device
}

func (t *tool) print(text string) {
	if t.failed == nil {
		_, t.failed = io.WriteString(t.out, text)
	}
}

func (t *tool) printf(format string, args ...any) { t.print(fmt.Sprintf(format, args...)) }

// do answers help, and everything else once or in a loop.
func (t *tool) do(o options) error {
	if o.help {
		t.print(help)
		return t.failed
	}
	if o.file == "" {
		return t.rounds(o)
	}
	f, err := os.Create(o.file)
	if err != nil {
		return usagef("Unable to open file %s for writing: %v", o.file, err)
	}
	stdout := t.out
	t.out = f
	err = t.rounds(o)
	t.out = stdout // which is told of errors
	return errors.Join(err, f.Close())
}

// rounds does what was asked for until enough rounds are done or nobody
// listens. A GPU that is lost ends no loop: it may come back.
func (t *tool) rounds(o options) error {
	for {
		err := t.round(o)
		var lost *silent
		if err != nil && !errors.As(err, &lost) || o.every == 0 {
			return err
		}
		o.again = true
		if o.rounds--; o.rounds == 0 || !t.Wait(o.every) {
			return err
		}
	}
}

func (t *tool) round(o options) error {
	t.now = t.Now()
	if err := t.load(); err != nil {
		if !o.anywhere {
			return err
		}
		t.form = formOf(model.DefaultDriver)
	}
	err := o.action(t, o)
	if t.failed != nil {
		return t.failed
	}
	return err
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
	t.state, t.form = state, formOf(state.DriverVersion)
	t.devices = state.Visible(visible)
	for i, d := range t.devices {
		t.devices[i] = t.seen(d)
	}
	return nil
}

// seen is a GPU with the readings that were set by hand and the processes
// of this container: a container sees no others.
func (t *tool) seen(d model.Device) model.Device {
	set := d.Fault.Set
	if set.Temperature != nil {
		d.Temperature = *set.Temperature
	}
	if set.Power != nil {
		d.PowerMilliwatts = *set.Power * 1000
	}
	if set.Utilization != nil {
		d.Utilization = *set.Utilization
	}
	d.Processes = t.own(d.Processes)
	mig := make([]model.MIGDevice, len(d.MIG))
	for i, m := range d.MIG {
		m.Processes = t.own(m.Processes)
		mig[i] = m
	}
	d.MIG = mig
	return d
}

func (t *tool) own(processes []model.Process) []model.Process {
	var own []model.Process
	for _, p := range processes {
		if p.Namespace == t.PIDNamespace {
			own = append(own, p)
		}
	}
	return own
}

func showVersion(t *tool, _ options) error {
	_, nvml, _ := strings.Cut(t.state.NVMLVersion, ".")
	if parts := strings.Split(nvml, "."); len(parts) > 2 {
		nvml = strings.Join(parts[:2], ".")
	}
	lines := [][2]string{{"NVIDIA-SMI version", t.state.DriverVersion}, {"NVML version", nvml}}
	if t.form < 610 {
		lines = append(lines, [2]string{"DRIVER version", t.state.DriverVersion}, [2]string{"CUDA Version", t.state.CUDAVersion})
	} else {
		lines = append(lines, [2]string{"DRIVER version", `Deprecated, see "KMD version" instead`}, [2]string{"CUDA version", `Deprecated, see "CUDA UMD version" instead`},
			[2]string{"KMD version", t.state.DriverVersion}, [2]string{"CUDA UMD version", t.state.CUDAVersion})
	}
	if t.state.Simulated {
		lines = append(lines, [2]string{"Simulated by", "kubectl-ai"})
	}
	for _, l := range lines {
		t.printf("%-20s: %s\n", l[0], l[1])
	}
	return nil
}

func showList(t *tool, o options) error {
	return t.each(o.ids, func(d model.Device) {
		t.printf("GPU %d: %s (UUID: %s)\n", d.Index, d.Name, d.UUID)
		for i, m := range d.MIG {
			t.printf("  MIG %-12sDevice %2d: (UUID: %s)\n", migName(m), i, m.UUID)
		}
	})
}

// migName is the profile, with the compute slices in front where an instance
// does not fill its GPU instance.
func migName(m model.MIGDevice) string {
	if m.ComputeSlices > 0 && m.ComputeSlices < m.GPUSlices {
		return fmt.Sprintf("%dc.%s", m.ComputeSlices, m.Profile)
	}
	return m.Profile
}
