package model

// Process is a program that holds a GPU. Memory is in bytes.
type Process struct {
	PID             int    `json:"pid"`          // in its container
	Namespace       uint64 `json:"pidNamespace"` // inode of its PID namespace: /proc/self/ns/pid
	Name            string `json:"name"`
	UsedMemoryBytes uint64 `json:"usedMemoryBytes"`
}
