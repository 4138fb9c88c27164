package model

import "slices"

// Holder is a container that holds GPUs.
type Holder struct {
	Namespace string   `json:"namespace"`
	Pod       string   `json:"pod"`
	Container string   `json:"container"`
	Devices   []string `json:"devices"` // UUIDs of GPUs or MIG devices, each once
}

// HoldersOf returns those of the holders that have a device.
func HoldersOf(list []Holder, uuid string) (of []Holder) {
	for _, h := range list {
		if slices.Contains(h.Devices, uuid) {
			of = append(of, h)
		}
	}
	return of
}

// Report is what ai-gpu prints of its node.
type Report struct {
	State   State    `json:"state"`
	Holders []Holder `json:"holders,omitempty"`
}
