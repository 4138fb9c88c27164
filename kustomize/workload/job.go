package workload

import (
	"fmt"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// JobOf returns the Job that a Job or a CronJob stands for, as kubectl create
// job --from makes it of a CronJob: without a name, owners and status. The
// object is not touched. ok is false for other kinds.
func JobOf(obj *unstructured.Unstructured) (job *unstructured.Unstructured, ok bool) {
	gvk := obj.GroupVersionKind()
	if gvk.Group != "batch" {
		return nil, false
	}
	from := obj.DeepCopy().Object
	switch gvk.Kind {
	case "Job":
	case "CronJob":
		template, found, err := unstructured.NestedMap(from, "spec", "jobTemplate")
		if !found || err != nil {
			return nil, false
		}
		from = template
	default:
		return nil, false
	}
	metadata, _ := from["metadata"].(map[string]any)
	job = &unstructured.Unstructured{Object: map[string]any{"apiVersion": "batch/v1", "kind": "Job", "metadata": map[string]any{}, "spec": from["spec"]}}
	for _, field := range []string{"labels", "annotations"} {
		if m, ok := metadata[field].(map[string]any); ok {
			job.Object["metadata"].(map[string]any)[field] = m
		}
	}
	if namespace := obj.GetNamespace(); namespace != "" {
		job.SetNamespace(namespace)
	}
	return job, true
}

// worldVariables are those that hold the number of ranks where a bundle says
// it by a number.
var worldVariables = []string{"WORLD_SIZE", "PET_NNODES", "SHARDS"}

// SetRanks makes a Job one of so many pods that run at once, and gives
// containers that say the number by a variable the new one.
func SetRanks(job *unstructured.Unstructured, ranks int) error {
	templates, err := Templates(job)
	if err != nil || len(templates) == 0 {
		return fmt.Errorf("%s has no pod template: %w", Name(job), err)
	}
	before := strconv.Itoa(Replicas(templates[0]))
	for _, field := range []string{"parallelism", "completions"} {
		if err := unstructured.SetNestedField(job.Object, int64(ranks), "spec", field); err != nil {
			return fmt.Errorf("%s: %w", Name(job), err)
		}
	}
	for _, c := range templates[0].Containers() {
		env, _ := c.fields["env"].([]any)
		for _, item := range env {
			m, _ := item.(map[string]any)
			if name, _ := m["name"].(string); slices.Contains(worldVariables, name) && m["value"] == before {
				m["value"] = strconv.Itoa(ranks)
			}
		}
	}
	return nil
}

// SetVariable gives a container a variable, in place of one of that name.
func (c Container) SetVariable(name, value string) {
	env, _ := c.fields["env"].([]any)
	own := map[string]any{"name": name, "value": value}
	for i, item := range env {
		if m, _ := item.(map[string]any); m["name"] == name {
			env[i] = own
			return
		}
	}
	c.fields["env"] = append(env, own)
}

// SetLimit limits a container to so much of a resource; "0" takes it away. A
// request for it, where there is one, follows: of devices both are the same.
func (c Container) SetLimit(resource, quantity string) {
	resources := child(c.fields, "resources")
	limits := child(resources, "limits")
	requests, _ := resources["requests"].(map[string]any)
	if quantity == "0" {
		delete(limits, resource)
		delete(requests, resource)
		return
	}
	limits[resource] = quantity
	if _, ok := requests[resource]; ok {
		requests[resource] = quantity
	}
}

// Limits returns the names of the resources that a container is limited in.
func (c Container) Limits() []string {
	resources, _ := c.fields["resources"].(map[string]any)
	limits, _ := resources["limits"].(map[string]any)
	return sortedKeys(limits)
}
