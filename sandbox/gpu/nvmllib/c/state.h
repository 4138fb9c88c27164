/* The state of a node's GPUs as a file of records. Made by
 * go test ./sandbox/gpu/model -run Layout -update from binary_layout.go, where
 * the fields are described. */
#ifndef STATE_H
#define STATE_H

#include <stddef.h>
#include <stdint.h>

#define STATE_MAGIC "KAIGPU\r\n"
#define STATE_VERSION 1
#define STATE_MAX_DEVICES 64
#define STATE_MAX_MIGS 448

struct state_header {
	char magic[8];
	uint32_t version;
	uint32_t size;
	uint32_t device_size;
	uint32_t mig_size;
	uint32_t process_size;
	uint32_t devices;
	uint32_t migs;
	uint32_t processes;
	uint32_t cuda;
	uint32_t reserved;
	char driver[80];
	char nvml[80];
};

_Static_assert(offsetof(struct state_header, magic) == 0, "Magic");
_Static_assert(offsetof(struct state_header, version) == 8, "Version");
_Static_assert(offsetof(struct state_header, size) == 12, "Size");
_Static_assert(offsetof(struct state_header, device_size) == 16, "DeviceSize");
_Static_assert(offsetof(struct state_header, mig_size) == 20, "MIGSize");
_Static_assert(offsetof(struct state_header, process_size) == 24, "ProcessSize");
_Static_assert(offsetof(struct state_header, devices) == 28, "Devices");
_Static_assert(offsetof(struct state_header, migs) == 32, "MIGs");
_Static_assert(offsetof(struct state_header, processes) == 36, "Processes");
_Static_assert(offsetof(struct state_header, cuda) == 40, "CUDA");
_Static_assert(offsetof(struct state_header, reserved) == 44, "Reserved");
_Static_assert(offsetof(struct state_header, driver) == 48, "Driver");
_Static_assert(offsetof(struct state_header, nvml) == 128, "NVML");
_Static_assert(sizeof(struct state_header) == 208, "state_header");

struct state_device {
	char uuid[48];
	char name[96];
	char serial[32];
	char pci_bus_id[32];
	uint64_t memory_bytes;
	uint64_t reserved_bytes;
	uint64_t used_bytes;
	uint64_t fault_since;
	uint32_t index;
	uint32_t minor;
	uint32_t pci_device_id;
	uint32_t architecture;
	uint32_t compute_major;
	uint32_t compute_minor;
	uint32_t cores;
	uint32_t utilization;
	uint32_t memory_utilization;
	uint32_t temperature;
	uint32_t memory_temperature;
	uint32_t power;
	uint32_t power_limit;
	uint32_t min_power_limit;
	uint32_t graphics_clock;
	uint32_t memory_clock;
	uint32_t video_clock;
	uint32_t max_graphics_clock;
	uint32_t max_memory_clock;
	uint32_t pcie_generation;
	uint32_t pcie_width;
	uint32_t performance_state;
	uint32_t persistence_enabled;
	uint32_t mig_capable;
	uint32_t mig_enabled;
	uint32_t max_migs;
	uint32_t nvlink_group;
	uint32_t numa_node;
	uint32_t xid;
	uint32_t lost;
	uint32_t throttle;
	uint32_t ecc_corrected;
	uint32_t ecc_uncorrected;
	uint32_t first_mig;
	uint32_t migs;
	uint32_t first_process;
	uint32_t processes;
	uint32_t reserved;
};

_Static_assert(offsetof(struct state_device, uuid) == 0, "UUID");
_Static_assert(offsetof(struct state_device, name) == 48, "Name");
_Static_assert(offsetof(struct state_device, serial) == 144, "Serial");
_Static_assert(offsetof(struct state_device, pci_bus_id) == 176, "PCIBusID");
_Static_assert(offsetof(struct state_device, memory_bytes) == 208, "MemoryBytes");
_Static_assert(offsetof(struct state_device, reserved_bytes) == 216, "ReservedBytes");
_Static_assert(offsetof(struct state_device, used_bytes) == 224, "UsedBytes");
_Static_assert(offsetof(struct state_device, fault_since) == 232, "FaultSince");
_Static_assert(offsetof(struct state_device, index) == 240, "Index");
_Static_assert(offsetof(struct state_device, minor) == 244, "Minor");
_Static_assert(offsetof(struct state_device, pci_device_id) == 248, "PCIDeviceID");
_Static_assert(offsetof(struct state_device, architecture) == 252, "Architecture");
_Static_assert(offsetof(struct state_device, compute_major) == 256, "ComputeMajor");
_Static_assert(offsetof(struct state_device, compute_minor) == 260, "ComputeMinor");
_Static_assert(offsetof(struct state_device, cores) == 264, "Cores");
_Static_assert(offsetof(struct state_device, utilization) == 268, "Utilization");
_Static_assert(offsetof(struct state_device, memory_utilization) == 272, "MemoryUtilization");
_Static_assert(offsetof(struct state_device, temperature) == 276, "Temperature");
_Static_assert(offsetof(struct state_device, memory_temperature) == 280, "MemoryTemperature");
_Static_assert(offsetof(struct state_device, power) == 284, "Power");
_Static_assert(offsetof(struct state_device, power_limit) == 288, "PowerLimit");
_Static_assert(offsetof(struct state_device, min_power_limit) == 292, "MinPowerLimit");
_Static_assert(offsetof(struct state_device, graphics_clock) == 296, "GraphicsClock");
_Static_assert(offsetof(struct state_device, memory_clock) == 300, "MemoryClock");
_Static_assert(offsetof(struct state_device, video_clock) == 304, "VideoClock");
_Static_assert(offsetof(struct state_device, max_graphics_clock) == 308, "MaxGraphicsClock");
_Static_assert(offsetof(struct state_device, max_memory_clock) == 312, "MaxMemoryClock");
_Static_assert(offsetof(struct state_device, pcie_generation) == 316, "PCIeGeneration");
_Static_assert(offsetof(struct state_device, pcie_width) == 320, "PCIeWidth");
_Static_assert(offsetof(struct state_device, performance_state) == 324, "PerformanceState");
_Static_assert(offsetof(struct state_device, persistence_enabled) == 328, "PersistenceEnabled");
_Static_assert(offsetof(struct state_device, mig_capable) == 332, "MIGCapable");
_Static_assert(offsetof(struct state_device, mig_enabled) == 336, "MIGEnabled");
_Static_assert(offsetof(struct state_device, max_migs) == 340, "MaxMIGs");
_Static_assert(offsetof(struct state_device, nvlink_group) == 344, "NVLinkGroup");
_Static_assert(offsetof(struct state_device, numa_node) == 348, "NUMANode");
_Static_assert(offsetof(struct state_device, xid) == 352, "XID");
_Static_assert(offsetof(struct state_device, lost) == 356, "Lost");
_Static_assert(offsetof(struct state_device, throttle) == 360, "Throttle");
_Static_assert(offsetof(struct state_device, ecc_corrected) == 364, "ECCCorrected");
_Static_assert(offsetof(struct state_device, ecc_uncorrected) == 368, "ECCUncorrected");
_Static_assert(offsetof(struct state_device, first_mig) == 372, "FirstMIG");
_Static_assert(offsetof(struct state_device, migs) == 376, "MIGs");
_Static_assert(offsetof(struct state_device, first_process) == 380, "FirstProcess");
_Static_assert(offsetof(struct state_device, processes) == 384, "Processes");
_Static_assert(offsetof(struct state_device, reserved) == 388, "Reserved");
_Static_assert(sizeof(struct state_device) == 392, "state_device");

struct state_mig {
	char uuid[48];
	char profile[32];
	uint64_t memory_bytes;
	uint64_t used_bytes;
	uint32_t device;
	uint32_t gpu_instance;
	uint32_t compute_instance;
	uint32_t multiprocessors;
	uint32_t gpu_slices;
	uint32_t compute_slices;
	uint32_t copy_engines;
	uint32_t decoders;
	uint32_t encoders;
	uint32_t jpeg_engines;
	uint32_t ofa_engines;
	uint32_t first_process;
	uint32_t processes;
	uint32_t reserved;
};

_Static_assert(offsetof(struct state_mig, uuid) == 0, "UUID");
_Static_assert(offsetof(struct state_mig, profile) == 48, "Profile");
_Static_assert(offsetof(struct state_mig, memory_bytes) == 80, "MemoryBytes");
_Static_assert(offsetof(struct state_mig, used_bytes) == 88, "UsedBytes");
_Static_assert(offsetof(struct state_mig, device) == 96, "Device");
_Static_assert(offsetof(struct state_mig, gpu_instance) == 100, "GPUInstance");
_Static_assert(offsetof(struct state_mig, compute_instance) == 104, "ComputeInstance");
_Static_assert(offsetof(struct state_mig, multiprocessors) == 108, "Multiprocessors");
_Static_assert(offsetof(struct state_mig, gpu_slices) == 112, "GPUSlices");
_Static_assert(offsetof(struct state_mig, compute_slices) == 116, "ComputeSlices");
_Static_assert(offsetof(struct state_mig, copy_engines) == 120, "CopyEngines");
_Static_assert(offsetof(struct state_mig, decoders) == 124, "Decoders");
_Static_assert(offsetof(struct state_mig, encoders) == 128, "Encoders");
_Static_assert(offsetof(struct state_mig, jpeg_engines) == 132, "JPEGEngines");
_Static_assert(offsetof(struct state_mig, ofa_engines) == 136, "OFAEngines");
_Static_assert(offsetof(struct state_mig, first_process) == 140, "FirstProcess");
_Static_assert(offsetof(struct state_mig, processes) == 144, "Processes");
_Static_assert(offsetof(struct state_mig, reserved) == 148, "Reserved");
_Static_assert(sizeof(struct state_mig) == 152, "state_mig");

struct state_process {
	uint64_t namespace;
	uint64_t used_bytes;
	uint32_t pid;
	uint32_t reserved;
};

_Static_assert(offsetof(struct state_process, namespace) == 0, "Namespace");
_Static_assert(offsetof(struct state_process, used_bytes) == 8, "UsedBytes");
_Static_assert(offsetof(struct state_process, pid) == 16, "PID");
_Static_assert(offsetof(struct state_process, reserved) == 20, "Reserved");
_Static_assert(sizeof(struct state_process) == 24, "state_process");

#endif
