// Package drift compares what a served model is asked with what it was trained
// on. It is arithmetic: it opens no connection and reads no clock.
//
// Training writes a Reference beside the model: how often each feature's values
// fell between fixed bounds, how often each class was the label, and how
// accurate the model was on held-out samples. The served model counts the same
// in production, as Prometheus histograms and counters between the same bounds
// (Counters). What was counted within a window of time is compared with the
// reference (Compare) and gives a Report: the population stability index and
// the Kolmogorov-Smirnov distance of each feature, and the accuracy on what
// people labelled since. Thresholds say when that is too far (Thresholds.Judge).
//
// Both sides hold counts, never samples: nothing that a user sent to the model
// is kept, and a million requests cost what ten cost.
package drift
