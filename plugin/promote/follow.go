package promote

import (
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
)

// follow renames runs and what names them inside the bundle. The rule:
//
//  1. A map entry with the run's name as its value and a key by which its
//     controller labels pods, such as batch.kubernetes.io/job-name (Service
//     selectors, matchLabels, template labels), and the values of a
//     matchExpressions entry with such a key.
//  2. A map with kind: <its kind> and name: <name> (owner and scale references).
//  3. In env values, command and args of containers: a pod's hostname, such as
//     <name>-<index>, as a word of its own (a dot or a colon may follow),
//     unless a StatefulSet of that name is in the bundle, whose pods are
//     called so too; and behind it the subdomain, where that is the run's name.
//  4. An env value that is the run's name as a whole, unless another object of
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
			switch gk := obj.GroupVersionKind().GroupKind(); {
			case gk == r.kind:
				obj.SetName(r.to)
			case gk.Kind == "StatefulSet":
				f.sharedPods, f.shared = true, true
			default:
				f.shared = true
			}
		}
		if host := runKinds[r.kind].host; host != "" {
			name := regexp.QuoteMeta(r.from)
			f.host = regexp.MustCompile(`(^|[^A-Za-z0-9.-])` + name + `(` + host + `)(\.` + name + `)?($|[^A-Za-z0-9-])`)
		}
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

// labels follows rules 1 and 2 in everything below v.
func (f *follower) labels(v any) {
	switch v := v.(type) {
	case map[string]any:
		for _, l := range runKinds[f.kind].labels {
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
		if v["kind"] == f.kind.Kind && v["name"] == f.from {
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
	if f.sharedPods || f.host == nil {
		return s
	}
	var out strings.Builder
	for rest := s; ; {
		at := f.host.FindStringSubmatchIndex(rest)
		if at == nil {
			out.WriteString(rest)
			return out.String()
		}
		out.WriteString(rest[:at[3]] + f.to + rest[at[4]:at[5]])
		end := at[5]
		if at[6] >= 0 {
			domain := rest[at[6]:at[7]]
			if f.domain {
				domain = "." + f.to
			}
			out.WriteString(domain)
			end = at[7]
		}
		rest = rest[end:] // what separates it from the next word may begin that one's match
	}
}
