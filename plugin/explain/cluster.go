package explain

import (
	"fmt"
	"net"

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
		Next: Text("kubectl config get-contexts"),
		Long: "The kubeconfig has no such context, or its file cannot be read. kubectl ai reads $KUBECONFIG or ~/.kube/config as kubectl does; a sandbox named N has the context kind-N.",
	},
	{
		ID: "CTX-002", Exit: ExitPermission, Match: func(err error) bool { return apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) },
		Next: Text("kubectl auth can-i --list"),
		Long: "The API server knows you and does not permit this, or does not know you. The message names the verb and the resource.",
	},
	{
		ID: "CTX-003", Exit: ExitPrecondition, Match: As[*net.OpError](),
		Cause: Text("the API server does not answer"),
		Next:  Text("kubectl cluster-info; for a sandbox: kubectl ai sandbox status"),
		Long:  "No connection to the API server of that context could be made. A stopped sandbox comes back with `kubectl ai sandbox start`.",
	},
}

// NotASandboxError says that a command for sandboxes was aimed elsewhere.
type NotASandboxError struct{ Context string }

func (e *NotASandboxError) Error() string {
	return fmt.Sprintf("context %q is no sandbox of kubectl ai", e.Context)
}

// DiffersError says that a comparison found a difference.
type DiffersError struct{ What, From string }

func (e *DiffersError) Error() string { return e.What + " differs from " + e.From }
