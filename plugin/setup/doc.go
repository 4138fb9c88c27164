// Package setup makes the plugin at home in kubectl: links by which kubectl
// finds its completion, and links by which its verbs are found where another
// plugin has its name.
//
// kubectl takes the program with the longest name (kubernetes.io, "Extend
// kubectl with plugins"): kubectl-ai-run for "kubectl ai run", whoever has
// kubectl-ai; and it asks kubectl_complete-ai for completion since 1.26
// (kubernetes/kubernetes#105867), which krew does not install (krew#812).
//
// Nothing is recorded beside the links: one is ours when it leads to this
// program. A file that is not ours is never written over or removed.
package setup
