package deviceplugin

import (
	"slices"
	"sync"
)

// Device is one schedulable unit. ID is at most 63 characters; unhealthy
// devices count in a node's capacity and are not given out.
type Device struct {
	ID      string
	Healthy bool
}

// Inventory is the list of devices, in the order in which containers should
// see them. It is safe for concurrent use.
type Inventory struct {
	mu      sync.Mutex
	devices []Device
	changed chan struct{}
}

// NewInventory returns an inventory of these devices.
func NewInventory(devices ...Device) *Inventory {
	return &Inventory{devices: slices.Clone(devices), changed: make(chan struct{})}
}

// Set replaces the list and tells the kubelet.
func (i *Inventory) Set(devices ...Device) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.devices = slices.Clone(devices)
	close(i.changed)
	i.changed = make(chan struct{})
}

// List returns the devices, and a channel that closes when they change.
func (i *Inventory) List() ([]Device, <-chan struct{}) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.Clone(i.devices), i.changed
}

// Len is the number of devices.
func (i *Inventory) Len() int {
	list, _ := i.List()
	return len(list)
}

// pick puts ids into the inventory's order. It returns the first that is not
// there.
func (i *Inventory) pick(ids []string) (ordered []string, unknown string) {
	list, _ := i.List()
	for _, d := range list {
		if slices.Contains(ids, d.ID) {
			ordered = append(ordered, d.ID)
		}
	}
	for _, id := range ids {
		if !slices.Contains(ordered, id) {
			return nil, id
		}
	}
	return ordered, ""
}

// prefer chooses size of the available ids, with all that must be included,
// packed: the first in order, so that what stays free lies together.
func (i *Inventory) prefer(available, must []string, size int) []string {
	list, _ := i.List()
	chosen := slices.Clone(must)
	for _, d := range list {
		if len(chosen) >= size {
			break
		}
		if slices.Contains(available, d.ID) && !slices.Contains(chosen, d.ID) {
			chosen = append(chosen, d.ID)
		}
	}
	return chosen
}
