package model

// BinaryFile is the name of the state beside StateFile in the form that
// libnvidia-ml.so.1 maps into programs: records of fixed size, without
// pointers, in the byte order of amd64 and arm64.
const BinaryFile = "state.bin"

// BinaryVersion is the version of that form. The library refuses another.
const BinaryVersion = 1

// binaryMagic starts the file.
var binaryMagic = [8]byte{'K', 'A', 'I', 'G', 'P', 'U', '\r', '\n'}

// The file is one binaryHeader, then its devices, MIG devices and processes.
// The C structs of nvmllib/state.h are made from these (see binary_test.go).
// Fields lie so that C needs no padding; text ends with a zero byte.

type binaryHeader struct {
	Magic       [8]byte
	Version     uint32
	Size        uint32 // of the file
	DeviceSize  uint32 // of a record
	MIGSize     uint32
	ProcessSize uint32
	Devices     uint32 // how many there are
	MIGs        uint32
	Processes   uint32
	CUDA        uint32 // 13010 for 13.1
	Reserved    uint32
	Driver      [80]byte
	NVML        [80]byte
}

type binaryDevice struct {
	UUID     [48]byte
	Name     [96]byte
	Serial   [32]byte
	PCIBusID [32]byte

	MemoryBytes   uint64
	ReservedBytes uint64
	UsedBytes     uint64
	FaultSince    uint64 // µs since 1970

	Index              uint32
	Minor              uint32
	PCIDeviceID        uint32
	Architecture       uint32 // NVML's number
	ComputeMajor       uint32
	ComputeMinor       uint32
	Cores              uint32 // CUDA cores; 0: not known
	Utilization        uint32
	MemoryUtilization  uint32
	Temperature        uint32
	MemoryTemperature  uint32 // 0: no sensor
	Power              uint32 // mW
	PowerLimit         uint32
	MinPowerLimit      uint32
	GraphicsClock      uint32
	MemoryClock        uint32
	VideoClock         uint32
	MaxGraphicsClock   uint32
	MaxMemoryClock     uint32
	PCIeGeneration     uint32
	PCIeWidth          uint32
	PerformanceState   uint32
	PersistenceEnabled uint32
	MIGCapable         uint32
	MIGEnabled         uint32
	MaxMIGs            uint32
	NVLinkGroup        uint32
	NUMANode           uint32
	XID                uint32
	Lost               uint32
	Throttle           uint32
	ECCCorrected       uint32
	ECCUncorrected     uint32
	FirstMIG           uint32 // among the file's MIG devices
	MIGs               uint32
	FirstProcess       uint32 // among the file's processes
	Processes          uint32
	Reserved           uint32
}

type binaryMIG struct {
	UUID    [48]byte
	Profile [32]byte

	MemoryBytes uint64
	UsedBytes   uint64

	Device          uint32 // among the file's devices
	GPUInstance     uint32
	ComputeInstance uint32
	Multiprocessors uint32
	GPUSlices       uint32
	ComputeSlices   uint32
	CopyEngines     uint32
	Decoders        uint32
	Encoders        uint32
	JPEGEngines     uint32
	OFAEngines      uint32
	FirstProcess    uint32
	Processes       uint32
	Reserved        uint32
}

type binaryProcess struct {
	Namespace uint64 // inode of its PID namespace
	UsedBytes uint64
	PID       uint32
	Reserved  uint32
}
