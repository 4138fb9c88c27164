package workload

import (
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Target is a container that gets the code, and where it sees it.
type Target struct {
	Template
	Container Container
	MountPath string
}

// String names the target for people: Kind/name/container.
func (t Target) String() string { return Name(t.Object) + "/" + t.Container.Name() }

// NoTargetError says that no container gets the code.
type NoTargetError struct {
	MountPath string
	Targets   []string // as given, when given
}

func (e *NoTargetError) Error() string {
	switch {
	case len(e.Targets) > 0:
		return fmt.Sprintf("no container matches code[].targets %s", strings.Join(e.Targets, ", "))
	case e.MountPath != "":
		return fmt.Sprintf("no container of the bundle has workingDir %s", e.MountPath)
	}
	return "no container of the bundle has a workingDir"
}

// Select returns the containers that get the code, in the order of the
// objects. mountPath empty stands for each container's own workingDir; given
// targets (Kind/name or Kind/name/container) replace the rule that
// workingDir is mountPath. It returns a *NoTargetError when nothing matches,
// or when one of the given targets matches nothing.
func Select(objects []*unstructured.Unstructured, mountPath string, targets []string) ([]Target, error) {
	var out []Target
	matched := map[string]bool{}
	for _, obj := range objects {
		templates, err := Templates(obj)
		if err != nil {
			return nil, err
		}
		for _, t := range templates {
			for _, c := range t.Containers() {
				at := mountPath
				if at == "" {
					at = c.WorkingDir()
				}
				if len(targets) > 0 {
					i := slices.IndexFunc(targets, func(s string) bool {
						return s == Name(obj) || s == Name(obj)+"/"+c.Name()
					})
					if i < 0 || at == "" || at == "/" {
						continue
					}
					matched[targets[i]] = true
				} else if at == "" || at == "/" || c.WorkingDir() != at {
					continue
				}
				out = append(out, Target{Template: t, Container: c, MountPath: at})
			}
		}
	}
	var missing []string
	for _, s := range targets {
		if !matched[s] {
			missing = append(missing, s)
		}
	}
	if len(missing) > 0 {
		return nil, &NoTargetError{MountPath: mountPath, Targets: missing}
	}
	if len(out) == 0 {
		return nil, &NoTargetError{MountPath: mountPath}
	}
	return out, nil
}
