package release

import "time"

// Gate is a condition that was asked before something was applied, with the
// evidence. Its JSON form is stable.
type Gate struct {
	Kind   string    `json:"kind"`             // metric, validation, command, signature or approval
	Name   string    `json:"name"`             // the metric, the command line, the keys, or who has to approve
	Wave   int       `json:"wave,omitempty"`   // after which it was asked; 0: before all
	Canary int       `json:"canary,omitempty"` // percent of the traffic at which it was asked; 0: without one
	Passed bool      `json:"passed"`
	Detail string    `json:"detail"` // for people: "0.97, at least 0.9 is wanted"
	When   time.Time `json:"when"`

	Metric    *GateMetric `json:"metric,omitempty"`
	Command   *GateResult `json:"command,omitempty"`
	Approvers []string    `json:"approvers,omitempty"` // who said yes

	Signatures []GateSignature `json:"signatures,omitempty"` // one an object that holds the code
	Validation *GateValidation `json:"validation,omitempty"`
}

// GateSignature is provenance that one of a gate's keys signed.
type GateSignature struct {
	Of     string `json:"of"`     // the object that holds the code
	Digest string `json:"digest"` // of the signed document
	Key    string `json:"key"`    // its file
	KeyID  string `json:"keyID"`  // digest of its SubjectPublicKeyInfo
}

// GateMetric is where a value of a metric comes from.
type GateMetric struct {
	Value     *float64  `json:"value,omitempty"` // absent: it was never reported, or is NaN
	Goal      string    `json:"goal"`            // maximize or minimize
	Threshold float64   `json:"threshold"`
	Dataset   string    `json:"dataset,omitempty"`
	Seed      int64     `json:"seed,omitempty"` // of the dataset's split
	Context   string    `json:"context,omitempty"`
	Pod       string    `json:"pod,omitempty"` // namespace/pod/container
	Rank      int       `json:"rank"`          // -1: the pod carries no number
	Reported  time.Time `json:"reported,omitzero"`
	Malformed int       `json:"malformed,omitempty"` // lines that were meant to report and could not be read
}

// GateResult is how a command ended.
type GateResult struct {
	Exit    int     `json:"exit"` // -1: it did not start, or was stopped
	Seconds float64 `json:"seconds"`
	Output  string  `json:"output,omitempty"` // its end, both streams
}

// GateValidation is which validation was asked, and what it measured on what.
type GateValidation struct {
	Run     string    `json:"run"` // its ID
	Context string    `json:"context"`
	Model   string    `json:"model,omitempty"` // digests as the code said them
	Data    string    `json:"data,omitempty"`
	When    time.Time `json:"when"`
}
