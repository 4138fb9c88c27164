// Package exporter watches a served model and tells Prometheus how far it
// drifted from its reference.
//
// Every few seconds it asks DNS for the pods behind a headless Service, reads
// their pages of metrics and keeps by how much the counters grew. What grew
// within the last window of time, over all pods, is compared with the reference
// of the model that the pods say they serve. A pod that started before the
// exporter is counted from where it was: the past is not part of a window.
//
// It needs no permission in the cluster. What it knows is in memory: after a
// restart the window fills anew.
package exporter
