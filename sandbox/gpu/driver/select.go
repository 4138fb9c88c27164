package driver

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// All is every GPU of the machine, in place of a list of devices.
const All = "all"

// UnknownDeviceError is a device that the machine does not have.
type UnknownDeviceError struct {
	Device string
	Known  []GPU
}

func (e *UnknownDeviceError) Error() string {
	known := make([]string, len(e.Known))
	for i, g := range e.Known {
		known[i] = fmt.Sprintf("%d (%s, %s)", i, g.Model, g.BusID)
	}
	return fmt.Sprintf("no GPU %s on this machine; there are %s", e.Device, strings.Join(known, ", "))
}

// TakenError says that two nodes were given the same device.
type TakenError struct{ Device string }

func (e *TakenError) Error() string {
	return fmt.Sprintf("GPU %s is given to two nodes", e.Device)
}

// Resolve turns what a user wrote, one node's devices after the other, into
// identities that hold in every node: addresses on the bus, and the UUIDs of
// MIG devices as they are, which the driver alone can check. Devices are
// indices, ranges such as 0-3, UUIDs, addresses, and All. It returns
// *UnknownDeviceError and *TakenError.
func (d Driver) Resolve(nodes [][]string) ([][]string, error) {
	resolved := make([][]string, len(nodes))
	taken := map[string]bool{}
	for i, devices := range nodes {
		for _, device := range devices {
			ids, err := d.resolve(device)
			if err != nil {
				return nil, err
			}
			for _, id := range ids {
				if taken[id] {
					return nil, &TakenError{Device: device}
				}
				taken[id] = true
				resolved[i] = append(resolved[i], id)
			}
		}
	}
	return resolved, nil
}

func (d Driver) resolve(device string) ([]string, error) {
	unknown := &UnknownDeviceError{Device: device, Known: d.GPUs}
	switch {
	case device == All:
		return d.addresses(0, len(d.GPUs)), nil
	case strings.HasPrefix(device, "MIG-"):
		return []string{device}, nil
	}
	if i := slices.IndexFunc(d.GPUs, func(g GPU) bool {
		return g.UUID != "" && strings.EqualFold(g.UUID, device) || SameBus(g.BusID, device)
	}); i >= 0 {
		return d.addresses(i, i+1), nil
	}
	if strings.HasPrefix(device, "GPU-") && slices.ContainsFunc(d.GPUs, func(g GPU) bool { return g.UUID == "" }) {
		return []string{device}, nil // the driver does not tell yet whose it is
	}
	first, last, isRange := strings.Cut(device, "-")
	from, err := strconv.Atoi(first)
	to := from
	if err == nil && isRange {
		to, err = strconv.Atoi(last)
	}
	if err != nil || from < 0 || to < from || to >= len(d.GPUs) {
		return nil, unknown
	}
	return d.addresses(from, to+1), nil
}

func (d Driver) addresses(from, to int) []string {
	ids := make([]string, 0, to-from)
	for _, g := range d.GPUs[from:to] {
		ids = append(ids, g.BusID)
	}
	return ids
}

// Divide gives each of several nodes as many GPUs as the others, one more to
// the first ones where it does not come out even. It returns nil where there
// are more nodes than GPUs.
func (d Driver) Divide(nodes int) [][]string {
	if nodes < 1 || nodes > len(d.GPUs) {
		return nil
	}
	shares := make([][]string, nodes)
	next := 0
	for i := range shares {
		size := len(d.GPUs) / nodes
		if i < len(d.GPUs)%nodes {
			size++
		}
		shares[i] = d.addresses(next, next+size)
		next += size
	}
	return shares
}
