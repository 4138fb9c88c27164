package promote

import (
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
)

// follow renames Jobs and what names them inside the bundle. The rule:
//
//  1. A map entry job-name or batch.kubernetes.io/job-name with the Job's name
//     as its value (Service selectors, matchLabels, template labels), and the
//     values of a matchExpressions entry with such a key.
//  2. A map with kind: Job and name: <name> (owner and scale references).
//  3. In env values, command and args of containers: a pod's hostname
//     <name>-<index> as a word of its own (a dot or a colon may follow),
//     unless a StatefulSet of that name is in the bundle, whose pods are
//     called so too.
//  4. An env value that is the Job's name as a whole, unless another object of
//     the bundle has that name too and the variable does not say JOB.
//
// Anything else, such as the data of a ConfigMap, stays: a program learns the
// Job's name by the downward API, from the label batch.kubernetes.io/job-name.
func follow(objects []*unstructured.Unstructured, renames []rename) {
	for _, r := range renames {
		if r.from == r.to {
			continue
		}
		f := follower{rename: r}
		for _, obj := range objects {
			if obj.GetNamespace() != r.namespace || obj.GetName() != r.from {
				continue
			}
			switch obj.GetKind() {
			case "Job":
				obj.SetName(r.to)
			case "StatefulSet":
				f.sharedPods, f.shared = true, true
			default:
				f.shared = true
			}
		}
		f.host = regexp.MustCompile(`(^|[^A-Za-z0-9.-])` + regexp.QuoteMeta(r.from) + `(-[0-9]+)($|[^A-Za-z0-9-])`)
		for _, obj := range objects {
			if obj.GetNamespace() != r.namespace {
				continue
			}
			f.labels(obj.Object)
			templates, err := workload.Templates(obj)
			if err != nil {
				continue // malformed: the server says so
			}
			for _, t := range templates {
				f.containers(t.Spec())
			}
		}
	}
}

type follower struct {
	rename
	shared     bool // another object of the bundle has the Job's name
	sharedPods bool // a StatefulSet has it
	host       *regexp.Regexp
}

var jobNameLabels = []string{"job-name", "batch.kubernetes.io/job-name"}

// labels follows rules 1 and 2 in everything below v.
func (f *follower) labels(v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, l := range jobNameLabels {
			if v[l] == f.from {
				v[l] = f.to
			}
			if values, ok := v["values"].([]any); ok && v["key"] == l {
				for i := range values {
					if values[i] == f.from {
						values[i] = f.to
					}
				}
			}
		}
		if v["kind"] == "Job" && v["name"] == f.from {
			v["name"] = f.to
		}
		for _, item := range v {
			f.labels(item)
		}
	case []any:
		for _, item := range v {
			f.labels(item)
		}
	}
}

// containers follows rules 3 and 4.
func (f *follower) containers(spec map[string]any) {
	for _, list := range []string{"containers", "initContainers"} {
		items, _ := spec[list].([]any)
		for _, item := range items {
			c, ok := item.(map[string]any)
			if !ok {
				continue
			}
			for _, field := range []string{"command", "args"} {
				words, _ := c[field].([]any)
				for i := range words {
					if s, ok := words[i].(string); ok {
						words[i] = f.hosts(s)
					}
				}
			}
			env, _ := c["env"].([]any)
			for _, item := range env {
				e, _ := item.(map[string]any)
				value, ok := e["value"].(string)
				if !ok {
					continue
				}
				name, _ := e["name"].(string)
				if value == f.from && (!f.shared || strings.Contains(strings.ToUpper(name), "JOB")) {
					e["value"] = f.to
					continue
				}
				e["value"] = f.hosts(value)
			}
		}
	}
}

func (f *follower) hosts(s string) string {
	if f.sharedPods {
		return s
	}
	for {
		// Matches that share a separator are found one after the other.
		next := f.host.ReplaceAllString(s, "${1}"+f.to+"${2}${3}")
		if next == s {
			return s
		}
		s = next
	}
}
