// Package mig cuts GPUs into instances (NVIDIA Multi-Instance GPU): which
// profiles a board has, where among its memory slices an instance of each may
// lie, and how a layout that a user asks for fits.
//
// The tables are go-nvml's (pkg/nvml/mock/gpus), written into tables.json by
// sandbox/gpu/nvmlsource/tables, so that kubectl-ai, which is built without
// cgo, refuses an impossible layout before it makes anything. A test of
// nvmlsource compares them with their source.
package mig

import (
	_ "embed"
	"encoding/json"
	"sync"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// Profile is a kind of GPU instance that a board can be cut into.
type Profile struct {
	Name            string            `json:"name"` // "1g.10gb+me"
	ID              int               `json:"id"`   // nvml.GPU_INSTANCE_PROFILE_*
	Slices          int               `json:"slices"`
	MaxInstances    int               `json:"maxInstances"`
	MemoryMiB       uint64            `json:"memoryMiB"`
	Multiprocessors int               `json:"multiprocessors"`
	Engines         model.Engines     `json:"engines"`
	Placements      []model.Placement `json:"placements"` // memory slices, by start
}

//go:embed tables.json
var tables []byte

// Tables returns the profiles of each board that can be cut, by the name of
// its simulation profile, each list by memory and slices.
var Tables = sync.OnceValue(func() map[string][]Profile {
	var all map[string][]Profile
	if err := json.Unmarshal(tables, &all); err != nil {
		panic(err) // a file of this package
	}
	return all
})
