package explain

import (
	"fmt"

	"github.com/kubectl-ai/kubectl-ai/plugin/promote"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/carrier"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/preflight"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
	"github.com/kubectl-ai/kubectl-ai/plugin/term"
)

// NoTerminal is the error of a command that has to ask and cannot.
var NoTerminal = term.ErrNoTerminal

// SandboxTargetError says that a promotion was aimed at the sandbox.
type SandboxTargetError struct{ Environment, Context, Sandbox string }

func (e *SandboxTargetError) Error() string {
	return fmt.Sprintf("environment %s is the sandbox itself: contexts %s and %s are one API server", e.Environment, e.Context, e.Sandbox)
}

var promoteEntries = []Entry{
	{
		ID: "PRO-001", Exit: ExitPrecondition, Match: As[*SandboxTargetError](),
		Next: Text("set the environment's context in kubectl-ai.yaml to another cluster"),
		Long: "A promotion into the cluster where the code is being edited would overwrite what dev runs there.",
	},
	{
		ID: "PRO-002", Exit: ExitPrecondition, Match: As[*preflight.FindingsError](),
		Next: Text("mend what is listed; nothing was written"),
		Long: "Before the first write a promotion asks whether the bundle can work on the target: permissions, namespace, GPUs. All findings are listed at once.",
	},
	{
		ID: "PRO-003", Exit: ExitPrecondition, Match: As[*carrier.BaseError](),
		Next: From(func(e *carrier.BaseError) string { return "docker pull " + e.Ref }),
		Long: "The runtime image is the bundle's own image, on which the code becomes a layer. It is looked up in its registry, then in the container engine of this machine.",
	},
	{
		ID: "PRO-004", Exit: ExitFailed, Match: As[*carrier.PushError](),
		Next: Text("docker login to the registry; for a sandbox: kubectl ai sandbox status"),
		Long: "The registry of the environment did not take the image. Nothing was applied.",
	},
	{
		ID: "PRO-005", Exit: ExitFailed, Match: As[*carrier.ChangedError](),
		Next: Text("repeat the command"),
		Long: "A file was saved between the moment the tree was hashed and the moment it was packaged. Nothing was applied.",
	},
	{
		ID: "PRO-006", Exit: ExitPrecondition, Match: As[*release.NotFoundError](),
		Next: Text("kubectl ai history --to ENVIRONMENT"),
		Long: "The environment's namespace holds no such release of this project.",
	},
	{
		ID: "PRO-007", Exit: ExitFailed, Match: As[*promote.EmptyError](),
		Next: Text("kubectl kustomize the overlay"),
		Long: "An empty bundle would remove everything that the current release owns; that is most likely a mistake.",
	},
}
