// Package preflight asks whether a promotion can work, before anything is
// written. It reads everything once and concurrently (read.go); then each
// check, a file each, looks at what was read and knows no cluster. All
// findings come in one report. What may not be read is a warning that says
// which check could not be made.
package preflight

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

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
	CheckObjects    = "objects"
	CheckOwners     = "owners"
	CheckReferences = "references"
	CheckQueue      = "queue"
	CheckSecurity   = "security"
	CheckLimits     = "limits"
	CheckQuota      = "quota"
	CheckDevices    = "devices"
	CheckImages     = "images"
	CheckWebhooks   = "webhooks"
	CheckDrift      = "drift"
)

// Finding is one thing that was found out. Its JSON form is stable.
type Finding struct {
	Check   string `json:"check"`
	Level   Level  `json:"level"`
	Message string `json:"message"`
	// Object is what the finding is about; nil: the target as a whole.
	Object *apply.Ref `json:"object,omitempty"`
	// Next is what helps.
	Next string `json:"next,omitempty"`
}

// String is the finding in a line: the check, the object and the message.
func (f Finding) String() string {
	if f.Object != nil {
		return f.Check + ": " + f.Object.Short() + ": " + f.Message
	}
	return f.Check + ": " + f.Message
}

// Report is what preflight found, in the order of the checks.
type Report []Finding

func (r *Report) add(check string, level Level, object *unstructured.Unstructured, next, format string, args ...any) {
	f := Finding{Check: check, Level: level, Message: fmt.Sprintf(format, args...), Next: next}
	if object != nil {
		ref := apply.RefOf(object)
		f.Object = &ref
	}
	*r = append(*r, f)
}

// FailedError says why a promotion cannot work: all reasons at once.
type FailedError struct {
	Findings []Finding
	// Role is the YAML that grants all that a promotion of the bundle needs;
	// "" when permissions are no reason.
	Role string
}

func (e *FailedError) Error() string {
	lines := make([]string, len(e.Findings))
	for i, f := range e.Findings {
		lines[i] = f.String()
	}
	if len(lines) == 1 {
		return "preflight: " + lines[0]
	}
	return fmt.Sprintf("preflight found %d reasons not to begin:\n  %s", len(lines), strings.Join(lines, "\n  "))
}

// Next returns what helps against the findings, each once.
func (e *FailedError) Next() []string {
	var out []string
	for _, f := range e.Findings {
		if f.Next != "" && !slices.Contains(out, f.Next) {
			out = append(out, f.Next)
		}
	}
	return out
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
	Server Server
	// Project and Environment name the Role and the next steps.
	Project, Environment string
	// Pinned says that the cluster is known by the UID of its kube-system,
	// which has to be read.
	Pinned bool
	// Objects as they would be applied, their namespaces filled in.
	Objects []*unstructured.Unstructured
	// Namespace is where the release is recorded. MakesNamespace says that
	// the promotion adds it to the objects because it is missing.
	Namespace      string
	MakesNamespace bool
	// Read are objects that were read already; nil: not there.
	Read map[apply.Ref]*unstructured.Unstructured
	// Known are objects of the inventory that are there and ours, which
	// saves reading them.
	Known map[apply.Ref]bool
	// Former are objects of the inventory that left the bundle.
	Former []apply.Ref
	// Logs says that what the workloads say is read.
	Logs bool
	// Leaving are earlier runs whose pods have ended when the new ones begin.
	Leaving []*unstructured.Unstructured
	// Adopt names objects, as Kind/name, that may belong to another tool.
	Adopt []string
	// Pushed are image references that this promotion pushes: they are in no
	// registry yet.
	Pushed map[string]bool
	// NodesOnDemand says that nodes come when pods wait for them.
	NodesOnDemand bool
	// Pull asks a registry for an image; nil: by HEAD.
	Pull Puller
	// OnNode looks into a node whether it has an image; nil: what the node says
	// of itself has to do, which for an image that was loaded is up to 30 s late
	// (the kubelet's image manager).
	OnNode func(ctx context.Context, node, image string) bool
	// Patience is how long a registry may take to answer. 0: 5 s.
	Patience time.Duration

	removal *Removal // nil: a promotion
	role    string
}

// Run makes all checks. The error is for a server that does not answer; what
// it answers is in the report. Check.Err adds the Role to the report's error.
func (c *Check) Run(ctx context.Context) (Report, error) {
	c.role = ""
	v, err := c.read(ctx)
	if err == nil {
		err = c.recount(ctx, v)
	}
	if err != nil {
		return nil, err
	}
	var report Report
	for _, check := range []func(*view) Report{
		c.server, c.kinds, c.namespaces, c.access, c.sizes, c.owners, c.references, c.queues,
		c.security, c.limits, c.quota, c.devices, c.images, c.webhooks,
	} {
		report = append(report, check(v)...)
	}
	return report, nil
}

// Err returns a *FailedError, with the Role where permissions are missing,
// when the report holds errors.
func (c *Check) Err(r Report) error {
	err := r.Err()
	var failed *FailedError
	if errors.As(err, &failed) {
		failed.Role = c.role
	}
	return err
}
