// Package drivertest makes machines that look as if they had an NVIDIA
// driver: the files and folders of one, without its content.
package drivertest

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// UUID is the identity of the n-th GPU.
func UUID(n int) string { return fmt.Sprintf("GPU-00000000-0000-4000-8000-%012d", n) }

// Machine returns the root folder of a machine with so many GPUs.
func Machine(t testing.TB, version string, gpus int) string {
	t.Helper()
	root := t.TempDir()
	lib := "usr/lib/x86_64-linux-gnu/"
	put(t, root, "proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX x86_64 Kernel Module  "+version+"  Tue Sep 23 2025\n")
	put(t, root, "lib/firmware/nvidia/"+version+"/gsp_ga10x.bin", "firmware")
	put(t, root, "usr/bin/nvidia-smi", "#!/bin/sh\necho smi\n")
	put(t, root, lib+"libcuda.so."+version, "cuda")
	put(t, root, lib+"libnvidia-ml.so."+version, "nvml")
	put(t, root, lib+"vdpau/libvdpau_nvidia.so."+version, "vdpau")
	put(t, root, lib+"libc.so.6", "not the driver's")
	link(t, root, "libcuda.so."+version, lib+"libcuda.so.1")
	link(t, root, "libnvidia-ml.so."+version, lib+"libnvidia-ml.so.1")
	// A character device that anybody may open, under the driver's names.
	for _, node := range []string{"nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset"} {
		link(t, root, "/dev/null", "dev/"+node)
	}
	for i := range gpus {
		link(t, root, "/dev/null", fmt.Sprintf("dev/nvidia%d", i))
		busID := fmt.Sprintf("0000:%02x:00.0", 0x1b+3*i)
		put(t, root, "proc/driver/nvidia/gpus/"+busID+"/information", fmt.Sprintf(
			"Model: \t\t NVIDIA H100 80GB HBM3\nIRQ:   \t\t 120\nGPU UUID: \t %s\nBus Type: \t PCIe\nBus Location: \t %s\nDevice Minor: \t %d\nGPU Excluded:\t No\n",
			UUID(i), busID, i))
	}
	return root
}

func put(t testing.TB, root, name, content string) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o755); err != nil {
		t.Fatal(err)
	}
}

func link(t testing.TB, root, target, name string) {
	t.Helper()
	path := filepath.Join(root, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}
