// Package forward makes ports of pods reachable on this machine while dev runs.
//
// A port belongs to a workload, not to a pod: its listener stays open for as
// long as dev runs, and whoever connects reaches the workload's first pod, the oldest
// or, where pods have ranks, rank 0, whichever pod that is by then. A connection from
// here waits while there is no pod, or no way to it, so that a reload of a
// browser after a pod was replaced shows the new pod and not an error.
//
// All connections of a workload travel as pairs of streams on one connection to
// the kubelet (SPDY over a WebSocket, KEP-4006; SPDY alone where the server or
// a proxy cannot), which is made when it is needed and made anew when it was
// lost.
package forward
