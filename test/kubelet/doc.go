// Package kubelet tests the device plugin against the registration servers of
// real kubelets, the oldest and the newest that are supported. Each is built
// from Kubernetes' own source, in a module of its own, and run as a process,
// so that it can be killed.
package kubelet
