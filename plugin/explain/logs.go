package explain

import "github.com/kubectl-ai/kubectl-ai/plugin/logs"

var logsEntries = []Entry{
	{
		ID: "LOG-001", Exit: ExitPrecondition, Match: As[*logs.NoRunError](),
		Next: Text("kubectl ai run --wait"),
		Long: "Without the ID of a run, logs shows the newest of the bundle. None is recorded in the namespace that was looked at: -e and -n say which one that is.",
	},
	{
		ID: "LOG-002", Exit: ExitPrecondition, Match: As[*logs.GoneError](),
		Next: From(func(e *logs.GoneError) string { return "kubectl ai runs show " + e.Run }),
		Long: `Logs are kept by the nodes as long as the pods are there. A copy is kept on the machine
of whoever reads them meanwhile: kubectl ai logs, run --wait, runs wait, status -w. Nobody
did on this one, or its copy was pruned for newer ones. The record of the run has how its
containers ended, and the metrics that they reported.`,
	},
	{
		ID: "LOG-003", Exit: ExitPrecondition, Match: As[*logs.NoPreviousError](),
		Next: From(func(e *logs.NoPreviousError) string { return "kubectl ai logs " + e.Run }),
		Long: "With --previous logs shows, of each rank, the container before the last one. No container was restarted, and no pod was replaced, as far as the cluster and the copy on this machine know.",
	},
}
