// Package nvmllib is libnvidia-ml.so.1 for pods with simulated GPUs: the C
// library that pynvml, gpustat, nvitop, Ray, wandb and others open to look at
// GPUs. The Makefile compiles the C files in c; the Go here says where it goes.
//
// The library reads model.BinaryFile, which ai-gpu writes together with the
// state that nvidia-smi reads, and shows the devices that the container was
// given (NVIDIA_VISIBLE_DEVICES; none without it).
//
// It needs no C library of a certain version or kind: it is linked against
// none, and finds what it calls, POSIX alone, in the one of the program that
// opens it, be it glibc or musl.
package nvmllib

// Name is what programs open.
const Name = "libnvidia-ml.so.1"

// Folders are where a program of an architecture, as Go names it, looks for
// libraries without being told: in turn what the C libraries of Debian and
// Ubuntu, of Red Hat and SUSE, and of Alpine and Arch search. A folder that an
// image lacks is made when the library is mounted there.
func Folders(arch string) []string {
	multiarch := map[string]string{"amd64": "x86_64-linux-gnu", "arm64": "aarch64-linux-gnu"}[arch]
	return []string{"/usr/lib/" + multiarch, "/usr/lib64", "/usr/lib"}
}
