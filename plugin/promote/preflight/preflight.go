// Package preflight asks whether a promotion can work, before anything is
// written: does the server answer, are the kinds served, do the namespaces
// exist, may we, are there enough free GPUs for every pod and for the whole
// gang. It reads, and it returns all findings in one report.
package preflight

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
)

// Level is how much a finding matters.
type Level string

// The levels. An error stops the promotion.
const (
	Error   Level = "error"
	Warning Level = "warning"
	Info    Level = "info"
)

// Checks, as findings name them.
const (
	CheckServer     = "server"
	CheckKinds      = "kinds"
	CheckNamespaces = "namespaces"
	CheckAccess     = "access"
	CheckDevices    = "devices"
)

// Finding is one thing that was found out.
type Finding struct {
	Check   string `json:"check"`
	Level   Level  `json:"level"`
	Message string `json:"message"`
}

// Report is what preflight found, in the order of the checks.
type Report []Finding

// FailedError says why a promotion cannot work: all reasons at once.
type FailedError struct{ Findings []Finding }

func (e *FailedError) Error() string {
	lines := make([]string, len(e.Findings))
	for i, f := range e.Findings {
		lines[i] = f.Check + ": " + f.Message
	}
	if len(lines) == 1 {
		return "preflight: " + lines[0]
	}
	return fmt.Sprintf("preflight found %d reasons not to begin:\n  %s", len(lines), strings.Join(lines, "\n  "))
}

// OnlyAccess says whether permissions are all that is missing.
func (e *FailedError) OnlyAccess() bool {
	return !slices.ContainsFunc(e.Findings, func(f Finding) bool { return f.Check != CheckAccess })
}

// Err returns a *FailedError when the report holds errors.
func (r Report) Err() error {
	var failed []Finding
	for _, f := range r {
		if f.Level == Error {
			failed = append(failed, f)
		}
	}
	if len(failed) == 0 {
		return nil
	}
	return &FailedError{Findings: failed}
}

// Check is a preflight of one promotion.
type Check struct {
	Client *apply.Client
	// Version asks the server for its version.
	Version func(ctx context.Context) (string, error)
	// Objects as they would be applied, their namespaces filled in.
	Objects []*unstructured.Unstructured
	// Namespace is where the release is recorded; made when missing.
	Namespace string
}

// Run makes all checks. The error is for a server that does not answer;
// what it answers is in the report.
func (c *Check) Run(ctx context.Context) (Report, error) {
	var report Report
	version, err := c.Version(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask the server for its version: %w", err)
	}
	report = append(report, Finding{CheckServer, Info, "Kubernetes " + version})
	for _, check := range []func(context.Context) (Report, error){c.kinds, c.namespaces, c.access, c.devices} {
		findings, err := check(ctx)
		report = append(report, findings...)
		if err != nil {
			return report, err
		}
	}
	return report, nil
}

// kinds finds objects whose kind the cluster does not serve and that no CRD
// of the bundle defines.
func (c *Check) kinds(context.Context) (Report, error) {
	defined := map[schema.GroupKind]bool{}
	for _, obj := range c.Objects {
		if obj.GetKind() == "CustomResourceDefinition" {
			group, _, _ := unstructured.NestedString(obj.Object, "spec", "group")
			kind, _, _ := unstructured.NestedString(obj.Object, "spec", "names", "kind")
			defined[schema.GroupKind{Group: group, Kind: kind}] = true
		}
	}
	var report Report
	said := map[schema.GroupVersionKind]bool{}
	for _, obj := range c.Objects {
		gvk := obj.GroupVersionKind()
		if said[gvk] || defined[gvk.GroupKind()] {
			continue
		}
		said[gvk] = true
		_, _, err := c.Client.Resource(gvk)
		var unserved *apply.UnservedError
		if errors.As(err, &unserved) {
			report = append(report, Finding{CheckKinds, Error, fmt.Sprintf("%v: install its operator, or put its CRD into the bundle", unserved)})
		} else if err != nil {
			return report, err
		}
	}
	return report, nil
}

// namespaces finds out which namespaces are missing.
func (c *Check) namespaces(ctx context.Context) (Report, error) {
	brought := map[string]bool{}
	wanted := []string{c.Namespace}
	for _, obj := range c.Objects {
		if obj.GroupVersionKind().GroupKind() == (schema.GroupKind{Kind: "Namespace"}) {
			brought[obj.GetName()] = true
		}
		if ns := obj.GetNamespace(); ns != "" && !slices.Contains(wanted, ns) {
			wanted = append(wanted, ns)
		}
	}
	var report Report
	for _, ns := range wanted {
		live, err := c.Client.Get(ctx, apply.Ref{Kind: "Namespace", Name: ns})
		switch {
		case apierrors.IsNotFound(err) && brought[ns]:
			report = append(report, Finding{CheckNamespaces, Info, fmt.Sprintf("namespace %s does not exist and is created", ns)})
		case apierrors.IsNotFound(err):
			report = append(report, Finding{CheckNamespaces, Error, fmt.Sprintf("namespace %s does not exist and is not in the bundle", ns)})
		case apierrors.IsForbidden(err):
			report = append(report, Finding{CheckNamespaces, Warning, fmt.Sprintf("may not look whether namespace %s exists", ns)})
		case err != nil:
			return report, fmt.Errorf("read namespace %s: %w", ns, err)
		case live.GetDeletionTimestamp() != nil:
			report = append(report, Finding{CheckNamespaces, Error, fmt.Sprintf("namespace %s is being deleted", ns)})
		}
	}
	return report, nil
}
