package deviceplugin

import (
	"cmp"
	"slices"
	"sync"
)

// Device is one schedulable unit. Unhealthy devices count in a node's capacity
// and are not given out.
type Device struct {
	ID      string // at most 63 characters
	Healthy bool
	Shows   string // what a container with it sees; ID unless given
	Group   string // of units that lie together: on one GPU, or on GPUs that are joined
	NUMA    int    // the node it is on, counted from 1; 0: not told
}

func (d Device) shows() string { return cmp.Or(d.Shows, d.ID) }

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

// Set replaces the list and tells the kubelet, unless it is the same.
func (i *Inventory) Set(devices ...Device) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if slices.Equal(i.devices, devices) {
		return
	}
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

// pick returns what a container with these ids sees, in the inventory's order
// and each once. It returns the first id that is not there.
func (i *Inventory) pick(ids []string) (shown []string, unknown string) {
	list, _ := i.List()
	known := map[string]bool{}
	for _, d := range list {
		known[d.ID] = true
		if slices.Contains(ids, d.ID) && !slices.Contains(shown, d.shows()) {
			shown = append(shown, d.shows())
		}
	}
	for _, id := range ids {
		if !known[id] {
			return nil, id
		}
	}
	return shown, ""
}

// prefer chooses size of the available ids, with all that must be included.
// Packed, units of as few groups as possible are chosen, so that what stays
// free lies together; distributed, each is of the group that is used least.
func (i *Inventory) prefer(available, must []string, size int, distributed bool) []string {
	list, _ := i.List()
	chosen := slices.Clone(must)
	var groups []*group
	byName := map[string]*group{}
	for _, d := range list {
		g := byName[d.Group]
		if g == nil {
			g = &group{}
			byName[d.Group], groups = g, append(groups, g)
		}
		switch {
		case slices.Contains(chosen, d.ID):
			g.taken++
		case slices.Contains(available, d.ID):
			g.free = append(g.free, d.ID)
		}
	}
	for len(chosen) < size {
		g := tightest(groups, size-len(chosen))
		if distributed {
			g = emptiest(groups)
		}
		if g == nil {
			break // the kubelet asks for more than there is
		}
		chosen = append(chosen, g.free[0])
		g.free, g.taken = g.free[1:], g.taken+1
	}
	return chosen
}

// group is the units that lie together.
type group struct {
	free  []string
	taken int // by this container
}

// tightest returns the group that is begun, else the smallest in which n units
// are free, else the largest.
func tightest(groups []*group, n int) (best *group) {
	fits := func(g *group) bool { return len(g.free) >= n }
	for _, g := range groups {
		switch {
		case len(g.free) == 0:
		case best == nil,
			g.taken > best.taken,
			g.taken == best.taken && fits(g) && (!fits(best) || len(g.free) < len(best.free)),
			g.taken == best.taken && !fits(g) && !fits(best) && len(g.free) > len(best.free):
			best = g
		}
	}
	return best
}

// emptiest returns the group with the most free units, the first of several.
func emptiest(groups []*group) (best *group) {
	for _, g := range groups {
		if len(g.free) > 0 && (best == nil || len(g.free) > len(best.free)) {
			best = g
		}
	}
	return best
}
