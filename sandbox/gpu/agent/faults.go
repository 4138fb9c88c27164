package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// Faults are those of a node's GPUs, by UUID. A GPU that is not there is in
// order.
type Faults map[string]model.Fault

// faultsFile lies beside the state. The agent reads it, `ai-gpu fail` and
// others write it.
const faultsFile = "faults.json"

// faultsVersion is the version of the file.
const faultsVersion = "gpu.kubectl-ai.dev/faults.v1"

type faultsContent struct {
	Version string `json:"version"`
	Devices Faults `json:"devices"`
}

// ReadFaults returns the faults that a folder holds, none when there is no
// file.
func ReadFaults(dir string) (Faults, error) {
	content, err := os.ReadFile(filepath.Join(dir, faultsFile))
	if errors.Is(err, os.ErrNotExist) {
		return Faults{}, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the faults: %w", err)
	}
	var f faultsContent
	if err := json.Unmarshal(content, &f); err != nil {
		return nil, fmt.Errorf("read the faults: %w", err)
	}
	if f.Version != faultsVersion {
		return nil, fmt.Errorf("read the faults: %w: %q", model.ErrVersion, f.Version)
	}
	return f.Devices, nil
}

// ChangeFaults lets one caller at a time change the faults in a folder.
func ChangeFaults(dir string, change func(Faults) error) (err error) {
	lock, err := os.OpenFile(filepath.Join(dir, faultsFile+".lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("lock the faults: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return fmt.Errorf("lock the faults: %w", err)
	}
	faults, err := ReadFaults(dir)
	if err != nil {
		return err
	}
	if faults == nil {
		faults = Faults{}
	}
	if err := change(faults); err != nil {
		return err
	}
	content, err := json.MarshalIndent(faultsContent{faultsVersion, faults}, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the faults: %w", err)
	}
	return model.WriteFile(dir, faultsFile, append(content, '\n'))
}
