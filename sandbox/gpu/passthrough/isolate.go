package passthrough

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/driver"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// Isolate keeps the node to the GPUs of a state: device nodes of others go,
// and the driver's libraries are told not to make them anew. It lasts until
// the node stops.
func (m *Machine) Isolate(s model.State) error {
	if err := m.freezeDeviceNodes(); err != nil {
		return err
	}
	gpus, err := driver.GPUs(m.Root)
	if err != nil {
		return err
	}
	own := map[int]bool{}
	for _, d := range s.Devices {
		own[d.Minor] = true
	}
	for _, g := range gpus {
		if g.Minor < 0 || own[g.Minor] {
			continue
		}
		if err := hide(filepath.Join(m.Root, "dev", fmt.Sprintf("nvidia%d", g.Minor))); err != nil {
			return err
		}
		m.Log.Info("GPU of the machine is not this node's", "gpu", g.BusID)
	}
	return nil
}

// hide removes a device node, mounted or made.
func hide(path string) error {
	for {
		err := unix.Unmount(path, unix.MNT_DETACH)
		if err == nil {
			continue // there may be several, one over the other
		}
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EPERM) {
			break // it is none, or not ours to unmount
		}
		return fmt.Errorf("unmount %s: %w", path, err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("hide a GPU of the machine: %w", err)
	}
	return nil
}

const (
	modify   = "ModifyDeviceFiles: 1"
	noModify = "ModifyDeviceFiles: 0"
)

// freezeDeviceNodes puts a copy over the driver's parameters in which it lets
// nobody make device nodes. NVIDIA's libraries heed it.
func (m *Machine) freezeDeviceNodes() error {
	params := filepath.Join(m.Root, "proc/driver/nvidia/params")
	content, err := os.ReadFile(params)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the driver's parameters: %w", err)
	}
	if !strings.Contains(string(content), modify) {
		return nil
	}
	f, err := os.CreateTemp("", "nvidia-params-*")
	if err != nil {
		return fmt.Errorf("copy the driver's parameters: %w", err)
	}
	defer func() { _ = os.Remove(f.Name()) }() // the mount holds it
	_, err = f.WriteString(strings.Replace(string(content), modify, noModify, 1))
	if err := errors.Join(err, f.Chmod(0o444), f.Close()); err != nil {
		return fmt.Errorf("copy the driver's parameters: %w", err)
	}
	if err := unix.Mount(f.Name(), params, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount over %s: %w", params, err)
	}
	return nil
}
