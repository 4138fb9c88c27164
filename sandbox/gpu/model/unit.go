package model

import (
	"fmt"
	"strings"
)

// Sharing strategies, as the label gpu.sharing-strategy has them.
const (
	SharingNone = "none"
	TimeSlicing = "time-slicing"
	MPS         = "mps"
)

// Sharing says how many containers may have a GPU at one time. The zero value
// is one.
type Sharing struct {
	Strategy string `json:"strategy,omitempty"`
	Replicas int    `json:"replicas,omitempty"`
}

// Shared tells whether GPUs are offered more than once.
func (s Sharing) Shared() bool { return s.Replicas > 1 }

// Unit is what the kubelet gives out: a GPU, a MIG device, or a replica of
// either.
type Unit struct {
	ID      string // at most 63 characters
	UUID    string // of the GPU or MIG device that a container then sees
	GPU     string // UUID of the GPU it is, or is part of
	Healthy bool
}

// replicaMark stands between the UUID of a shared device and the number of a
// replica, as NVIDIA's device plugin writes it.
const replicaMark = "::"

// UnitUUID returns the UUID of the device that a unit's ID stands for.
func UnitUUID(id string) string {
	uuid, _, _ := strings.Cut(id, replicaMark)
	return uuid
}

// Units returns what the kubelet gives out, by extended resource, in the
// order of the bus. A resource without units is not there, but for
// nvidia.com/gpu under MIGMixed, which real nodes list with 0 when all their
// GPUs are cut.
func (s State) Units() map[string][]Unit {
	units := map[string][]Unit{}
	if s.MIGStrategy == MIGMixed {
		units[Resource] = nil
	}
	for _, d := range s.Devices {
		if !d.MIGEnabled || s.MIGStrategy == MIGNone || s.MIGStrategy == "" {
			units[Resource] = append(units[Resource], s.replicas(d, d.UUID)...)
			continue
		}
		for _, m := range d.MIG {
			resource := Resource
			if s.MIGStrategy == MIGMixed {
				resource = MIGResource(m.Profile)
			}
			units[resource] = append(units[resource], s.replicas(d, m.UUID)...)
		}
	}
	return units
}

func (s State) replicas(d Device, uuid string) []Unit {
	if !s.Sharing.Shared() {
		return []Unit{{ID: uuid, UUID: uuid, GPU: d.UUID, Healthy: d.Healthy()}}
	}
	units := make([]Unit, s.Sharing.Replicas)
	for i := range units {
		units[i] = Unit{ID: fmt.Sprintf("%s%s%d", uuid, replicaMark, i), UUID: uuid, GPU: d.UUID, Healthy: d.Healthy()}
	}
	return units
}
