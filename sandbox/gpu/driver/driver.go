package driver

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// ErrNoDriver says that no NVIDIA driver is loaded on this machine.
var ErrNoDriver = errors.New("no NVIDIA driver is loaded")

// Driver is the driver of a machine.
type Driver struct {
	Version string // "590.48.01", of the kernel module
	GPUs    []GPU  // by address, which is the order of NVML's indices
	Files   []string
}

// GPU is one that the driver drives.
type GPU struct {
	BusID string // domain:bus:device.function, "0000:1b:00.0"
	UUID  string // "" until a program has used the GPU
	Model string
	Minor int // of its device node
}

// IncompleteError says what of the driver programs would miss.
type IncompleteError struct {
	Version string
	Missing []string
}

func (e *IncompleteError) Error() string {
	return fmt.Sprintf("NVIDIA driver %s: missing %s", e.Version, strings.Join(e.Missing, ", "))
}

// Fix is what most likely helps.
func (e *IncompleteError) Fix() string {
	for _, missing := range e.Missing {
		switch {
		case strings.HasPrefix(missing, "/dev/"):
			return "sudo nvidia-modprobe -u -c=0"
		case strings.HasPrefix(missing, "lib"):
			return "reboot, if the driver was just updated: the loaded module is " + e.Version
		}
	}
	return "nvidia-smi, which says what the driver sees"
}

const (
	versionFile = "proc/driver/nvidia/version"
	gpusFolder  = "proc/driver/nvidia/gpus"
)

// Find returns the driver of the machine whose root folder is given, "/" but
// in tests. It returns ErrNoDriver, or an *IncompleteError with what there is.
func Find(root string) (Driver, error) {
	d := Driver{}
	content, err := os.ReadFile(filepath.Join(root, versionFile))
	if errors.Is(err, fs.ErrNotExist) {
		return d, ErrNoDriver
	}
	if err != nil {
		return d, fmt.Errorf("read the driver's version: %w", err)
	}
	if d.Version = Version(string(content)); d.Version == "" {
		return d, fmt.Errorf("read the driver's version: %q has none", bytes.TrimSpace(content))
	}
	if d.GPUs, err = GPUs(root); err != nil {
		return d, err
	}
	if d.Files, err = files(root, d.Version); err != nil {
		return d, err
	}
	var missing []string
	for _, library := range []string{"libnvidia-ml.so.", "libcuda.so."} {
		if !slices.ContainsFunc(d.Files, func(f string) bool { return filepath.Base(f) == library+d.Version }) {
			missing = append(missing, library+d.Version)
		}
	}
	// Nodes see the device nodes that are there when they start.
	for _, node := range []string{"/dev/nvidiactl", "/dev/nvidia-uvm"} {
		if _, err := os.Stat(filepath.Join(root, node)); err != nil {
			missing = append(missing, node)
		}
	}
	if len(d.GPUs) == 0 {
		missing = append(missing, "a GPU in /"+gpusFolder)
	}
	if len(missing) > 0 {
		return d, &IncompleteError{Version: d.Version, Missing: missing}
	}
	return d, nil
}

var number = regexp.MustCompile(`Kernel Module.*?\s(\d+\.\d+(?:\.\d+)?)`)

// Version reads the kernel module's description of itself, "" for none.
func Version(description string) string {
	if m := number.FindStringSubmatch(description); m != nil {
		return m[1]
	}
	return ""
}

// GPUs returns the GPUs of the machine whose root folder is given, without
// those that the driver was told to leave alone.
func GPUs(root string) ([]GPU, error) {
	entries, err := os.ReadDir(filepath.Join(root, gpusFolder)) // sorted
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list the driver's GPUs: %w", err)
	}
	var gpus []GPU
	for _, e := range entries {
		content, err := os.ReadFile(filepath.Join(root, gpusFolder, e.Name(), "information"))
		if err != nil {
			return nil, fmt.Errorf("read GPU %s: %w", e.Name(), err)
		}
		if g, excluded := parseGPU(e.Name(), content); !excluded {
			gpus = append(gpus, g)
		}
	}
	return gpus, nil
}

// parseGPU reads what the driver writes of a GPU: lines of "Label: value".
func parseGPU(busID string, content []byte) (g GPU, excluded bool) {
	g = GPU{BusID: strings.ToLower(busID), Minor: -1}
	for lines := bufio.NewScanner(bytes.NewReader(content)); lines.Scan(); {
		label, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimSpace(value)
		switch label {
		case "Model":
			g.Model = value
		case "GPU UUID":
			if !strings.Contains(value, "?") { // not known before the first use
				g.UUID = value
			}
		case "Device Minor":
			if n, err := strconv.Atoi(value); err == nil {
				g.Minor = n
			}
		case "GPU Excluded":
			excluded = value == "Yes"
		}
	}
	return g, excluded
}

// SameBus tells whether two addresses are one: NVML writes the domain with
// eight digits and in capitals, the kernel with four.
func SameBus(a, b string) bool { return shortBus(a) == shortBus(b) }

func shortBus(id string) string {
	id = strings.ToLower(id)
	domain, rest, ok := strings.Cut(id, ":")
	if ok && len(domain) == 8 && strings.HasPrefix(domain, "0000") {
		return domain[4:] + ":" + rest
	}
	return id
}
