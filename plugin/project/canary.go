package project

import (
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
)

// Canary says how an environment tries the next pods of a served workload: on
// a growing part of the traffic, before they replace those that run.
type Canary struct {
	Route string // an HTTPRoute of the bundle with the weights of both
	Steps []CanaryStep
}

// CanaryStep is one part of the traffic.
type CanaryStep struct {
	Weight int           // percent, 1 to 99
	Soak   time.Duration // how long the pods have to stay well
	Gates  []Gate        // after it, before the next step
}

type canaryFile struct {
	Route string           `yaml:"route"`
	Steps []canaryStepFile `yaml:"steps"`
}

type canaryStepFile struct {
	Weight int        `yaml:"weight"`
	Soak   string     `yaml:"soak"`
	Gates  []gateFile `yaml:"gates"`
}

// read checks a canary against the metrics.
func (f canaryFile) read(metrics []Metric) (*Canary, error) {
	switch {
	case len(validation.IsDNS1123Subdomain(f.Route)) > 0:
		return nil, fmt.Errorf("canary.route %q: want the name of an HTTPRoute", f.Route)
	case len(f.Steps) == 0:
		return nil, errors.New("canary.steps is missing")
	}
	out := &Canary{Route: f.Route}
	before := 0
	for i, s := range f.Steps {
		at := fmt.Sprintf("canary.steps[%d]", i)
		if s.Weight <= before || s.Weight > 99 {
			return nil, fmt.Errorf("%s.weight %d: want percents from 1 to 99, each more than the one before", at, s.Weight)
		}
		before = s.Weight
		step := CanaryStep{Weight: s.Weight}
		var err error
		if step.Soak, err = readSoak(s.Soak); err != nil {
			return nil, fmt.Errorf("%s.%w", at, err)
		}
		if step.Gates, err = readGates(s.Gates, metrics, ""); err != nil {
			return nil, fmt.Errorf("%s.%w", at, err)
		}
		out.Steps = append(out.Steps, step)
	}
	return out, nil
}

func readSoak(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("soak %q is no duration such as 30s", text)
	}
	return d, nil
}
