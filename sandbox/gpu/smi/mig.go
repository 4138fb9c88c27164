package smi

import (
	"fmt"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/mig"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

func migCommand(a *arguments) (options, error) {
	return choice("mig", a, map[string]func(t *tool, o options) error{
		"-lgi": showGPUInstances, "--list-gpu-instances": showGPUInstances,
		"-lci": showComputeInstances, "--list-compute-instances": showComputeInstances,
		"-lgip": showProfiles, "--list-gpu-instance-profiles": showProfiles,
		"-lgipp": showPlacements, "--list-gpu-instance-possible-placements": showPlacements,
	})
}

// instances prints a table of what the MIG devices of the GPUs are.
func (t *tool) instances(ids []string, none, head string, rows func(d model.Device, m model.MIGDevice) string) error {
	rule := "+" + strings.Repeat("-", strings.Index(head, "\n")-2) + "+\n"
	found := false
	err := t.each(ids, func(d model.Device) {
		for _, m := range d.MIG {
			if !found {
				t.print(rule + head)
			}
			found = true
			t.print(rows(d, m) + rule)
		}
	})
	if err == nil && !found {
		return &failure{exitNotFound, none}
	}
	return err
}

func showGPUInstances(t *tool, o options) error {
	return t.instances(o.ids, "No GPU instances found: Not Found", ""+
		"| GPU instances:                                          |\n"+
		"| GPU   Name               Profile  Instance   Placement  |\n"+
		"|                            ID       ID       Start:Size |\n"+
		"|=========================================================|\n",
		func(d model.Device, m model.MIGDevice) string {
			return fmt.Sprintf("| %3d  MIG %-15s %4d      %3d         %2d:%-2d    |\n", d.Index, m.Profile, t.profileID(m.Profile), m.GPUInstance, m.Placement.Start, m.Placement.Size)
		})
}

func showComputeInstances(t *tool, o options) error {
	return t.instances(o.ids, "No compute instances found: Not Found", ""+
		"| Compute instances:                                                 |\n"+
		"| GPU     GPU       Name             Profile   Instance   Placement  |\n"+
		"|       Instance                       ID        ID       Start:Size |\n"+
		"|         ID                                                         |\n"+
		"|====================================================================|\n",
		func(d model.Device, m model.MIGDevice) string {
			return fmt.Sprintf("| %3d   %4d       MIG %-14s %3d      %4d         %2d:%-2d    |\n", d.Index, m.GPUInstance, migName(m), computeProfiles[m.ComputeSlices], m.ComputeInstance, 0, m.ComputeSlices)
		})
}

// computeProfiles are the ids of the profiles of compute instances, by slices.
var computeProfiles = map[int]int{1: 0, 2: 1, 3: 2, 4: 3, 7: 4, 6: 5}

const profileHead = "" +
	"+-------------------------------------------------------------------------------+\n" +
	"| GPU instance profiles:                                                        |\n" +
	"| GPU   Name               ID    Instances   Memory     P2P    SM    DEC   ENC  |\n" +
	"|                                Free/Total   GiB              CE    JPEG  OFA  |\n" +
	"|===============================================================================|\n"

// showProfiles prints the profiles of the GPUs in MIG mode, with how many more
// of each would fit.
func showProfiles(t *tool, o options) error {
	found := false
	err := t.each(o.ids, func(d model.Device) {
		if !d.MIGEnabled {
			return
		}
		if !found {
			t.print(profileHead)
		}
		found = true
		for _, p := range t.profiles() {
			e := p.Engines
			t.printf("| %3d  MIG %-15s%3d     %-11s%-5.2f      %-3s    %-3d    %-2d    %-2d  |\n", d.Index, p.Name, p.id,
				fmt.Sprintf("%d/%d", room(d, p.Profile), p.MaxInstances), float64(p.MemoryMiB)/1024, "No", p.Multiprocessors, e.Decoder, e.Encoder)
			t.printf("|%63s%-2d    %-2d    %-2d  |\n", "", e.Copy, e.JPEG, e.OFA)
			t.print(rule("-", 79) + "\n")
		}
	})
	if err == nil && !found {
		return &failure{exitNotFound, "No MIG-enabled devices found."}
	}
	return err
}

// room is how many more instances of a profile fit beside those that are
// there.
func room(d model.Device, p mig.Profile) int {
	taken := func(at model.Placement, places []model.Placement) bool {
		for _, o := range places {
			if at.Start < o.Start+o.Size && o.Start < at.Start+at.Size {
				return true
			}
		}
		return false
	}
	var places []model.Placement
	alike := 0
	for _, m := range d.MIG {
		places = append(places, m.Placement)
		if m.Profile == p.Name {
			alike++
		}
	}
	free := 0
	for _, at := range p.Placements {
		if alike+free < p.MaxInstances && !taken(at, places) {
			free++
			places = append(places, at)
		}
	}
	return free
}

// showPlacements prints where instances of each profile may lie.
func showPlacements(t *tool, o options) error {
	found := false
	err := t.each(o.ids, func(d model.Device) {
		if !d.MIGEnabled {
			return
		}
		found = true
		for _, p := range t.profiles() {
			var starts []string
			for _, at := range p.Placements {
				starts = append(starts, fmt.Sprint(at.Start))
			}
			word := "Placements:"
			if len(starts) == 1 {
				word = "Placement :"
			}
			t.printf("GPU %2d Profile ID %2d %s {%s}:%d\n", d.Index, p.id, word, strings.Join(starts, ","), p.Placements[0].Size)
		}
	})
	if err == nil && !found {
		return &failure{exitNotFound, "No MIG-enabled devices found."}
	}
	return err
}

// profile is one with the id that the driver gives it.
type profile struct {
	mig.Profile
	id int
}

// profiles are those of the simulated board.
func (t *tool) profiles() []profile {
	var list []profile
	for _, p := range mig.Tables()[t.state.Profile] {
		list = append(list, profile{p, t.profileID(p.Name)})
	}
	return list
}

// profileIDs are the ids that drivers give profiles, by compute slices: of
// boards with seven, and of those with four.
var profileIDs = map[bool]map[string]int{
	true:  {"1": 19, "1+me": 20, "1+gfx": 47, "1 double": 15, "2": 14, "2+me": 13, "3": 9, "4": 5, "7": 0},
	false: {"1": 14, "1+me": 21, "2": 5, "2+me": 6, "4": 0},
}

// profileID returns the id of a profile such as 1g.10gb+me; -1 where none is
// known.
func (t *tool) profileID(name string) int {
	table := mig.Tables()[t.state.Profile]
	large := false
	smallest := uint64(0)
	for _, p := range table {
		large = large || p.Slices == 7
		if p.Slices == 1 && (smallest == 0 || p.MemoryMiB < smallest) {
			smallest = p.MemoryMiB
		}
	}
	for _, p := range table {
		if p.Name != name {
			continue
		}
		key := fmt.Sprint(p.Slices)
		if _, attribute, ok := strings.Cut(name, "+"); ok {
			key += "+" + attribute
		} else if p.Slices == 1 && p.MemoryMiB > smallest*3/2 {
			key += " double"
		}
		if id, ok := profileIDs[large][key]; ok {
			return id
		}
	}
	return -1
}
