package smi

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// choose returns the devices that -i names: indices, UUIDs or bus ids, in the
// order of the bus. Who names a MIG device gets its GPU with that one alone.
func (t *tool) choose(ids []string) ([]model.Device, error) {
	if len(t.devices) == 0 {
		return nil, errNotFound
	}
	if ids == nil {
		return t.devices, nil
	}
	for _, id := range ids {
		if !slices.ContainsFunc(t.devices, func(d model.Device) bool { return named(d, id) || namedMIG(d, id) >= 0 }) {
			return nil, errNotFound
		}
	}
	var devices []model.Device
	for _, d := range t.devices {
		if slices.ContainsFunc(ids, func(id string) bool { return named(d, id) }) {
			devices = append(devices, d)
			continue
		}
		var parts []model.MIGDevice
		for i, m := range d.MIG {
			if slices.ContainsFunc(ids, func(id string) bool { return namedMIG(d, id) == i }) {
				parts = append(parts, m)
			}
		}
		if d.MIG = parts; parts != nil {
			devices = append(devices, d)
		}
	}
	return devices, nil
}

func named(d model.Device, id string) bool {
	return id == strconv.Itoa(d.Index) || strings.EqualFold(id, d.UUID) || sameBus(id, d.PCIBusID)
}

func namedMIG(d model.Device, id string) int {
	return slices.IndexFunc(d.MIG, func(m model.MIGDevice) bool { return strings.EqualFold(id, m.UUID) })
}

// sameBus compares bus ids, whose domain has four or eight digits or none.
func sameBus(id, bus string) bool {
	if strings.Count(id, ":") == 0 {
		return false
	}
	return strings.EqualFold(shortBus(id), shortBus(bus))
}

// shortBus drops the domain where it is 0.
func shortBus(id string) string {
	if domain, rest, ok := strings.Cut(id, ":"); ok && strings.Contains(rest, ":") && strings.Trim(domain, "0") == "" {
		return rest
	}
	return id
}

// each does something with the devices that -i names. Of a GPU that has
// fallen off the bus it says so, and the exit code does too.
func (t *tool) each(ids []string, do func(d model.Device)) error {
	devices, err := t.choose(ids)
	if err != nil {
		return err
	}
	lost := false
	for _, d := range devices {
		if !d.Fault.Lost {
			do(d)
			continue
		}
		lost = true
		t.print(lostMessage(d) + "\n")
	}
	if lost {
		return &silent{exitLost}
	}
	return nil
}

// lostMessage is what the driver's users find first when a GPU is gone.
func lostMessage(d model.Device) string {
	bus := d.PCIBusID
	if len(bus) > 12 { // the domain has four digits here
		bus = bus[len(bus)-12:]
	}
	return fmt.Sprintf("Unable to determine the device handle for GPU%d: %s: GPU is lost.  Reboot the system to recover this GPU", d.Index, bus)
}

// silent is an exit code of which everything was said.
type silent struct{ exit int }

func (s *silent) Error() string { return fmt.Sprintf("exit %d", s.exit) }
