package explain

import (
	"fmt"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/execstream"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/inject"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/journal"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/pull"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

var reloadEntries = []Entry{
	{
		ID: "SYNC-001", Exit: ExitFailed, Match: As[*wire.BusyError](),
		Next: Text("end the other kubectl ai dev, or work in a copy of the bundle with another namespace"),
		Long: "One dev delivers to a workload at a time: two would overwrite each other's generations. The message names the other one.",
	},
	{
		ID: "SYNC-002", Exit: ExitGate, Match: As[*DiffersError](),
		Next: Text("kubectl ai dev"),
		Long: "A rank's files, hashed from its disk, are not those on this machine. Either the code was saved while no dev was connected, or something in the pod wrote to it.",
	},
	{
		ID: "SYNC-003", Exit: ExitUsage, Match: As[*tree.PathError](),
		Next: Text("rename the file, or name it in .kubectl-ai-ignore or under code[].ignore in kubectl-ai.yaml"),
		Long: "A file of the code cannot be part of a tree: its name is not UTF-8, is reserved, or the file changes faster than it can be read.",
	},
	{
		ID: "SYNC-004", Exit: ExitPrecondition, Match: As[*inject.NoArgvError](),
		Next: Text("give the container a command in the manifest"),
		Long: "dev starts the container's own command under its agent, so it has to know that command: from the manifest, else from the image's configuration in the engine or in its registry.",
	},
	{
		ID: "SYNC-005", Exit: ExitUsage, Match: As[*inject.UnsupportedError](),
		Next: Text("use a Job, Deployment, StatefulSet or JobSet in the sandbox overlay"),
		Long: "An operator writes this kind's command itself, so that dev could not keep the process. promote takes such bundles to clusters all the same.",
	},
	{
		ID: "SYNC-006", Exit: ExitPrecondition, Match: As[*NotASandboxError](),
		Next: From(func(e *NotASandboxError) string {
			return fmt.Sprintf("if it may be changed: %s --allow-context %s", e.Command, e.Context)
		}),
		Long: `dev replaces commands and mounts volumes over code, which is not done unasked to a
cluster that others use. It works in clusters that "kubectl ai sandbox create" made, and in
others when --allow-context names their context on the command line; the project file cannot
allow it. There it changes only what it applied itself. Nothing was changed.`,
	},
	{
		ID: "SYNC-007", Exit: ExitUsage, Match: As[*journal.NotFoundError](),
		Next: Text("kubectl ai generations"),
		Long: "The journal of generations is kept on the machine where dev ran, for each bundle, namespace and cluster. It holds the last few hundred.",
	},
	{
		ID: "SYNC-008", Exit: ExitFailed, Match: As[*wire.SyntaxError](),
		Next: Text("mend the file and save it; the ranks run on as they are"),
		Long: "The container's own Python cannot compile a file of the new generation. Nothing was stopped.",
	},
	{
		ID: "SYNC-009", Exit: ExitFailed, Match: As[*wire.NoSpaceError](),
		Next: Text("ignore large files (kubectl ai why-ignored PATH), or free the node's disk"),
		Long: "The volume that holds the code of a rank is full. The generation that runs is untouched.",
	},
	{
		ID: "SYNC-010", Exit: ExitFailed, Match: As[*wire.VersionError](),
		Next: Text("kubectl ai dev --cleanup, then kubectl ai dev; in a cluster that is no sandbox first: kubectl ai agent push"),
		Long: "The agent in the pod was put there by another version of kubectl ai, and the two share no version of the protocol. In a sandbox dev brings its own agent; elsewhere pods get the one that agent.image names in kubectl-ai.yaml, which `kubectl ai agent push` renews.",
	},
	{
		ID: "SYNC-011", Exit: ExitPermission, Match: As[*execstream.ForbiddenError](),
		Next: From(func(e *execstream.ForbiddenError) string {
			return fmt.Sprintf("ask for: kubectl create role kubectl-ai-dev -n %s --verb=get,create --resource=pods/exec, bound to you", e.Namespace)
		}),
		Long: `dev reaches ranks by exec. A WebSocket asks for get on pods/exec, and since Kubernetes 1.35
for create as well; SPDY, which is tried next, asks for create alone. On running workloads dev
further needs get, list and watch on pods and get on pods/log.`,
	},
	{
		ID: "SYNC-020", Exit: ExitFailed, Match: As[*pull.CutError](),
		Next: Text("the same command again: it brings what is missing"),
		Long: "The connection to the rank ended while files came. Those that are complete stay, by size, time and digest; nothing is half there.",
	},
	{
		ID: "SYNC-021", Exit: ExitFailed, Match: As[*pull.ChangedError](),
		Next: Text("the same command again, when the program has written them"),
		Long: "A program wrote to a file while it was read, so that what came is neither the old content nor the new one. The file on this machine is as it was before.",
	},
	{
		ID: "APPLY-001", Exit: ExitFailed, Match: As[*apply.ConflictError](),
		Next: From(func(e *apply.ConflictError) string {
			return fmt.Sprintf("remove the field from the bundle, or make it ours: kubectl ai promote … --take-over %s", strings.Join(e.Managers(), " --take-over "))
		}),
		Long: "Another field manager owns a field that the bundle sets. Nothing was forced and nothing was written. Where a controller sets the field, such as an autoscaler the replicas, it does not belong into the bundle. What a person changed by hand becomes the bundle's again with --take-over, for the managers that are named and no others.",
	},
	{
		ID: "APPLY-002", Exit: ExitPrecondition, Match: As[*apply.UnservedError](),
		Next: Text("kubectl api-resources; install the operator that brings the kind"),
		Long: "The bundle holds an object of a kind that this cluster does not serve.",
	},
	{
		ID: "APPLY-003", Exit: ExitFailed, Match: As[*apply.ForeignError](),
		Next: Text("rename the object in the bundle, or delete the one that is there"),
		Long: "An object of that name exists and no release of this project made it. It is not overwritten.",
	},
	{
		ID: "APPLY-004", Exit: ExitFailed, Match: As[*apply.PodError](),
		Next: From(func(e *apply.PodError) string { return "kubectl describe pod -n " + e.Namespace + " " + e.Pod }),
		Long: "A pod does not run and waiting longer does not help: its image cannot be pulled, its container cannot be made or keeps crashing, or it fits on no node.",
	},
	{
		ID: "APPLY-005", Exit: ExitFailed, Match: As[*apply.FailedError](),
		Next: Text("kubectl logs of the pods that are named"),
		Long: "A workload failed: a Job reached its backoff limit or its deadline, or a rollout cannot progress.",
	},
}
