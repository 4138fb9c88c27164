package model

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
)

// EncodeBinary makes the content of BinaryFile.
func EncodeBinary(s State) ([]byte, error) {
	var (
		devices   []binaryDevice
		migs      []binaryMIG
		processes []binaryProcess
	)
	add := func(list []Process) (first, count uint32) {
		first = uint32(len(processes))
		for _, p := range list {
			processes = append(processes, binaryProcess{Namespace: p.Namespace, UsedBytes: p.UsedMemoryBytes, PID: uint32(p.PID)})
		}
		return first, uint32(len(list))
	}
	for i, d := range s.Devices {
		b := d.binary()
		b.FirstMIG, b.MIGs = uint32(len(migs)), uint32(len(d.MIG))
		b.FirstProcess, b.Processes = add(d.Processes)
		devices = append(devices, b)
		for _, m := range d.MIG {
			b := m.binary()
			b.Device = uint32(i)
			b.FirstProcess, b.Processes = add(m.Processes)
			migs = append(migs, b)
		}
	}
	h := binaryHeader{
		Magic: binaryMagic, Version: BinaryVersion, CUDA: cudaNumber(s.CUDAVersion),
		DeviceSize: uint32(binary.Size(binaryDevice{})), MIGSize: uint32(binary.Size(binaryMIG{})), ProcessSize: uint32(binary.Size(binaryProcess{})),
		Devices: uint32(len(devices)), MIGs: uint32(len(migs)), Processes: uint32(len(processes)),
	}
	h.Size = uint32(binary.Size(h)) + h.DeviceSize*h.Devices + h.MIGSize*h.MIGs + h.ProcessSize*h.Processes
	text(h.Driver[:], s.DriverVersion)
	text(h.NVML[:], s.NVMLVersion)
	var out bytes.Buffer
	for _, part := range []any{h, devices, migs, processes} {
		if err := binary.Write(&out, binary.LittleEndian, part); err != nil {
			return nil, fmt.Errorf("encode the GPU state: %w", err)
		}
	}
	return out.Bytes(), nil
}

func (d Device) binary() binaryDevice {
	b := binaryDevice{
		MemoryBytes: d.MemoryBytes, ReservedBytes: d.ReservedMemoryBytes, UsedBytes: d.UsedMemoryBytes,
		Index: uint32(d.Index), Minor: uint32(d.Minor), PCIDeviceID: d.PCIDeviceID, Architecture: architectureNumber(d.Architecture), Cores: cudaCores[d.Name],
		Utilization: uint32(d.Utilization), MemoryUtilization: uint32(d.MemoryUtilization),
		Temperature: uint32(d.Temperature), MemoryTemperature: uint32(d.MemoryTemperature),
		Power: uint32(d.PowerMilliwatts), PowerLimit: uint32(d.PowerLimit), MinPowerLimit: uint32(d.MinPowerLimit),
		GraphicsClock: uint32(d.GraphicsClock), MemoryClock: uint32(d.MemoryClock), VideoClock: uint32(d.VideoClock),
		MaxGraphicsClock: uint32(d.MaxGraphicsClock), MaxMemoryClock: uint32(d.MaxMemoryClock),
		PCIeGeneration: uint32(d.PCIeGeneration), PCIeWidth: uint32(d.PCIeWidth), PerformanceState: uint32(d.PerformanceState),
		PersistenceEnabled: bit(d.PersistenceEnabled), MIGCapable: bit(d.MIGCapable), MIGEnabled: bit(d.MIGEnabled), MaxMIGs: d.maxMIGs(),
		NVLinkGroup: uint32(d.NVLinkGroup), NUMANode: uint32(d.NUMANode),
		XID: uint32(d.Fault.XID), Lost: bit(d.Fault.Lost), Throttle: bit(d.Fault.Throttle),
		ECCCorrected: uint32(d.Fault.ECC.Corrected), ECCUncorrected: uint32(d.Fault.ECC.Uncorrected),
	}
	if !d.Fault.Since.IsZero() {
		b.FaultSince = uint64(d.Fault.Since.UnixMicro())
	}
	major, minor, _ := strings.Cut(d.ComputeCapability, ".")
	b.ComputeMajor, b.ComputeMinor = number(major), number(minor)
	text(b.UUID[:], d.UUID)
	text(b.Name[:], d.Name)
	text(b.Serial[:], d.Serial)
	text(b.PCIBusID[:], d.PCIBusID)
	return b
}

func (m MIGDevice) binary() binaryMIG {
	b := binaryMIG{
		MemoryBytes: m.MemoryBytes, UsedBytes: m.UsedMemoryBytes, GPUInstance: uint32(m.GPUInstance), ComputeInstance: uint32(m.ComputeInstance),
		Multiprocessors: uint32(m.Multiprocessors), GPUSlices: uint32(m.GPUSlices), ComputeSlices: uint32(m.ComputeSlices),
		CopyEngines: uint32(m.Engines.Copy), Decoders: uint32(m.Engines.Decoder), Encoders: uint32(m.Engines.Encoder),
		JPEGEngines: uint32(m.Engines.JPEG), OFAEngines: uint32(m.Engines.OFA),
	}
	text(b.UUID[:], m.UUID)
	text(b.Profile[:], m.Profile)
	return b
}

// maxMIGs is how many MIG devices a board has at most.
const maxMIGs = 7

// maxMIGs is how many MIG devices the board can be cut into: an A30 has four
// slices, the others seven.
func (d Device) maxMIGs() uint32 {
	switch {
	case !d.MIGCapable:
		return 0
	case strings.HasSuffix(d.Name, "A30"):
		return 4
	}
	return maxMIGs
}

// cudaCores are NVIDIA's public figures, by product.
var cudaCores = map[string]uint32{
	"NVIDIA H100 80GB HBM3": 16896, "NVIDIA H200": 16896, "NVIDIA B200": 18944,
	"NVIDIA A100-SXM4-40GB": 6912, "NVIDIA A100-SXM4-80GB": 6912, "NVIDIA A30": 3584,
	"NVIDIA L4": 7424, "NVIDIA L40S": 18176, "Tesla T4": 2560,
}

// architectureNumber is NVML's number (NVML_DEVICE_ARCH_*) of a family.
func architectureNumber(family string) uint32 {
	numbers := map[string]uint32{
		"kepler": 2, "maxwell": 3, "pascal": 4, "volta": 5, "turing": 6, "ampere": 7, "ada-lovelace": 8, "hopper": 9, "blackwell": 10, "rubin": 13,
	}
	if n, ok := numbers[family]; ok {
		return n
	}
	return 1<<32 - 1 // unknown
}

// cudaNumber is a CUDA version as CUDA counts it: 13010 for "13.1".
func cudaNumber(version string) uint32 {
	major, minor, _ := strings.Cut(version, ".")
	return number(major)*1000 + number(minor)*10
}

// number reads a part of a version; what is not a number counts as 0.
func number(s string) uint32 {
	n, err := strconv.ParseUint(s, 10, 16)
	if err != nil {
		return 0
	}
	return uint32(n)
}

// text copies s with a zero byte behind it, cut where the field ends.
func text(field []byte, s string) { copy(field[:len(field)-1], s) }

func bit(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}
