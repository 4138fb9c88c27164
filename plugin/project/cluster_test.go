package project

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

const accuracy = "metrics: [{name: accuracy, goal: maximize, threshold: 0.9, dataset: {name: digits, seed: 7}}]\n"

func TestClustersWavesAndGates(t *testing.T) {
	p, err := Load(bundle(t, head+accuracy+`environments:
  production:
    gates: [{metric: accuracy}, {command: [make, smoke], timeout: 2m}, {command: [true]}, {signature: {keys: [keys/ci.pub]}}, {approval: 2}, {approval: [ann, bob]}]
    clusters:
    - {name: eu-1, context: prod-eu-1, uid: 1f0c}
    - {name: eu-2, context: prod-eu-2}
    - {name: us-1, context: prod-us-1}
    waves:
    - {clusters: [eu-1], gates: [{metric: accuracy}]}
    - {clusters: [us-1, eu-2], parallelism: 2, soak: 30s}
    onFailure: stop
  one: {context: c, clusterUID: 77, gates: [{metric: accuracy, from: production}]}
  tried: {canary: {route: serve, steps: [{weight: 10, soak: 1m, gates: [{metric: accuracy}]}, {weight: 50}]}}
  plain: {clusters: [{name: a, context: x}, {name: b, context: y}]}
`))
	if err != nil {
		t.Fatal(err)
	}
	limit := 0.9
	if diff := cmp.Diff([]Metric{{"accuracy", Maximize, &limit, Dataset{"digits", 7}}}, p.Metrics); diff != "" {
		t.Error(diff)
	}
	want := Environment{
		Gates: []Gate{
			{Metric: "accuracy", From: "sandbox"},
			{Command: []string{"make", "smoke"}, Timeout: 2 * time.Minute},
			{Command: []string{"true"}, Timeout: CommandTimeout},
			{Keys: []string{"keys/ci.pub"}},
			{Approvals: 2},
			{Approvals: 2, Approvers: []string{"ann", "bob"}},
		},
		Clusters: []Cluster{{"eu-1", "prod-eu-1", "1f0c"}, {Name: "eu-2", Context: "prod-eu-2"}, {Name: "us-1", Context: "prod-us-1"}},
		Waves: []Wave{
			{Clusters: []string{"eu-1"}, Parallelism: 1, Gates: []Gate{{Metric: "accuracy"}}},
			{Clusters: []string{"us-1", "eu-2"}, Parallelism: 2, Soak: 30 * time.Second},
		},
		OnFailure: Stop,
	}
	got := p.Environments["production"]
	want.Name, want.Overlay, want.CodeFormats = got.Name, got.Overlay, got.CodeFormats
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if one := p.Environments["one"]; one.ClusterUID != "77" || one.Gates[0].From != "production" {
		t.Errorf("%+v", one)
	}
	tried := &Canary{Route: "serve", Steps: []CanaryStep{{Weight: 10, Soak: time.Minute, Gates: []Gate{{Metric: "accuracy"}}}, {Weight: 50}}}
	if diff := cmp.Diff(tried, p.Environments["tried"].Canary); diff != "" {
		t.Error(diff)
	}
	plain := p.Environments["plain"]
	if diff := cmp.Diff([]Wave{{Clusters: []string{"a", "b"}, Parallelism: 1}}, plain.Waves); diff != "" || plain.OnFailure != Rollback {
		t.Error(diff, plain.OnFailure)
	}
}

func TestMistakesInClustersWavesAndGatesAreNamed(t *testing.T) {
	const two = "clusters: [{name: a, context: x}, {name: b, context: y}]"
	for _, c := range []struct{ name, file, want string }{
		{"a metric without a goal", "metrics: [{name: m}]", "metrics[0].goal"},
		{"a metric twice", "metrics: [{name: m, goal: minimize}, {name: m, goal: minimize}]", "m is there twice"},
		{"a threshold that is no number", "metrics: [{name: m, goal: minimize, threshold: .nan}]", "metrics[0].threshold"},
		{"an unknown field, with its line", "metrics:\n- {name: m, goal: minimize, treshold: 1}", ":4: unknown field treshold"},
		{"an unknown field of a wave, with its line", "environments:\n  e:\n    " + two + "\n    waves: [{cluster: [a]}]", ":6: unknown field cluster"},
		{"a gate of two kinds", "environments: {e: {gates: [{command: [a], approval: 1}]}}", "environments.e.gates[0]: want one of"},
		{"a gate of none", "environments: {e: {gates: [{}]}}", "gates[0]: want one of"},
		{"a gate of a metric that is not there", "environments: {e: {gates: [{metric: m}]}}", "metric m is not in metrics"},
		{"a gate of a metric without a threshold", "metrics: [{name: m, goal: minimize}]\nenvironments: {e: {gates: [{metric: m}]}}", "metric m has no threshold"},
		{"a metric from nowhere", accuracy + "environments: {e: {gates: [{metric: accuracy, from: staging}]}}", "gates[0].from \"staging\" is no environment"},
		{"a validation from nowhere", "environments: {e: {gates: [{validation: {from: staging}}]}}", "gates[0].from \"staging\" is no environment"},
		{"a validation with something else", "environments: {e: {gates: [{validation: {of: x}}]}}", ":3: validation: unknown field of"},
		{"an empty command", "environments: {e: {gates: [{command: []}]}}", "command: want a program"},
		{"a timeout that is none", "environments: {e: {gates: [{command: [a], timeout: soon}]}}", "timeout \"soon\""},
		{"a signature by no key", "environments: {e: {gates: [{signature: {keys: []}}]}}", "signature: want keys"},
		{"a signature with an unknown field, with its line", "environments:\n  e:\n    gates: [{signature: {key: a}}]", ":5: unknown field key"},
		{"a wave's signature", "environments: {e: {" + two + ", waves: [{clusters: [a, b], gates: [{signature: {keys: [a]}}]}]}}", "signature is of an environment's gates"},
		{"approval of nobody", "environments: {e: {gates: [{approval: 0}]}}", "approval: want how many"},
		{"approval of one twice", "environments: {e: {gates: [{approval: [ann, ann]}]}}", "each once"},
		{"waves without clusters", "environments: {e: {waves: [{clusters: [a]}]}}", "waves and onFailure need clusters"},
		{"a context beside clusters", "environments: {e: {context: z, " + two + "}}", "each of them has its own context"},
		{"a cluster without a context", "environments: {e: {clusters: [{name: a}]}}", "clusters[0].context is missing"},
		{"a cluster twice", "environments: {e: {clusters: [{name: a, context: x}, {name: b, context: x}]}}", "clusters[1]: name or context b is there twice"},
		{"a cluster in no wave", "environments: {e: {" + two + ", waves: [{clusters: [a]}]}}", "waves: b is in none"},
		{"a cluster in two waves", "environments: {e: {" + two + ", waves: [{clusters: [a, b]}, {clusters: [a]}]}}", "waves[1]: a is no cluster"},
		{"no parallelism", "environments: {e: {" + two + ", waves: [{clusters: [a, b], parallelism: 0}]}}", "waves[0].parallelism 0"},
		{"a soak that is none", "environments: {e: {" + two + ", waves: [{clusters: [a, b], soak: -1s}]}}", "waves[0].soak"},
		{"a wave's metric from elsewhere", accuracy + "environments: {e: {" + two + ", waves: [{clusters: [a, b], gates: [{metric: accuracy, from: e}]}]}}", "waves[0].gates[0]: from is of"},
		{"a canary without a route", "environments: {e: {canary: {steps: [{weight: 10}]}}}", "canary.route \"\""},
		{"a canary without steps", "environments: {e: {canary: {route: serve}}}", "canary.steps is missing"},
		{"a canary with all of the traffic", "environments: {e: {canary: {route: serve, steps: [{weight: 100}]}}}", "canary.steps[0].weight 100"},
		{"a canary that shrinks", "environments: {e: {canary: {route: serve, steps: [{weight: 50}, {weight: 10}]}}}", "canary.steps[1].weight 10"},
		{"a canary's soak that is none", "environments: {e: {canary: {route: serve, steps: [{weight: 1, soak: long}]}}}", "canary.steps[0].soak \"long\""},
		{"a canary's gate of none", "environments: {e: {canary: {route: serve, steps: [{weight: 1, gates: [{}]}]}}}", "canary.steps[0].gates[0]: want one of"},
		{"approval of a canary in several clusters", "environments: {e: {" + two + ", canary: {route: serve, steps: [{weight: 1, gates: [{approval: 1}]}]}}}", "approval in a step is for an environment of one cluster"},
		{"an unknown field of a canary, with its line", "environments:\n  e:\n    canary: {route: serve, step: []}", ":5: unknown field step"},
		{"an unknown onFailure", "environments: {e: {" + two + ", onFailure: cry}}", "onFailure \"cry\""},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Load(bundle(t, head+c.file+"\n"))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("err = %v, want %q", err, c.want)
			}
		})
	}
}

func TestMeets(t *testing.T) {
	half := 0.5
	for _, c := range []struct {
		metric Metric
		value  float64
		want   bool
	}{
		{Metric{Goal: Maximize, Threshold: &half}, 0.5, true},
		{Metric{Goal: Maximize, Threshold: &half}, 0.49, false},
		{Metric{Goal: Minimize, Threshold: &half}, 0.5, true},
		{Metric{Goal: Minimize, Threshold: &half}, 0.51, false},
		{Metric{Goal: Minimize, Threshold: &half}, math.NaN(), false},
		{Metric{Goal: Maximize, Threshold: &half}, math.NaN(), false},
		{Metric{Goal: Maximize}, 1, false},
	} {
		if got := c.metric.Meets(c.value); got != c.want {
			t.Errorf("%+v meets %v: %v", c.metric, c.value, got)
		}
	}
}
