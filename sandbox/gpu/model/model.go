// Package model says what a GPU is to everything that reads one: the device
// plugin, nvidia-smi in a pod, labels. A State is a snapshot of the GPUs of a
// node; ai-gpu takes it once from NVML (see nvmlsource), writes it into the
// node as JSON, and all readers read that, so that they cannot disagree.
//
// The package is plain Go: nvidia-smi stays small and kubectl-ai is built for
// every platform, while NVML needs cgo.
package model

import (
	"strings"
)

// Resource is the extended resource under which GPUs are scheduled.
const Resource = "nvidia.com/gpu"

// VisibleDevices is the environment variable that tells a container which
// GPUs are its own.
const VisibleDevices = "NVIDIA_VISIBLE_DEVICES"

// MaxPerNode is the largest number of GPUs that a simulated node may have.
const MaxPerNode = 64

// StateVersion is the version of State's JSON. A reader refuses another.
const StateVersion = "gpu.kubectl-ai.dev/v2"

// Folders and files in a node and in its pods.
const (
	// NodeDir holds the state in the node. It is not under /run, which is
	// empty after a restart of the node, when the kubelet mounts it again
	// into pods without asking the device plugin.
	NodeDir = "/var/lib/kubectl-ai/gpu"
	// PodDir is where a pod sees NodeDir, read-only.
	PodDir = "/run/kubectl-ai/gpu"
	// StateFile is the name of the state in either.
	StateFile = "state.json"
	// SMIPath is nvidia-smi, in the node and in its pods.
	SMIPath = "/usr/bin/nvidia-smi"
	// NVMLPath is the NVML library of pods in the node, where no program of
	// the node itself finds it.
	NVMLPath = "/usr/local/lib/kubectl-ai/libnvidia-ml.so.1"
	// AgentPath is ai-gpu in the node.
	AgentPath = "/usr/local/bin/ai-gpu"
)

// State is the GPUs of one node at one time.
type State struct {
	Version       string   `json:"version"`
	Node          string   `json:"node"`
	Cluster       string   `json:"cluster"`
	Simulated     bool     `json:"simulated"`
	Profile       string   `json:"profile,omitempty"`
	DriverVersion string   `json:"driverVersion"`
	NVMLVersion   string   `json:"nvmlVersion"` // with the CUDA major in front, as NVML gives it: "13.590.48"
	CUDAVersion   string   `json:"cudaVersion"` // "13.1"
	Sharing       Sharing  `json:"sharing,omitzero"`
	MIGStrategy   string   `json:"migStrategy,omitempty"` // MIGNone, MIGSingle or MIGMixed
	Devices       []Device `json:"devices"`
}

// Device is one GPU. Memory is in bytes, power in milliwatts, clocks in MHz,
// temperature in degrees Celsius, utilisation in per cent.
type Device struct {
	Index             int    `json:"index"`
	UUID              string `json:"uuid"` // GPU-8-4-4-4-12, lower case
	Name              string `json:"name"`
	Serial            string `json:"serial"`
	Minor             int    `json:"minor"`
	PCIBusID          string `json:"pciBusID"` // domain:bus:device.function, "00000000:1B:00.0"
	PCIDeviceID       uint32 `json:"pciDeviceID"`
	Architecture      string `json:"architecture"` // as the label gpu.family has it: "hopper"
	ComputeCapability string `json:"computeCapability"`

	MemoryBytes         uint64 `json:"memoryBytes"`
	ReservedMemoryBytes uint64 `json:"reservedMemoryBytes"`
	UsedMemoryBytes     uint64 `json:"usedMemoryBytes"`
	Utilization         int    `json:"utilization"`
	MemoryUtilization   int    `json:"memoryUtilization"`

	Temperature        int  `json:"temperature"`
	MemoryTemperature  int  `json:"memoryTemperature,omitempty"` // 0: the board has no such sensor
	PowerMilliwatts    int  `json:"powerMilliwatts"`
	PowerLimit         int  `json:"powerLimitMilliwatts"`
	MinPowerLimit      int  `json:"minPowerLimitMilliwatts"`
	GraphicsClock      int  `json:"graphicsClock"`
	MemoryClock        int  `json:"memoryClock"`
	VideoClock         int  `json:"videoClock"`
	MaxGraphicsClock   int  `json:"maxGraphicsClock"`
	MaxMemoryClock     int  `json:"maxMemoryClock"`
	PCIeGeneration     int  `json:"pcieGeneration"`
	PCIeWidth          int  `json:"pcieWidth"`
	PerformanceState   int  `json:"performanceState"`
	PersistenceEnabled bool `json:"persistenceEnabled"`
	MIGCapable         bool `json:"migCapable"`
	MIGEnabled         bool `json:"migEnabled"`

	NVLinkGroup int `json:"nvLinkGroup,omitempty"` // how many boards in a row are joined; 0: none
	NUMANode    int `json:"numaNode,omitempty"`

	MIG       []MIGDevice `json:"mig,omitempty"` // by placement
	Fault     Fault       `json:"fault,omitzero"`
	Processes []Process   `json:"processes,omitempty"`
}

const mebibyte = 1 << 20

// MiB rounds bytes to mebibytes, half up, as nvidia-smi shows memory.
func MiB(bytes uint64) uint64 { return (bytes + mebibyte/2) / mebibyte }

// MemoryMiB is the memory of the board.
func (d Device) MemoryMiB() uint64 { return MiB(d.MemoryBytes) }

// FreeMemoryBytes is what neither the driver nor a program holds.
func (d Device) FreeMemoryBytes() uint64 {
	held := d.ReservedMemoryBytes + d.UsedMemoryBytes
	if held > d.MemoryBytes {
		return 0
	}
	return d.MemoryBytes - held
}

// UUIDs returns the identities of all devices in order.
func (s State) UUIDs() []string {
	ids := make([]string, len(s.Devices))
	for i, d := range s.Devices {
		ids[i] = d.UUID
	}
	return ids
}

// Visible returns the devices that a container may see, by the value of its
// NVIDIA_VISIBLE_DEVICES: UUIDs of GPUs or MIG devices, or indices ("1", and
// "1:0" of a MIG device), joined by commas, "all", or "none" and "void". They
// keep the order of the bus and are numbered from 0, as the driver numbers
// them in a container. Who has a MIG device sees its GPU, with that one alone.
func (s State) Visible(value string) []Device {
	value = strings.TrimSpace(value)
	all := value == "all"
	wanted := map[string]bool{}
	for item := range strings.SplitSeq(value, ",") {
		wanted[strings.TrimSpace(item)] = true
	}
	visible := []Device{}
	for _, d := range s.Devices {
		if !all && !wanted[d.UUID] && !wanted[itoa(d.Index)] {
			var parts []MIGDevice
			for i, m := range d.MIG {
				if wanted[m.UUID] || wanted[itoa(d.Index)+":"+itoa(i)] {
					parts = append(parts, m)
				}
			}
			if len(parts) == 0 {
				continue
			}
			d.MIG = parts
		}
		d.Index = len(visible)
		visible = append(visible, d)
	}
	return visible
}
