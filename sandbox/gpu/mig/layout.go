package mig

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Layout says how the GPUs of a node are cut. The zero value cuts none.
type Layout struct {
	// All is a profile of which each GPU gets as many as fit.
	All string `json:"all,omitempty"`
	// GPUs are the profiles and their number by GPU index; a GPU that is not
	// there stays whole. EveryGPU is an index.
	GPUs map[int]map[string]int `json:"gpus,omitempty"`
}

// EveryGPU is the index of what GPUs without an entry of their own get.
const EveryGPU = -1

// Empty tells whether every GPU stays whole.
func (l Layout) Empty() bool { return l.All == "" && len(l.GPUs) == 0 }

const allPrefix = "all-"

// Parse reads a layout as --mig takes it: "all-1g.10gb".
func Parse(text string) (Layout, error) {
	profile, ok := strings.CutPrefix(text, allPrefix)
	if !ok || profile == "" {
		return Layout{}, fmt.Errorf("%q is no MIG layout such as all-1g.10gb, nor a file", text)
	}
	return Layout{All: profile}, nil
}

// file is a layout file in the format of NVIDIA's mig-parted (config.yaml,
// version v1), of which it must hold one configuration.
type file struct {
	Version string             `yaml:"version"`
	Configs map[string][]entry `yaml:"mig-configs"`
}

type entry struct {
	Devices yaml.Node      `yaml:"devices"` // all, or indices
	Enabled bool           `yaml:"mig-enabled"`
	Cut     map[string]int `yaml:"mig-devices"`
}

// ReadFile reads a layout file.
func ReadFile(r io.Reader) (Layout, error) {
	var f file
	d := yaml.NewDecoder(r)
	d.KnownFields(true)
	if err := d.Decode(&f); err != nil {
		return Layout{}, fmt.Errorf("read the MIG layout: %w", err)
	}
	switch {
	case f.Version != "v1":
		return Layout{}, fmt.Errorf("read the MIG layout: version %q, want v1", f.Version)
	case len(f.Configs) != 1:
		return Layout{}, fmt.Errorf("read the MIG layout: %d configurations (%s), want one", len(f.Configs), strings.Join(slices.Sorted(maps.Keys(f.Configs)), ", "))
	}
	l := Layout{GPUs: map[int]map[string]int{}}
	for name, entries := range f.Configs {
		for _, e := range entries {
			if err := l.add(e); err != nil {
				return Layout{}, fmt.Errorf("read the MIG layout %s: %w", name, err)
			}
		}
	}
	return l, nil
}

func (l *Layout) add(e entry) error {
	var indices []int
	if e.Devices.Value == "all" {
		indices = []int{EveryGPU}
	} else if err := e.Devices.Decode(&indices); err != nil {
		return fmt.Errorf("line %d: devices: want all, or indices such as [0, 1]", e.Devices.Line)
	}
	if !e.Enabled && len(e.Cut) > 0 {
		return fmt.Errorf("line %d: mig-devices without mig-enabled: true", e.Devices.Line)
	}
	for profile, n := range e.Cut {
		if n < 1 {
			return fmt.Errorf("line %d: %d × %s", e.Devices.Line, n, profile)
		}
	}
	for _, i := range indices {
		if _, twice := l.GPUs[i]; twice || i < EveryGPU {
			return fmt.Errorf("line %d: GPU %s is there twice, or does not exist", e.Devices.Line, strconv.Itoa(i))
		}
		if l.GPUs[i] = e.Cut; !e.Enabled {
			l.GPUs[i] = nil
		}
	}
	return nil
}

// of returns what a GPU is cut into.
func (l Layout) of(gpu int) map[string]int {
	if cut, ok := l.GPUs[gpu]; ok {
		return cut
	}
	return l.GPUs[EveryGPU]
}

// Check returns an error, a *PlacementError where instances do not fit,
// unless the GPUs of a node with that board can be cut so.
func (l Layout) Check(board string, gpus int) error {
	var errs []error
	for i := range l.GPUs {
		if i >= gpus {
			errs = append(errs, fmt.Errorf("the MIG layout cuts GPU %d of a node that has %d", i, gpus))
		}
	}
	for i := range gpus {
		if _, err := l.Place(board, i); err != nil {
			errs = append(errs, err)
			break // the others are mostly alike
		}
	}
	return errors.Join(errs...)
}
