// Package driver finds the NVIDIA driver of a machine: its version, the GPUs
// that it drives, and the files that programs need of it. It reads procfs and
// folders alone, so it is plain Go and asks no library: sandboxes mount these
// files into their nodes and change nothing on the machine, neither the
// container engine nor the driver.
//
// What identifies a GPU here is its address on the PCI bus. An index is no
// identity: it depends on which GPUs a program may see.
package driver

// NodeRoot is where a node finds the driver's files, in the folders they have
// on the machine: the driver root, as NVIDIA's tools call it.
const NodeRoot = "/run/nvidia/host-driver"

// HookPath is where a node has the program that CDI's hooks run.
const HookPath = "/usr/local/bin/nvidia-cdi-hook"
