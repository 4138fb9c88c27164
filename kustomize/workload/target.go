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
	// OwnRendezvous says that NumberRanks chose where ranks meet, address and
	// port: nothing but they themselves knows of the port.
	OwnRendezvous bool
}

// String names the target for people: Kind/name/container.
func (t Target) String() string { return Name(t.Object) + "/" + t.Container.Name() }

// isNamed tells whether s names the container or its workload.
func (t Target) isNamed(s string) bool { return s == Name(t.Object) || s == t.String() }

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
	choices, err := Explain(objects, mountPath, targets)
	if err != nil {
		return nil, err
	}
	for _, c := range choices {
		if c.Gets() {
			out = append(out, c.Target)
		}
	}
	var missing []string
	for _, s := range targets {
		if !slices.ContainsFunc(out, func(t Target) bool { return t.isNamed(s) }) {
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

// Reason is why a container gets the code, or why it does not.
type Reason string

// The reasons of containers that get the code, then of those that do not.
const (
	WorkingDirIsMountPath Reason = "WorkingDirIsMountPath"
	Named                 Reason = "Named" // by code[].targets

	NoWorkingDir        Reason = "NoWorkingDir"        // nor a mountPath, where it is named
	RootWorkingDir      Reason = "RootWorkingDir"      // a volume cannot cover the whole container
	WorkingDirElsewhere Reason = "WorkingDirElsewhere" // than at the mountPath
	NotNamed            Reason = "NotNamed"            // code[].targets names others
	InitContainer       Reason = "InitContainer"       // it ends before the code's process starts
)

// Choice is a container with the reason why it gets the code or does not.
// MountPath is empty when it does not.
type Choice struct {
	Target
	Reason Reason
	Name   string // the one of the given targets that names it
}

// Gets tells whether the container gets the code.
func (c Choice) Gets() bool { return c.Reason == WorkingDirIsMountPath || c.Reason == Named }

// Explain returns every container of the objects' pod templates, init
// containers first as in a pod, with what Select makes of it. It guesses
// nothing: init containers never get the code.
func Explain(objects []*unstructured.Unstructured, mountPath string, targets []string) ([]Choice, error) {
	var out []Choice
	for _, obj := range objects {
		templates, err := Templates(obj)
		if err != nil {
			return nil, err
		}
		for _, t := range templates {
			for _, c := range t.InitContainers() {
				out = append(out, Choice{Target: Target{Template: t, Container: c}, Reason: InitContainer})
			}
			for _, c := range t.Containers() {
				choice := Choice{Target: Target{Template: t, Container: c}}
				choice.choose(mountPath, targets)
				out = append(out, choice)
			}
		}
	}
	return out, nil
}

// choose applies the rule.
func (c *Choice) choose(mountPath string, targets []string) {
	dir, at := c.Container.WorkingDir(), mountPath
	if at == "" {
		at = dir
	}
	found := slices.IndexFunc(targets, c.isNamed)
	switch {
	case len(targets) > 0 && found < 0:
		c.Reason = NotNamed
	case at == "":
		c.Reason = NoWorkingDir
	case at == "/":
		c.Reason = RootWorkingDir
	case len(targets) > 0:
		c.Reason, c.MountPath, c.Name = Named, at, targets[found]
	case dir == at:
		c.Reason, c.MountPath = WorkingDirIsMountPath, at
	case dir == "":
		c.Reason = NoWorkingDir
	default:
		c.Reason = WorkingDirElsewhere
	}
}
