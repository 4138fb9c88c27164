package project

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"time"

	"go.yaml.in/yaml/v3"
)

// Goals of a metric.
const (
	Maximize = "maximize"
	Minimize = "minimize"
)

// Metric is one measure of the problem that the code solves.
type Metric struct {
	Name string `json:"name"`
	Goal string `json:"goal"` // Maximize or Minimize
	// Threshold is the worst value that is good enough; nil: none is set.
	Threshold *float64 `json:"threshold,omitempty"`
	Dataset   Dataset  `json:"dataset,omitzero"`
}

// MetricsContract returns the metrics as code gets them, in the environment
// variable METRICS_CONTRACT; "" where the project has none.
func (p *Project) MetricsContract() string {
	if len(p.Metrics) == 0 {
		return ""
	}
	raw, err := json.Marshal(p.Metrics)
	if err != nil {
		return "" // names and finite numbers always marshal
	}
	return string(raw)
}

// Targets are the metrics that have a threshold.
func (p *Project) Targets() []Metric {
	return slices.DeleteFunc(slices.Clone(p.Metrics), func(m Metric) bool { return m.Threshold == nil })
}

// Meets says whether a value is good enough. NaN never is.
func (m Metric) Meets(value float64) bool {
	switch {
	case m.Threshold == nil || math.IsNaN(value):
		return false
	case m.Goal == Minimize:
		return value <= *m.Threshold
	}
	return value >= *m.Threshold
}

// Dataset is what a metric is measured on.
type Dataset struct {
	Name string `json:"name"`
	Seed int64  `json:"seed"` // of the split
}

// Gate is one condition of a promotion: a metric, a validation, a command, a
// signature or approval.
// approval.
type Gate struct {
	Metric string // name in Project.Metrics; "" where it is another gate
	// From is the environment whose run reports the metric. "" in the gates of
	// a wave: the clusters of the wave.
	From      string
	Command   []string
	Timeout   time.Duration // of the command
	Keys      []string      // public keys, relative to the project file: one of them has to have signed the code
	Approvals int           // how many have to approve; 0 where it is another gate
	Approvers []string      // who has to, all of them; nil: anybody
	// Validation wants the newest validation of the code, in From, to have
	// passed.
	Validation bool
}

// CommandTimeout is how long a gate's command may run unless it says more.
const CommandTimeout = 5 * time.Minute

var metricName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_./-]*$`)

type metricFile struct {
	Name      string   `yaml:"name"`
	Goal      string   `yaml:"goal"`
	Threshold *float64 `yaml:"threshold"`
	Dataset   struct {
		Name string `yaml:"name"`
		Seed int64  `yaml:"seed"`
	} `yaml:"dataset"`
}

type gateFile struct {
	Metric   string   `yaml:"metric"`
	From     string   `yaml:"from"`
	Command  []string `yaml:"command"`
	Timeout  string   `yaml:"timeout"`
	Approval approval `yaml:"approval"`

	Signature *struct {
		Keys []string `yaml:"keys"`
	} `yaml:"signature"`
	Validation *validationFile `yaml:"validation"`
}

// approval is a number of people, or their names.
type approval struct {
	given bool
	count int
	names []string
}

// UnmarshalYAML implements yaml.Unmarshaler.
func (a *approval) UnmarshalYAML(node *yaml.Node) error {
	a.given = true
	if node.Kind == yaml.SequenceNode {
		if err := node.Decode(&a.names); err != nil {
			return err
		}
		for i, name := range a.names {
			if name == "" || slices.Contains(a.names[:i], name) {
				return fmt.Errorf("line %d: approval: want names, each once", node.Line)
			}
		}
		a.count = len(a.names)
	} else if err := node.Decode(&a.count); err != nil {
		return err
	}
	if a.count < 1 || a.count > 100 {
		return fmt.Errorf("line %d: approval: want how many have to approve, or a list of their names", node.Line)
	}
	return nil
}

func readMetrics(list []metricFile) ([]Metric, error) {
	var out []Metric
	for i, m := range list {
		at := fmt.Sprintf("metrics[%d]", i)
		switch {
		case !metricName.MatchString(m.Name):
			return nil, fmt.Errorf("%s.name %q is no metric's name such as accuracy", at, m.Name)
		case slices.ContainsFunc(out, func(o Metric) bool { return o.Name == m.Name }):
			return nil, fmt.Errorf("%s: %s is there twice", at, m.Name)
		case m.Goal != Maximize && m.Goal != Minimize:
			return nil, fmt.Errorf("%s.goal %q: want %s or %s", at, m.Goal, Maximize, Minimize)
		case m.Threshold != nil && (math.IsNaN(*m.Threshold) || math.IsInf(*m.Threshold, 0)):
			return nil, fmt.Errorf("%s.threshold: want a number", at)
		}
		out = append(out, Metric{m.Name, m.Goal, m.Threshold, Dataset(m.Dataset)})
	}
	return out, nil
}

// readGates checks gates against the metrics. from is the environment that
// reports metrics where a gate names none; "": none may be named.
func readGates(list []gateFile, metrics []Metric, from string) ([]Gate, error) {
	var out []Gate
	for i, g := range list {
		gate, err := g.read(metrics, from)
		if err != nil {
			return nil, fmt.Errorf("gates[%d]: %w", i, err)
		}
		out = append(out, gate)
	}
	return out, nil
}

func (g gateFile) read(metrics []Metric, from string) (Gate, error) {
	kinds := 0
	for _, given := range []bool{g.Metric != "", g.Command != nil, g.Approval.given, g.Signature != nil, g.Validation != nil} {
		if given {
			kinds++
		}
	}
	if kinds != 1 {
		return Gate{}, errors.New("want one of metric, validation, command, signature and approval")
	}
	out := Gate{Metric: g.Metric, Command: g.Command, Approvals: g.Approval.count, Approvers: g.Approval.names}
	switch {
	case g.Signature != nil && from == "":
		return Gate{}, errors.New("signature is of an environment's gates: nothing about it changes from wave to wave")
	case g.Signature != nil && (len(g.Signature.Keys) == 0 || slices.Contains(g.Signature.Keys, "")):
		return Gate{}, errors.New("signature: want keys, the files of public keys")
	case g.From != "" && (g.Metric == "" || from == ""):
		return Gate{}, errors.New("from is of an environment's metric alone")
	case g.Timeout != "" && g.Command == nil:
		return Gate{}, errors.New("timeout is of a command alone")
	case g.Command != nil && (len(g.Command) == 0 || g.Command[0] == ""):
		return Gate{}, errors.New("command: want a program and its arguments")
	}
	if g.Metric != "" {
		i := slices.IndexFunc(metrics, func(m Metric) bool { return m.Name == g.Metric })
		if i < 0 {
			return Gate{}, fmt.Errorf("metric %s is not in metrics", g.Metric)
		}
		if metrics[i].Threshold == nil {
			return Gate{}, fmt.Errorf("metric %s has no threshold in metrics", g.Metric)
		}
		if out.From = from; g.From != "" {
			out.From = g.From
		}
	}
	if g.Signature != nil {
		out.Keys = g.Signature.Keys
	}
	if g.Validation != nil {
		out.Validation, out.From = true, cmp.Or(g.Validation.From, Sandbox)
	}
	if g.Command != nil {
		out.Timeout = CommandTimeout
		if g.Timeout != "" {
			d, err := time.ParseDuration(g.Timeout)
			if err != nil || d <= 0 {
				return Gate{}, fmt.Errorf("timeout %q is no duration such as 2m", g.Timeout)
			}
			out.Timeout = d
		}
	}
	return out, nil
}

// Metric returns the metric of that name.
func (p *Project) Metric(name string) (Metric, bool) {
	i := slices.IndexFunc(p.Metrics, func(m Metric) bool { return m.Name == name })
	if i < 0 {
		return Metric{}, false
	}
	return p.Metrics[i], true
}
