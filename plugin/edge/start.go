package edge

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
)

// Start is what the device runs: python3 with arguments, in the code's folder.
type Start struct {
	Args []string
	Env  []Variable // sorted by name
}

// Variable is one of the environment. The device may set another value.
type Variable struct{ Name, Value string }

// FromBundle returns what the container of stage serve starts, with the
// variables that the bundle gives as plain values: what comes from objects of
// a cluster is not there on a device. It returns a *NoProgramError when there
// is none.
func FromBundle(objects []*unstructured.Unstructured, environment string) (Start, error) {
	for _, obj := range objects {
		if obj.GetLabels()["kubectl-ai.dev/stage"] != "serve" {
			continue
		}
		templates, err := workload.Templates(obj)
		if err != nil {
			return Start{}, err
		}
		for _, t := range templates {
			for _, c := range t.Containers() {
				command := append(slices.Clone(c.Command()), c.Args()...)
				if c.WorkingDir() == "" || len(command) < 2 || !python(command[0]) {
					continue
				}
				return Start{Args: command[1:], Env: plain(c)}, nil
			}
		}
	}
	return Start{}, &NoProgramError{Environment: environment}
}

func python(program string) bool {
	return strings.HasPrefix(program[strings.LastIndexByte(program, '/')+1:], "python")
}

func plain(c workload.Container) []Variable {
	var out []Variable
	items, _ := c.Map()["env"].([]any)
	for _, item := range items {
		m, _ := item.(map[string]any)
		name, _ := m["name"].(string)
		value, ok := m["value"].(string)
		if name == "" || !ok || strings.Contains(value, "$(") {
			continue
		}
		out = append(out, Variable{name, value})
	}
	slices.SortFunc(out, func(a, b Variable) int { return strings.Compare(a.Name, b.Name) })
	return out
}
