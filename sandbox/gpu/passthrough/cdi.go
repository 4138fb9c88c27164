package passthrough

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/NVIDIA/nvidia-container-toolkit/pkg/nvcdi"
	"github.com/NVIDIA/nvidia-container-toolkit/pkg/nvcdi/transform"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/driver"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// CDIKind is the vendor and class under which the GPUs are described:
// containers ask for nvidia.com/gpu=UUID.
const CDIKind = "nvidia.com/gpu"

const specFile = "kubectl-ai.yaml"

// disabledHooks have no place here: one limits memory of boards that share it
// with the CPU and asks NVML for that at every start of a container, the other
// is for graphics.
var disabledHooks = []string{"apply-cuda-memory-limits", "update-application-profile"}

// WriteCDI describes the GPUs of a state to containerd, by index, by UUID, and
// all of them as "all": programs ask by any.
func (m *Machine) WriteCDI(s model.State) error {
	folders, err := m.libraryFolders()
	if err != nil {
		return err
	}
	cdi, err := nvcdi.New(
		nvcdi.WithMode(nvcdi.ModeNvml),
		nvcdi.WithLogger(toolkitLog{m.Log}),
		nvcdi.WithNvmlLib(m.NVML),
		nvcdi.WithDriverRoot(m.DriverRoot),
		nvcdi.WithDevRoot(m.Root),
		nvcdi.WithLibrarySearchPaths(folders),
		nvcdi.WithNVIDIACDIHookPath(m.Hook),
		nvcdi.WithDisabledHooks(disabledHooks...),
		nvcdi.WithDeviceNamers(indices(s), uuids{}),
		nvcdi.WithMergedDeviceOptions(transform.WithName(driver.All)),
		// The machine's sockets are not in the node, and NVML says all that
		// the other library would.
		nvcdi.WithFeatureFlags(nvcdi.FeatureDisableIPCDiscoverer, nvcdi.FeatureDisableNvsandboxUtils),
	)
	if err != nil {
		return fmt.Errorf("describe the GPUs to containerd: %w", err)
	}
	spec, err := cdi.GetSpec(devices(s)...)
	if err != nil {
		return fmt.Errorf("describe the GPUs to containerd: %w", err)
	}
	// It voids the variable, for NVIDIA's own runtime not to act on it as
	// well. There is none in a node, and programs read which GPUs are theirs.
	raw := spec.Raw()
	raw.ContainerEdits.Env = slices.DeleteFunc(raw.ContainerEdits.Env, func(v string) bool {
		return v == model.VisibleDevices+"=void"
	})
	if err := spec.Save(filepath.Join(m.CDIDir, specFile)); err != nil {
		return fmt.Errorf("describe the GPUs to containerd: %w", err)
	}
	return nil
}

// libraryFolders are those of the driver's libraries below its root.
func (m *Machine) libraryFolders() ([]string, error) {
	var folders []string
	for _, pattern := range []string{"*/*", "*/*/*", "*/*/*/*", "*/*/*/*/*"} {
		found, err := filepath.Glob(filepath.Join(m.DriverRoot, pattern, "libnvidia-ml.so.*"))
		if err != nil {
			return nil, fmt.Errorf("find the driver's libraries: %w", err)
		}
		for _, path := range found {
			if dir := filepath.Dir(path); !slices.Contains(folders, dir) {
				folders = append(folders, dir)
			}
		}
	}
	return folders, nil
}

// devices returns the UUIDs of what containers can have: MIG devices of GPUs
// that are cut, and the other GPUs.
func devices(s model.State) []string {
	var ids []string
	for _, d := range s.Devices {
		if !d.MIGEnabled || s.MIGStrategy == model.MIGNone {
			ids = append(ids, d.UUID)
			continue
		}
		for _, m := range d.MIG {
			ids = append(ids, m.UUID)
		}
	}
	return ids
}

// indices names a device by its place in the state, "0" or "0:1", which is
// that of the node and not of the machine.
type indices model.State

func (s indices) GetDeviceName(_ int, d nvcdi.UUIDer) (string, error) {
	uuid, err := d.GetUUID()
	if err != nil {
		return "", err
	}
	for _, gpu := range s.Devices {
		if gpu.UUID == uuid {
			return strconv.Itoa(gpu.Index), nil
		}
	}
	return "", nil
}

func (s indices) GetMigDeviceName(_ int, _ nvcdi.UUIDer, _ int, d nvcdi.UUIDer) (string, error) {
	uuid, err := d.GetUUID()
	if err != nil {
		return "", err
	}
	for _, gpu := range s.Devices {
		for i, m := range gpu.MIG {
			if m.UUID == uuid {
				return fmt.Sprintf("%d:%d", gpu.Index, i), nil
			}
		}
	}
	return "", nil
}

type uuids struct{}

func (uuids) GetDeviceName(_ int, d nvcdi.UUIDer) (string, error) { return d.GetUUID() }

func (uuids) GetMigDeviceName(_ int, _ nvcdi.UUIDer, _ int, d nvcdi.UUIDer) (string, error) {
	return d.GetUUID()
}

// toolkitLog is NVIDIA's toolkit speaking to our log. What it does not find is
// no warning: boards and drivers differ.
type toolkitLog struct{ log *slog.Logger }

func (l toolkitLog) Debugf(f string, a ...any)   { l.log.Debug(fmt.Sprintf(f, a...)) }
func (l toolkitLog) Tracef(f string, a ...any)   { l.log.Debug(fmt.Sprintf(f, a...)) }
func (l toolkitLog) Infof(f string, a ...any)    { l.log.Debug(fmt.Sprintf(f, a...)) }
func (l toolkitLog) Warningf(f string, a ...any) { l.log.Debug(fmt.Sprintf(f, a...)) }
func (l toolkitLog) Errorf(f string, a ...any)   { l.log.Error(fmt.Sprintf(f, a...)) }
