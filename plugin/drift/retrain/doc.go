// Package retrain starts a training run when an alert says so.
//
// It takes alerts in both forms that exist: as Prometheus sends them to an
// Alertmanager (POST /api/v2/alerts), so that a sandbox needs none, and as an
// Alertmanager sends them on (its webhook, version 4). An alert that fires and
// carries the label action=retrain makes one Job from a suspended CronJob, as
// `kubectl create job --from` would.
//
// One alert is one Job: the Job's name is made of the alert and the time since
// when it fires, so that an alert that is sent again, or to two receivers,
// finds its Job there. While a Job of the CronJob runs, or one is younger than
// the cool-down, no other is made. All of this state is the cluster's; a Job
// that was deleted is forgotten.
//
// It makes Jobs and does nothing else. Whether the new model is good enough to
// be served is for `kubectl ai promote` and its gates.
package retrain
