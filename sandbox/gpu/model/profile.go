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
	Name         string `json:"name" yaml:"name"`                         // as --profile takes it
	Product      string `json:"product" yaml:"product"`                   // as NVML names the board
	MemoryMiB    uint64 `json:"memoryMiB" yaml:"memoryMiB"`               // as the driver reports it
	ReservedKiB  uint64 `json:"reservedKiB" yaml:"reservedKiB"`           // held by driver and firmware
	PowerLimit   int    `json:"powerLimit" yaml:"powerLimit"`             // W
	MinPower     int    `json:"minPower" yaml:"minPower"`                 // W
	IdlePower    int    `json:"idlePower" yaml:"idlePower"`               // mW
	Temperature  int    `json:"temperature" yaml:"temperature"`           // °C, idle
	MemoryTemp   int    `json:"memoryTemp,omitempty" yaml:"memoryTemp"`   // °C, idle; 0 where the board has no sensor
	IdleClock    int    `json:"idleClock" yaml:"idleClock"`               // MHz, graphics and SM
	VideoClock   int    `json:"videoClock" yaml:"videoClock"`             // MHz, idle
	MaxClock     int    `json:"maxClock" yaml:"maxClock"`                 // MHz, graphics and SM
	MemoryClock  int    `json:"memoryClock" yaml:"memoryClock"`           // MHz, idle and highest: these boards do not lower it
	PCIeGen      int    `json:"pcieGen" yaml:"pcieGen"`                   // 3 to 6
	Architecture string `json:"architecture" yaml:"architecture"`         // as the label gpu.family has it
	Driver       string `json:"driver,omitempty" yaml:"driver"`           // version; DefaultDriver unless given
	CUDA         string `json:"cuda,omitempty" yaml:"cuda"`               // version that the driver supports; DefaultCUDA unless given
	NVLinkGroup  int    `json:"nvLinkGroup,omitempty" yaml:"nvLinkGroup"` // how many boards are joined by NVLink; 0: none
	ComputeCap   string `json:"computeCap,omitempty" yaml:"computeCap"`   // for a board that NVML's model does not have: "8.9"
	PCIDeviceID  uint32 `json:"pciDeviceID,omitempty" yaml:"pciDeviceID"` // for the same: 0x26B910DE
}

// The driver that simulated GPUs claim unless their profile says another: the
// one whose tools' output was captured on real machines.
const (
	DefaultDriver = "590.48.01"
	DefaultCUDA   = "13.1"
)

// The h100 is a board as captured under driver 590.48.01, l40s and t4 are
// boards as captured under 595.80 and 515.105.01. Product names, memory and
// power limits of the others are public readings; their idle clocks,
// temperatures and idle power are chosen, in the range of such boards.
var profiles = []Profile{
	{
		Name: "h100", Product: "NVIDIA H100 80GB HBM3", MemoryMiB: 81559, ReservedKiB: 489984,
		PowerLimit: 700, MinPower: 200, IdlePower: 69850, Temperature: 41, MemoryTemp: 48,
		IdleClock: 345, VideoClock: 765, MaxClock: 1980, MemoryClock: 2619, PCIeGen: 5, Architecture: "hopper", NVLinkGroup: 8,
	},
	{
		Name: "h200", Product: "NVIDIA H200", MemoryMiB: 143771, ReservedKiB: 632832,
		PowerLimit: 700, MinPower: 200, IdlePower: 76200, Temperature: 34, MemoryTemp: 40,
		IdleClock: 345, VideoClock: 765, MaxClock: 1980, MemoryClock: 3201, PCIeGen: 5, Architecture: "hopper", NVLinkGroup: 8,
	},
	{
		Name: "b200", Product: "NVIDIA B200", MemoryMiB: 183359, ReservedKiB: 717824,
		PowerLimit: 1000, MinPower: 200, IdlePower: 141300, Temperature: 33, MemoryTemp: 35,
		IdleClock: 120, VideoClock: 660, MaxClock: 1965, MemoryClock: 3996, PCIeGen: 5, Architecture: "blackwell", NVLinkGroup: 8,
	},
	{
		Name: "a100-40", Product: "NVIDIA A100-SXM4-40GB", MemoryMiB: 40960, ReservedKiB: 435200,
		PowerLimit: 400, MinPower: 100, IdlePower: 51400, Temperature: 31, MemoryTemp: 30,
		IdleClock: 210, VideoClock: 585, MaxClock: 1410, MemoryClock: 1215, PCIeGen: 4, Architecture: "ampere", NVLinkGroup: 8,
	},
	{
		Name: "a100-80", Product: "NVIDIA A100-SXM4-80GB", MemoryMiB: 81920, ReservedKiB: 572416,
		PowerLimit: 400, MinPower: 100, IdlePower: 61700, Temperature: 33, MemoryTemp: 42,
		IdleClock: 210, VideoClock: 585, MaxClock: 1410, MemoryClock: 1593, PCIeGen: 4, Architecture: "ampere", NVLinkGroup: 8,
	},
	{
		Name: "a30", Product: "NVIDIA A30", MemoryMiB: 24576, ReservedKiB: 389120,
		PowerLimit: 165, MinPower: 100, IdlePower: 27900, Temperature: 36, MemoryTemp: 38,
		IdleClock: 210, VideoClock: 585, MaxClock: 1440, MemoryClock: 1215, PCIeGen: 4, Architecture: "ampere", NVLinkGroup: 2,
	},
	{
		Name: "l4", Product: "NVIDIA L4", MemoryMiB: 23034, ReservedKiB: 459776,
		PowerLimit: 72, MinPower: 40, IdlePower: 16400, Temperature: 38,
		IdleClock: 210, VideoClock: 1185, MaxClock: 2040, MemoryClock: 6251, PCIeGen: 4, Architecture: "ada-lovelace",
		ComputeCap: "8.9", PCIDeviceID: 0x27B810DE,
	},
	{
		Name: "l40s", Product: "NVIDIA L40S", MemoryMiB: 46068, ReservedKiB: 623616,
		PowerLimit: 350, MinPower: 100, IdlePower: 34700, Temperature: 33,
		IdleClock: 210, VideoClock: 1185, MaxClock: 2520, MemoryClock: 9001, PCIeGen: 4, Architecture: "ada-lovelace",
		ComputeCap: "8.9", PCIDeviceID: 0x26B910DE,
	},
	{
		Name: "t4", Product: "Tesla T4", MemoryMiB: 15360, ReservedKiB: 397312,
		PowerLimit: 70, MinPower: 60, IdlePower: 13600, Temperature: 40,
		IdleClock: 300, VideoClock: 540, MaxClock: 1590, MemoryClock: 5001, PCIeGen: 3, Architecture: "turing",
		ComputeCap: "7.5", PCIDeviceID: 0x1EB810DE,
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
