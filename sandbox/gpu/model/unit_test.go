package model

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestUnits(t *testing.T) {
	whole := Device{UUID: "GPU-a"}
	lost := Device{UUID: "GPU-b", Fault: Fault{Lost: true}}
	cut := Device{UUID: "GPU-c", MIGEnabled: true, MIG: []MIGDevice{{UUID: "MIG-1", Profile: "1g.10gb"}, {UUID: "MIG-2", Profile: "1g.10gb+me"}}}
	one := func(uuid, gpu string, healthy bool) Unit {
		return Unit{ID: uuid, UUID: uuid, GPU: gpu, Healthy: healthy}
	}
	cases := []struct {
		name  string
		state State
		want  map[string][]Unit
	}{
		{"GPUs, one of them lost", State{Devices: []Device{whole, lost}}, map[string][]Unit{
			Resource: {one("GPU-a", "GPU-a", true), one("GPU-b", "GPU-b", false)},
		}},
		{"time-slicing", State{Sharing: Sharing{TimeSlicing, 2}, Devices: []Device{whole}}, map[string][]Unit{
			Resource: {{"GPU-a::0", "GPU-a", "GPU-a", true}, {"GPU-a::1", "GPU-a", "GPU-a", true}},
		}},
		{"MIG, not offered", State{Devices: []Device{cut}}, map[string][]Unit{Resource: {one("GPU-c", "GPU-c", true)}}},
		{"MIG single", State{MIGStrategy: MIGSingle, Devices: []Device{cut}}, map[string][]Unit{
			Resource: {one("MIG-1", "GPU-c", true), one("MIG-2", "GPU-c", true)},
		}},
		{"MIG mixed, beside a whole GPU", State{MIGStrategy: MIGMixed, Devices: []Device{whole, cut}}, map[string][]Unit{
			Resource: {one("GPU-a", "GPU-a", true)}, "nvidia.com/mig-1g.10gb": {one("MIG-1", "GPU-c", true)}, "nvidia.com/mig-1g.10gb.me": {one("MIG-2", "GPU-c", true)},
		}},
		{"MIG mixed, nothing whole", State{MIGStrategy: MIGMixed, Devices: []Device{cut}}, map[string][]Unit{
			Resource: nil, "nvidia.com/mig-1g.10gb": {one("MIG-1", "GPU-c", true)}, "nvidia.com/mig-1g.10gb.me": {one("MIG-2", "GPU-c", true)},
		}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, c.state.Units()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
	if got := UnitUUID("GPU-a::3"); got != "GPU-a" {
		t.Errorf("UUID of a replica = %q", got)
	}
}

func TestHealthy(t *testing.T) {
	for xid, want := range map[int]bool{0: true, 13: true, 31: true, 48: false, 79: false} {
		if got := (Device{Fault: Fault{XID: xid}}).Healthy(); got != want {
			t.Errorf("XID %d: healthy %v", xid, got)
		}
	}
	if (Device{Fault: Fault{ECC: ECC{Uncorrected: 1}}}).Healthy() || !(Device{Fault: Fault{ECC: ECC{Corrected: 9}, Throttle: true}}).Healthy() {
		t.Error("memory errors that were corrected, and heat, leave a GPU in use; others do not")
	}
}
