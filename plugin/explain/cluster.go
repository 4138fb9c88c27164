package explain

import (
	"fmt"
	"net"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// ContextError says that a kubeconfig context cannot be used. Context is
// empty where the current one was meant.
type ContextError struct {
	Context string
	Err     error
}

func (e *ContextError) Error() string {
	if e.Context == "" {
		return fmt.Sprintf("use the current kubeconfig context: %v", e.Err)
	}
	return fmt.Sprintf("use kubeconfig context %q: %v", e.Context, e.Err)
}

func (e *ContextError) Unwrap() error { return e.Err }

var clusterEntries = []Entry{
	{
		ID: "CTX-001", Exit: ExitPrecondition, Match: As[*ContextError](),
		Next: Text("kubectl config get-contexts; for a sandbox: kubectl ai sandbox create"),
		Long: "The kubeconfig has no such context, or its file cannot be read. kubectl ai reads $KUBECONFIG or ~/.kube/config as kubectl does; a sandbox named N has the context kind-N.",
	},
	{
		ID: "CTX-002", Exit: ExitPermission, Match: apierrors.IsForbidden,
		Next: Text("kubectl auth can-i --list"),
		Long: "The API server knows you and does not permit this. The message names the verb and the resource.",
	},
	{
		ID: "CTX-003", Exit: ExitPrecondition, Match: As[*net.OpError](),
		Cause: Text("the API server does not answer"),
		Next:  Text("kubectl cluster-info; for a sandbox: kubectl ai sandbox status"),
		Long:  "No connection to the API server of that context could be made. A stopped sandbox comes back with `kubectl ai sandbox start`.",
	},
	{
		ID: "CTX-004", Exit: ExitUsage, Match: As[*OtherContextError](),
		Next: From(func(e *OtherContextError) string {
			return fmt.Sprintf("--allow-context %s, or choose the other cluster with --context %s", e.Context, e.Allowed)
		}),
		Long: "--allow-context permits one cluster, by name. The context that is used is the one of --context, else the sandbox environment's in kubectl-ai.yaml, else kind-ai.",
	},
	{
		ID: "CTX-005", Exit: ExitPrecondition, Match: As[*NoNamespaceError](),
		Next: From(func(e *NoNamespaceError) string {
			return fmt.Sprintf("kubectl --context %s create namespace %s, or name another one with -n", e.Context, e.Namespace)
		}),
		Long: "In a sandbox dev makes the namespace. In a cluster that others use, a namespace is for them to give, and dev would not remove it.",
	},
}

// NotASandboxError says that a command for sandboxes was aimed elsewhere.
// Command is that command as it was given.
type NotASandboxError struct{ Context, Command string }

func (e *NotASandboxError) Error() string {
	return fmt.Sprintf("context %q is no sandbox of kubectl ai", e.Context)
}

// OtherContextError says that --allow-context names another context than the
// one that is used.
type OtherContextError struct{ Allowed, Context string }

func (e *OtherContextError) Error() string {
	return fmt.Sprintf("--allow-context names %q, and this goes to context %q", e.Allowed, e.Context)
}

// NoNamespaceError says that a cluster that is no sandbox lacks the namespace
// of the bundle.
type NoNamespaceError struct{ Namespace, Context string }

func (e *NoNamespaceError) Error() string {
	return fmt.Sprintf("there is no namespace %s in %s, which is no sandbox: none is made there", e.Namespace, e.Context)
}

// TerminatingError says that a namespace is being deleted and does not go.
// Remains is what its controller says keeps it.
type TerminatingError struct {
	Namespace string
	After     time.Duration
	Remains   []string
}

func (e *TerminatingError) Error() string {
	return strings.Join(append([]string{fmt.Sprintf("namespace %s is being terminated, and still there after %v", e.Namespace, e.After)}, e.Remains...), "\n")
}

// DiffersError says that a comparison found a difference.
type DiffersError struct{ What, From string }

func (e *DiffersError) Error() string { return e.What + " differs from " + e.From }

// DifferenceError says that two states were compared, that they differ, and
// that the caller wanted an exit code for it.
type DifferenceError struct {
	A, B  string
	Count int
}

func (e *DifferenceError) Error() string {
	return fmt.Sprintf("%s and %s differ in %d places", e.A, e.B, e.Count)
}
