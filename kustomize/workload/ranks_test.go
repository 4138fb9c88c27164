package workload_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
)

// gang is a Job whose container has the given environment.
func gang(t *testing.T, spec, pod, env string) []workload.Target {
	t.Helper()
	var fields map[string]any
	text := fmt.Sprintf("apiVersion: batch/v1\nkind: Job\nmetadata: {name: j}\nspec:\n  %s\n  template:\n    spec:\n      %s\n      containers:\n      - {name: main, image: i, workingDir: /app, env: [%s]}\n", spec, pod, env)
	if err := yaml.Unmarshal([]byte(text), &fields); err != nil {
		t.Fatal(err)
	}
	targets, err := workload.Select([]*unstructured.Unstructured{{Object: fields}}, "/app", nil)
	if err != nil {
		t.Fatal(err)
	}
	return targets
}

// variables lists a container's environment in its order.
func variables(targets []workload.Target) []string {
	var out []string
	env, _ := targets[0].Container.Map()["env"].([]any)
	for _, item := range env {
		m := item.(map[string]any)
		if v, ok := m["value"]; ok {
			out = append(out, fmt.Sprint(m["name"], "=", v))
		} else {
			out = append(out, fmt.Sprint(m["name"], " from the pod"))
		}
	}
	return out
}

func TestAGangsRanksAreNumbered(t *testing.T) {
	const indexed = "completionMode: Indexed\n  completions: 4\n  parallelism: 4"
	for name, c := range map[string]struct {
		spec, pod, env string
		want           string
		own            bool // where they meet is ours to choose
	}{
		"nothing is given": {indexed, "subdomain: s", "", "RANK from the pod;WORLD_SIZE=4;LOCAL_RANK=0;KUBECTL_AI_JOB from the pod;MASTER_ADDR=$(KUBECTL_AI_JOB)-0.s;MASTER_PORT=29500;PET_NODE_RANK=$(RANK);PET_NNODES=$(WORLD_SIZE);PET_MASTER_ADDR=$(MASTER_ADDR);PET_MASTER_PORT=$(MASTER_PORT)", true},
		"what the bundle gives stays, and PET_* follow it": {
			indexed, "subdomain: s", "{name: MASTER_ADDR, value: a}, {name: MASTER_PORT, value: '1'}, {name: WORLD_SIZE, value: '8'}, {name: PET_NNODES, value: '2'}",
			"MASTER_ADDR=a;MASTER_PORT=1;WORLD_SIZE=8;PET_NNODES=2;RANK from the pod;LOCAL_RANK=0;PET_NODE_RANK=$(RANK);PET_MASTER_ADDR=$(MASTER_ADDR);PET_MASTER_PORT=$(MASTER_PORT)", false,
		},
		"behind an address of the bundle's there may be a Service with this port alone": {
			indexed, "subdomain: s", "{name: MASTER_ADDR, value: a}",
			"MASTER_ADDR=a;RANK from the pod;WORLD_SIZE=4;LOCAL_RANK=0;MASTER_PORT=29500;PET_NODE_RANK=$(RANK);PET_NNODES=$(WORLD_SIZE);PET_MASTER_ADDR=$(MASTER_ADDR);PET_MASTER_PORT=$(MASTER_PORT)", false,
		},
		"pods that cannot find each other are no gang": {indexed, "restartPolicy: Never", "", "", false},
		"a Job of one pod is no gang":                  {"completionMode: Indexed", "subdomain: s", "", "", false},
		"a Job without indexes is no gang":             {"completions: 4\n  parallelism: 4", "subdomain: s", "", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			targets := gang(t, c.spec, c.pod, c.env)
			workload.NumberRanks(targets)
			workload.NumberRanks(targets) // once more changes nothing
			if d := cmp.Diff(c.want, strings.Join(variables(targets), ";")); d != "" {
				t.Error(d)
			}
			if targets[0].OwnRendezvous != c.own {
				t.Errorf("OwnRendezvous is %v", targets[0].OwnRendezvous)
			}
		})
	}
}
