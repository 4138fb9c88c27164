// Package run makes one run of a bundle's workload out of it, and remembers
// what came of it: with which code, parameters and data, what it reported, how
// it ended.
//
// A run is a Job that is made suspended and let go when all its ranks find
// room (package admit), and a record in a ConfigMap that outlives the Job. The
// record is completed from the cluster whenever somebody reads it: nobody has
// to watch a run for its record to be whole, as long as its pods are there.
// Logs are read on from where the record stands, so that two readers agree.
//
// Invariants:
//   - The record is written before the Job, and owns it: deleting the record
//     deletes the Job and its pods.
//   - A record that is final never changes, but for where it was exported to.
//   - What a newer kubectl-ai wrote is refused with a *NewerError.
package run

import (
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/metric"
)

// Labels and annotations of a run's record, Job and pods.
const (
	// IDLabel holds the ID of the run, such as k7x2mq.
	IDLabel = "kubectl-ai.dev/run"
	// StageLabel says what a workload is for: data, train, tune, validate, serve.
	StageLabel = "kubectl-ai.dev/stage"
	// ProjectLabel holds the project's name.
	ProjectLabel = "kubectl-ai.dev/project"
	// MatrixLabel holds the ID of the matrix that a run is one point of.
	MatrixLabel = "kubectl-ai.dev/matrix"
	// DigestAnnotation holds the digest of the code tree.
	DigestAnnotation = "kubectl-ai.dev/tree-digest"
	// ContainersAnnotation lists the containers that run the code. It is not
	// dev's own: dev would look for its agent there.
	ContainersAnnotation = "kubectl-ai.dev/run-containers"
)

// Stages of the life cycle that end by themselves.
const (
	StageTrain    = "train"
	StageValidate = "validate"
)

// APIVersion and Kind are those of a Record as JSON.
const (
	APIVersion = "kubectl-ai.dev/v1alpha1"
	Kind       = "Run"
)

// Lost is the phase of a run whose Job is gone before it was seen to end.
const Lost apply.Phase = "Lost"

// Record is what is known of one run. Its JSON form is stable.
type Record struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	ID         string `json:"id"`
	Matrix     string `json:"matrix,omitempty"` // ID of the matrix it is a point of
	Project    string `json:"project"`
	Stage      string `json:"stage"`
	Workload   string `json:"workload"` // of the bundle, such as CronJob/batch
	Namespace  string `json:"namespace"`
	Job        string `json:"job"`
	Who        string `json:"who"`
	Context    string `json:"context"`

	CodeDigest string            `json:"codeDigest"`
	Carrier    string            `json:"carrier"` // how the code got there: configMap, layer, or Released
	Parameters map[string]string `json:"parameters,omitempty"`
	Ranks      int               `json:"ranks"`
	Requests   map[string]string `json:"requests,omitempty"` // of one rank
	Images     []Image           `json:"images,omitempty"`
	Nodes      []string          `json:"nodes,omitempty"` // that ranks ran on

	// Endpoint: its code may report by the progress endpoint too.
	Endpoint bool `json:"endpoint,omitempty"`

	Phase  apply.Phase `json:"phase"`
	Reason string      `json:"reason,omitempty"` // why it waits, or failed
	// Created is when the run was asked for, Started when its ranks were let
	// go, Finished when it ended, all by the server's clock.
	Created  time.Time `json:"created"`
	Started  time.Time `json:"started,omitzero"`
	Finished time.Time `json:"finished,omitzero"`

	Metrics []Metric `json:"metrics,omitempty"`
	// Progress is in percent; nil: the code does not say.
	Progress *Number `json:"progress,omitempty"`
	// Remaining is how many seconds are to come, as the code said at Said.
	Remaining  *int               `json:"remaining,omitempty"`
	Said       time.Time          `json:"said,omitzero"` // the last line of metrics
	Data       []RankData         `json:"data,omitempty"`
	Model      *metric.Model      `json:"model,omitempty"`
	Validation *metric.Validation `json:"validation,omitempty"`
	Malformed  *Malformed         `json:"malformed,omitempty"`
	Exits      []Exit             `json:"exits,omitempty"`

	Report   *Report `json:"report,omitempty"`   // of a validation
	Exported string  `json:"exported,omitempty"` // MLflow's ID of the run

	// Read is up to when the log of each rank was read, by pod UID and
	// container, and what it reported otherwise, by ConfigMap.
	Read map[string]time.Time `json:"read,omitempty"`
}

// Image is what a container of the run ran in.
type Image struct {
	Container string `json:"container"`
	Image     string `json:"image"`
	ID        string `json:"id"` // by digest, as the node names it
}

// Metric is one measure over the time of a run.
type Metric struct {
	Name string `json:"name"`
	Goal string `json:"goal,omitempty"` // maximize or minimize, where the project says
	Last Number `json:"last"`
	Best Number `json:"best"` // by the goal; without one the last
	// Count is how often it was reported. History has some of these, evenly
	// thinned, the first and the last among them.
	Count   int     `json:"count"`
	History []Point `json:"history,omitempty"`
	Rank    int     `json:"rank"` // the lowest that reported it
}

// Point is a value of a metric at a time.
type Point struct {
	Time  time.Time `json:"time"`
	Step  int       `json:"step"` // the how manieth report it was, from 0
	Value Number    `json:"value"`
}

// RankData is what one rank said of its samples: a shard says of its own.
type RankData struct {
	Rank int `json:"rank"`
	metric.Data
}

// Malformed are lines that were meant to say something and cannot be read.
type Malformed struct {
	Lines int    `json:"lines"`
	First string `json:"first"` // the first one and what is wrong with it
}

// Exit is how a container ended other than well.
type Exit struct {
	Pod       string    `json:"pod"`
	Rank      int       `json:"rank"`
	Container string    `json:"container"`
	Node      string    `json:"node,omitempty"`
	Code      int       `json:"code"`
	Reason    string    `json:"reason,omitempty"` // as Kubernetes calls it: OOMKilled
	Message   string    `json:"message,omitempty"`
	Time      time.Time `json:"time,omitzero"`
}

// Done says whether the run has ended, well or not.
func (r *Record) Done() bool {
	return r.Phase == apply.Complete || r.Phase == apply.Failed || r.Phase == Lost
}

// Metric returns the metric of that name; nil when it was never reported.
func (r *Record) Metric(name string) *Metric {
	for i := range r.Metrics {
		if r.Metrics[i].Name == name {
			return &r.Metrics[i]
		}
	}
	return nil
}
