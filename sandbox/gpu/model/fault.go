package model

import "time"

// Fault is what is wrong with a GPU, or was set by hand. The zero value is a
// GPU in order.
type Fault struct {
	XID      int       `json:"xid,omitempty"`  // the last one that the driver reported; 0: none
	Lost     bool      `json:"lost,omitempty"` // fallen off the bus: every call answers GPU_IS_LOST
	Throttle bool      `json:"throttle,omitempty"`
	ECC      ECC       `json:"ecc,omitzero"`
	Since    time.Time `json:"since,omitzero"`
	Set      Readings  `json:"set,omitzero"`
}

// ECC counts memory errors since the driver was loaded.
type ECC struct {
	Corrected   int `json:"corrected,omitempty"`
	Uncorrected int `json:"uncorrected,omitempty"`
}

// Readings are values set by hand, nil where the model's own hold.
type Readings struct {
	Temperature *int `json:"temperature,omitempty"` // °C
	Power       *int `json:"power,omitempty"`       // W
	Utilization *int `json:"utilization,omitempty"` // %
}

// applicationXIDs are errors of a program and not of the board; NVIDIA's
// device plugin leaves a GPU healthy for them, and so does everything here
// but the metric (NVIDIA/k8s-device-plugin, internal/rm/health.go).
var applicationXIDs = map[int]bool{13: true, 31: true, 43: true, 45: true, 68: true, 109: true}

// ApplicationXID tells whether an XID is the fault of a program.
func ApplicationXID(xid int) bool { return applicationXIDs[xid] }

// Healthy tells whether the kubelet may give the GPU out.
func (d Device) Healthy() bool {
	f := d.Fault
	return !f.Lost && f.ECC.Uncorrected == 0 && (f.XID == 0 || ApplicationXID(f.XID))
}
