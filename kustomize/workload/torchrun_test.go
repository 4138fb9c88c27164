package workload_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
)

var reference = regexp.MustCompile(`\$\(([A-Z_]+)\)`)

// pod returns the environment that a kubelet gives to the pod of an index: the
// downward API filled in, and $(VAR) replaced by what was defined before it
// (Kubernetes, "Define Dependent Environment Variables").
func pod(t *testing.T, target workload.Target, index int) map[string]string {
	t.Helper()
	fields := map[string]string{
		"metadata.annotations['batch.kubernetes.io/job-completion-index']": strconv.Itoa(index),
		"metadata.labels['batch.kubernetes.io/job-name']":                  "j-1a2b3c4d",
	}
	out := map[string]string{}
	list, _ := target.Container.Map()["env"].([]any)
	for _, item := range list {
		m := item.(map[string]any)
		name := m["name"].(string)
		if value, ok := m["value"].(string); ok {
			out[name] = reference.ReplaceAllStringFunc(value, func(s string) string {
				if v, ok := out[s[2:len(s)-1]]; ok {
					return v
				}
				return s
			})
			continue
		}
		path := m["valueFrom"].(map[string]any)["fieldRef"].(map[string]any)["fieldPath"].(string)
		value, ok := fields[path]
		if !ok {
			t.Fatalf("%s is from %s, which no pod of an Indexed Job has", name, path)
		}
		out[name] = value
	}
	return out
}

// integers reads variables as programs do that take them with int().
func integers(t *testing.T, env map[string]string, names ...string) []int {
	t.Helper()
	var out []int
	for _, name := range names {
		n, err := strconv.Atoi(env[name])
		if err != nil {
			t.Errorf("%s is %q", name, env[name])
		}
		out = append(out, n)
	}
	return out
}

// What well known programs look for in the environment: each is started in
// the four pods of a gang and has to take itself for one of four ranks.
func TestProgramsFindTheirRank(t *testing.T) {
	const spec, at = "completionMode: Indexed\n  completions: 4\n  parallelism: 4", "subdomain: workers"
	for name, c := range map[string]struct {
		env  string
		read func(t *testing.T, env map[string]string) (rank, world int, address string)
	}{
		// RANK decides whether it is distributed; a pod with it and without
		// the other two ends with a KeyError.
		"nanoGPT": {"", func(t *testing.T, env map[string]string) (int, int, string) {
			n := integers(t, env, "RANK", "WORLD_SIZE", "LOCAL_RANK")
			if n[2] != 0 {
				t.Errorf("it takes device %d of a pod with one process", n[2])
			}
			return n[0], n[1], env["MASTER_ADDR"] + ":" + env["MASTER_PORT"]
		}},
		// All three, or it trains alone.
		"nanochat": {"", func(t *testing.T, env map[string]string) (int, int, string) {
			for _, name := range []string{"RANK", "LOCAL_RANK", "WORLD_SIZE"} {
				if _, ok := env[name]; !ok {
					t.Errorf("without %s it trains alone", name)
				}
			}
			n := integers(t, env, "RANK", "WORLD_SIZE")
			return n[0], n[1], env["MASTER_ADDR"] + ":" + env["MASTER_PORT"]
		}},
		// Its manifest gives address, port and rank, and a shell hands them to
		// torchrun as flags.
		"the PyTorch sample of JobSet": {
			`{name: MASTER_ADDR, value: j-1a2b3c4d-0.workers}, {name: MASTER_PORT, value: "29500"}, {name: RANK, valueFrom: {fieldRef: {fieldPath: "metadata.annotations['batch.kubernetes.io/job-completion-index']"}}}`,
			func(t *testing.T, env map[string]string) (int, int, string) {
				n := integers(t, env, "RANK", "PET_NNODES")
				return n[0], n[1], env["MASTER_ADDR"] + ":" + env["MASTER_PORT"]
			},
		},
		// torchrun without a flag takes its defaults from PET_*, as in pods of
		// the Kubeflow Trainer; a process a node unless the bundle says more.
		"torchrun": {"{name: PET_NPROC_PER_NODE, value: '2'}", func(t *testing.T, env map[string]string) (int, int, string) {
			n := integers(t, env, "PET_NODE_RANK", "PET_NNODES", "PET_NPROC_PER_NODE")
			if n[2] != 2 {
				t.Errorf("%d processes a node, and the bundle says 2", n[2])
			}
			return n[0], n[1], env["PET_MASTER_ADDR"] + ":" + env["PET_MASTER_PORT"]
		}},
	} {
		t.Run(name, func(t *testing.T) {
			targets := gang(t, spec, at, c.env)
			workload.NumberRanks(targets)
			seen := map[string]bool{}
			for index := range 4 {
				env := pod(t, targets[0], index)
				rank, world, address := c.read(t, env)
				seen[fmt.Sprintf("rank %d of %d meets at %s", rank, world, address)] = true
				for name, value := range env {
					if strings.Contains(value, "$(") {
						t.Errorf("%s is %s: what it names comes after it", name, value)
					}
				}
			}
			var want []string
			for index := range 4 {
				want = append(want, fmt.Sprintf("rank %d of 4 meets at j-1a2b3c4d-0.workers:29500", index))
			}
			if d := cmp.Diff(want, slices.Sorted(maps.Keys(seen))); d != "" {
				t.Error(d)
			}
		})
	}
}
