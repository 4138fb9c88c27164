package model

import (
	"fmt"
	"strings"
)

// DefaultProfile is the GPU that is simulated when none is named.
const DefaultProfile = "h100"

// Profile is a GPU model that can be simulated. What NVML's own model of the
// hardware knows (compute capability, PCI id, MIG profiles) is not repeated
// here; these are the values in which it differs from a board with ECC on, or
// that it does not have: what an idle board answers.
type Profile struct {
	Name         string // as --profile takes it
	Product      string // as NVML names the board
	MemoryMiB    uint64 // as the driver reports it
	ReservedKiB  uint64 // held by driver and firmware
	PowerLimit   int    // W
	MinPower     int    // W
	IdlePower    int    // mW
	Temperature  int    // °C, idle
	MemoryTemp   int    // °C, idle; 0 where the board has no sensor
	IdleClock    int    // MHz, graphics and SM
	VideoClock   int    // MHz, idle
	MaxClock     int    // MHz, graphics and SM
	MemoryClock  int    // MHz, idle and highest: these boards do not lower it
	PCIeGen      int
	Architecture string // as the label gpu.family has it
}

// The h100 is a board as captured under driver 590.48.01. Product names,
// memory and power limits of the others are public readings; their idle
// clocks, temperatures and idle power are chosen, in the range of such boards.
var profiles = []Profile{
	{
		Name: "h100", Product: "NVIDIA H100 80GB HBM3", MemoryMiB: 81559, ReservedKiB: 489984,
		PowerLimit: 700, MinPower: 200, IdlePower: 69850, Temperature: 41, MemoryTemp: 48,
		IdleClock: 345, VideoClock: 765, MaxClock: 1980, MemoryClock: 2619, PCIeGen: 5, Architecture: "hopper",
	},
	{
		Name: "h200", Product: "NVIDIA H200", MemoryMiB: 143771, ReservedKiB: 632832,
		PowerLimit: 700, MinPower: 200, IdlePower: 76200, Temperature: 34, MemoryTemp: 40,
		IdleClock: 345, VideoClock: 765, MaxClock: 1980, MemoryClock: 3201, PCIeGen: 5, Architecture: "hopper",
	},
	{
		Name: "b200", Product: "NVIDIA B200", MemoryMiB: 183359, ReservedKiB: 717824,
		PowerLimit: 1000, MinPower: 200, IdlePower: 141300, Temperature: 33, MemoryTemp: 35,
		IdleClock: 120, VideoClock: 660, MaxClock: 1965, MemoryClock: 3996, PCIeGen: 5, Architecture: "blackwell",
	},
	{
		Name: "a100-40", Product: "NVIDIA A100-SXM4-40GB", MemoryMiB: 40960, ReservedKiB: 435200,
		PowerLimit: 400, MinPower: 100, IdlePower: 51400, Temperature: 31, MemoryTemp: 30,
		IdleClock: 210, VideoClock: 585, MaxClock: 1410, MemoryClock: 1215, PCIeGen: 4, Architecture: "ampere",
	},
	{
		Name: "a100-80", Product: "NVIDIA A100-SXM4-80GB", MemoryMiB: 81920, ReservedKiB: 572416,
		PowerLimit: 400, MinPower: 100, IdlePower: 61700, Temperature: 33, MemoryTemp: 42,
		IdleClock: 210, VideoClock: 585, MaxClock: 1410, MemoryClock: 1593, PCIeGen: 4, Architecture: "ampere",
	},
	{
		Name: "a30", Product: "NVIDIA A30", MemoryMiB: 24576, ReservedKiB: 389120,
		PowerLimit: 165, MinPower: 100, IdlePower: 27900, Temperature: 36, MemoryTemp: 38,
		IdleClock: 210, VideoClock: 585, MaxClock: 1440, MemoryClock: 1215, PCIeGen: 4, Architecture: "ampere",
	},
}

// Profiles returns the GPU models that can be simulated, the default first.
func Profiles() []Profile { return append([]Profile(nil), profiles...) }

// ProfileNames returns the names that --profile takes, the default first.
func ProfileNames() []string {
	names := make([]string, len(profiles))
	for i, p := range profiles {
		names[i] = p.Name
	}
	return names
}

// LookupProfile returns the profile of that name, or *UnknownProfileError.
func LookupProfile(name string) (Profile, error) {
	for _, p := range profiles {
		if strings.EqualFold(p.Name, name) {
			return p, nil
		}
	}
	return Profile{}, &UnknownProfileError{Name: name, Known: ProfileNames()}
}

// UnknownProfileError says that no GPU model has that name.
type UnknownProfileError struct {
	Name  string
	Known []string
}

func (e *UnknownProfileError) Error() string {
	return fmt.Sprintf("no GPU profile %q; there are %s", e.Name, strings.Join(e.Known, ", "))
}

// CountError says that a node cannot have so many GPUs.
type CountError struct{ Count int }

func (e *CountError) Error() string {
	return fmt.Sprintf("%d GPUs on a node: 1 to %d can be simulated", e.Count, MaxPerNode)
}

// CheckCount returns *CountError unless a node can have so many GPUs.
func CheckCount(n int) error {
	if n < 1 || n > MaxPerNode {
		return &CountError{Count: n}
	}
	return nil
}
