package workload

import (
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// rendezvousPort is torch's default for MASTER_PORT.
const rendezvousPort = "29500"

// NumberRanks gives the containers of a gang what distributed training looks
// for in the environment and the bundle did not set: RANK, WORLD_SIZE,
// LOCAL_RANK, MASTER_ADDR and MASTER_PORT (torch.distributed, environment
// variable initialization), and the same as torchrun's PET_* variables. A gang
// is an Indexed Job of several pods whose template has a subdomain: its pods
// have names by which they find each other (Kubernetes, "Job with
// Pod-to-Pod Communication"). Everything comes from the downward API, so that
// it holds in production, where no agent runs and the Job may have another
// name.
func NumberRanks(targets []Target) {
	for i, t := range targets {
		mode, _, _ := unstructured.NestedString(t.Object.Object, "spec", "completionMode")
		subdomain, _ := t.Spec()["subdomain"].(string)
		world := Replicas(t.Template)
		if t.Object.GetKind() != "Job" || mode != "Indexed" || subdomain == "" || world < 2 {
			continue
		}
		e := environmentOf(t.Container)
		e.field("RANK", "metadata.annotations['batch.kubernetes.io/job-completion-index']")
		e.value("WORLD_SIZE", strconv.Itoa(world))
		e.value("LOCAL_RANK", "0")
		if !e.has("MASTER_ADDR") && !e.has("MASTER_PORT") && !e.has("PET_MASTER_PORT") {
			targets[i].OwnRendezvous = true
		}
		if !e.has("MASTER_ADDR") {
			e.field("KUBECTL_AI_JOB", "metadata.labels['batch.kubernetes.io/job-name']")
			e.value("MASTER_ADDR", "$(KUBECTL_AI_JOB)-0."+subdomain)
		}
		e.value("MASTER_PORT", rendezvousPort)
		e.value("PET_NODE_RANK", "$(RANK)")
		e.value("PET_NNODES", "$(WORLD_SIZE)")
		e.value("PET_MASTER_ADDR", "$(MASTER_ADDR)")
		e.value("PET_MASTER_PORT", "$(MASTER_PORT)")
		t.Container.fields["env"] = e.list
	}
}

// environment adds variables that a container does not have.
type environment struct {
	list  []any
	known map[string]bool
}

func environmentOf(c Container) *environment {
	e := &environment{known: map[string]bool{}}
	e.list, _ = c.fields["env"].([]any)
	for _, item := range e.list {
		if m, ok := item.(map[string]any); ok {
			name, _ := m["name"].(string)
			e.known[name] = true
		}
	}
	return e
}

func (e *environment) has(name string) bool { return e.known[name] }

func (e *environment) value(name, value string) { e.add(name, "value", value) }

func (e *environment) field(name, path string) {
	e.add(name, "valueFrom", map[string]any{"fieldRef": map[string]any{"fieldPath": path}})
}

func (e *environment) add(name, key string, v any) {
	if !e.known[name] {
		e.known[name] = true
		e.list = append(e.list, map[string]any{"name": name, key: v})
	}
}
