package passthrough

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/NVIDIA/go-nvml/pkg/nvml"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/driver"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/nvmlsource"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/spec"
)

// Machine is the machine's GPUs as a node finds them. The folders are those of
// a node unless a test says otherwise.
type Machine struct {
	NVML       nvml.Interface
	DriverRoot string // driver.NodeRoot
	Root       string // what has /dev and /proc: "/"
	CDIDir     string // CDIDir
	Hook       string // the program that CDI's hooks run
	Log        *slog.Logger

	last model.State // that Watch has shown; its own
}

// CDIDir is where containerd looks for CDI specs.
const CDIDir = "/var/run/cdi"

// Open finds NVML among the driver's files of a node.
func Open(log *slog.Logger) (*Machine, error) {
	library, err := findLibrary(driver.NodeRoot)
	if err != nil {
		return nil, err
	}
	return &Machine{
		NVML: nvml.New(nvml.WithLibraryPath(library)), DriverRoot: driver.NodeRoot, Root: "/",
		CDIDir: CDIDir, Hook: driver.HookPath, Log: log,
	}, nil
}

// findLibrary returns the path of NVML below a driver root.
func findLibrary(root string) (string, error) {
	var found string
	err := filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if err == nil && found == "" && strings.HasPrefix(filepath.Base(path), "libnvidia-ml.so.") {
			found = path
		}
		return err
	})
	if err == nil && found == "" {
		err = os.ErrNotExist
	}
	if err != nil {
		return "", fmt.Errorf("find libnvidia-ml.so in %s: %w", root, err)
	}
	return found, nil
}

// NotHereError says that NVML does not show devices that the node is to have.
type NotHereError struct{ Devices []string }

func (e *NotHereError) Error() string {
	return fmt.Sprintf("the driver shows no %s", strings.Join(e.Devices, ", "))
}

// errNothing is NVML without GPUs: none has a device node in the node.
var errNothing = errors.New("the driver shows no GPU at all")

// State returns the GPUs of a node, numbered from 0 in the order of the bus,
// and the node with what follows from them: under MIG, the strategy is mixed
// unless it says another. It returns *NotHereError.
func (m *Machine) State(node spec.Node) (model.State, spec.Node, error) {
	all, err := nvmlsource.Snapshot(m.NVML)
	if err != nil {
		return model.State{}, node, err
	}
	if len(all.Devices) == 0 {
		return model.State{}, node, errNothing
	}
	state, err := choose(all, node.GPUs.Devices)
	if err != nil {
		return model.State{}, node, err
	}
	state.Cluster, state.Node = node.Cluster, node.Name
	cut := slices.ContainsFunc(state.Devices, func(d model.Device) bool { return d.MIGEnabled })
	if cut && node.GPUs.MIGStrategy == "" {
		node.GPUs.MIGStrategy = model.MIGMixed
	}
	state.Sharing, state.MIGStrategy = node.GPUs.Sharing, node.GPUs.MIGStrategy
	return state, node, nil
}

// choose keeps the devices with these identities. A GPU of which only MIG
// devices are named is there with those alone.
func choose(all model.State, ids []string) (model.State, error) {
	here := map[string]bool{}
	named := func(match func(id string) bool) (found bool) {
		for _, id := range ids {
			if match(id) {
				here[id], found = true, true
			}
		}
		return found
	}
	chosen := all
	chosen.Devices = nil
	for _, d := range all.Devices {
		whole := named(func(id string) bool {
			return id == driver.All || strings.EqualFold(id, d.UUID) || driver.SameBus(id, d.PCIBusID)
		})
		d.MIG = slices.DeleteFunc(slices.Clone(d.MIG), func(m model.MIGDevice) bool {
			return !named(func(id string) bool { return strings.EqualFold(id, m.UUID) }) && !whole
		})
		if whole || len(d.MIG) > 0 {
			d.Index = len(chosen.Devices)
			chosen.Devices = append(chosen.Devices, d)
		}
	}
	missing := slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return here[id] })
	if len(missing) > 0 {
		return chosen, &NotHereError{Devices: missing}
	}
	return chosen, nil
}
