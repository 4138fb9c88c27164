// Package nodeimage builds the image that sandbox nodes are made of, from
// source, for machines that reach no image registry: a Go module proxy and a
// Debian mirror are enough. Kubernetes, containerd, runc and all the rest are
// compiled from their published modules at pinned versions; the root is
// Debian's; what makes it a node is taken from kind's own module, so that it
// follows the kind library that the sandbox uses.
//
// Everything is named by what it is made of: programs, the Debian root, the
// layer with the components' images, the image itself. What is in the cache
// under its name is not made again, and an image that the engine has under
// its key is only tagged.
//
// The image is stacked in this process and given to the engine once, in four
// layers (Debian, programs, images, settings), so that a change of a setting
// costs a layer of a few kilobytes. Its nodes ask for no privilege beyond
// those of a privileged container, and run on cgroup v1 and v2.
//
// Contract with kind: its images/base and pkg/build/nodeimage, v0.33.0.
package nodeimage
