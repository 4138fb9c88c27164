// Package passthrough gives a node the GPUs of the machine it runs on. A node
// of kind is a privileged container, so the device nodes are there; the
// driver's files are mounted below driver.NodeRoot. What this package does in
// the node is to keep it to the GPUs that are its own, and to describe those
// by CDI, the Container Device Interface: NVIDIA's own library (nvcdi) says
// which device nodes, files and hooks a container needs, containerd puts them
// there, and nothing on the machine was changed for it.
//
// A node keeps to its GPUs by having no device nodes of the others, as nvkind
// does it. This holds for pods; who may make device nodes in a node, which is
// a privileged pod, can have all GPUs of the machine.
//
// go-nvml needs cgo, and NVML a program that is linked dynamically: it opens
// the driver's library. Only the build of ai-gpu for real GPUs has this
// package.
package passthrough
