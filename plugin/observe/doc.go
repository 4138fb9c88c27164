// Package observe watches what a bundle's workloads do in a cluster: which
// pods run the ranks, and what the ranks say. It only reads.
package observe
