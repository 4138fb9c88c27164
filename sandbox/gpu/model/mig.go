package model

import (
	"strings"
)

// MIG strategies: how instances are offered, as NVIDIA's device plugin has it.
const (
	MIGNone   = "none"   // GPUs alone are offered
	MIGSingle = "single" // all instances of the node are alike, and offered as nvidia.com/gpu
	MIGMixed  = "mixed"  // each profile is a resource of its own
)

// MIGDevice is a compute instance that fills its GPU instance. Memory is in
// bytes, slices are those of the GPU (compute) and of its instance.
type MIGDevice struct {
	UUID            string    `json:"uuid"`    // MIG-8-4-4-4-12, lower case (driver R470 on)
	Profile         string    `json:"profile"` // "1g.10gb", "1g.10gb+me"
	GPUInstance     int       `json:"gpuInstance"`
	ComputeInstance int       `json:"computeInstance"`
	Placement       Placement `json:"placement"`

	MemoryBytes     uint64  `json:"memoryBytes"`
	UsedMemoryBytes uint64  `json:"usedMemoryBytes"`
	Multiprocessors int     `json:"multiprocessors"`
	GPUSlices       int     `json:"gpuSlices"`
	ComputeSlices   int     `json:"computeSlices"`
	Engines         Engines `json:"engines"`

	Utilization int       `json:"utilization,omitempty"` // %; NVML tells it of GPUs alone, DCGM of these too
	Processes   []Process `json:"processes,omitempty"`
}

// Placement is where an instance lies among the memory slices of its GPU.
type Placement struct {
	Start int `json:"start"`
	Size  int `json:"size"`
}

// Engines are what a MIG device has beside its multiprocessors.
type Engines struct {
	Copy    int `json:"copy"`
	Decoder int `json:"decoder"`
	Encoder int `json:"encoder"`
	JPEG    int `json:"jpeg"`
	OFA     int `json:"ofa"`
}

// MIGResource is the extended resource of a profile under MIGMixed:
// "nvidia.com/mig-1g.10gb", and "nvidia.com/mig-1g.10gb.me" for a profile with
// media extensions, since "+" has no place in a resource's name.
func MIGResource(profile string) string {
	return "nvidia.com/mig-" + strings.ReplaceAll(profile, "+", ".")
}
