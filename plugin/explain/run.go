package explain

import (
	"errors"
	"fmt"

	"github.com/kubectl-ai/kubectl-ai/plugin/run"
)

var runEntries = []Entry{
	{ // before what it wraps
		ID: "RUN-004", Exit: ExitFailed, Match: As[*run.MatrixError](),
		Next: From(func(e *run.MatrixError) string { return "kubectl ai why " + e.Failed[0].Record.ID }),
		First: func(err error) error {
			var e *run.MatrixError
			errors.As(err, &e)
			return e.Failed[0]
		},
		Long: "Some points of the matrix did not end well; the cause is that of the first. The others were run all the same; kubectl ai runs compare MATRIX shows all.",
	},
	{
		ID: "RUN-005", Exit: ExitGate, Match: As[*run.RefusedError](),
		Next: From(func(e *run.RefusedError) string {
			return fmt.Sprintf("kubectl ai runs show %s, mend what refused, and validate again", e.ID)
		}),
		Long: `A validation passes when every metric of kubectl-ai.yaml that has a threshold was
reported and meets it with its last value, and when the code said which model it
measured on which data, with no sample that training saw too:
  {"validation": {"model": "sha256:…", "data": "sha256:…", "overlap": 0}}
What was never said, or is NaN, refuses. The report is kept in the record of the run;
a promotion with the gate validation wants the newest one of its code to have passed.`,
	},
	{
		ID: "RUN-001", Exit: ExitUsage, Match: As[*run.NotFoundError](),
		Next: Text("kubectl ai runs list"),
		Long: "Runs are recorded in the namespace that they ran in. There is none of that ID in the one that was looked at: -e and -n say which one that is.",
	},
	{
		ID: "RUN-002", Exit: ExitUsage, Match: As[*run.StageError](),
		Next: From(func(e *run.StageError) string {
			if len(e.Known) > 0 && len(e.Found) == 0 {
				return "--stage " + e.Known[0] + "; or give the workload the label " + run.StageLabel + ": " + e.Stage
			}
			return "give one Job or CronJob, whose containers get the code, the label " + run.StageLabel + ": " + e.Stage
		}),
		Long: `A run is made of the one Job or CronJob of the overlay that has the label
kubectl-ai.dev/stage of that value, and whose containers get the code (kubectl ai
targets). Without such labels --stage train, the default, takes the only Job. Nothing
was made.`,
	},
	{
		ID: "RUN-003", Exit: ExitFailed, Match: As[*run.FailedError](),
		Cause: From(func(e *run.FailedError) string { return e.Cause }),
		Next:  From(func(e *run.FailedError) string { return andWhy(e.Next, e.Record.ID) }),
		Long:  "The Job of the run failed, or was deleted before it ended. The record keeps how its containers ended; their logs stay until the run is deleted.",
	},
	{
		ID: "RUN-008", Exit: ExitTimeout, Match: As[*run.UnfinishedError](),
		Cause: From(func(e *run.UnfinishedError) string { return e.Cause }),
		Next:  From(func(e *run.UnfinishedError) string { return andWhy(e.Next, e.Record.ID) }),
		Long: `The time given by --timeout ran out before the run ended. The run goes on, or goes on
waiting, as it is: kubectl ai runs wait ID follows it again, and kubectl ai why ID says
what stands in its way.`,
	},
	{
		ID: "RUN-006", Exit: ExitPrecondition, Match: As[*run.NewerError](),
		Next: Text("upgrade kubectl-ai; kubectl ai version says which one this is"),
		Long: "The record of the run was written by a newer kubectl-ai, in a format that this one does not know.",
	},
	{
		ID: "RUN-007", Exit: ExitFailed, Match: As[*run.DamagedError](),
		Next: From(func(e *run.DamagedError) string { return "kubectl delete " + e.Object }),
		Long: "The record of the run cannot be read: something else changed it. Other runs are not concerned.",
	},
	{
		ID: "RUN-009", Exit: ExitPrecondition, Match: As[*run.EndpointError](),
		Next: From(func(e *run.EndpointError) string {
			return "kubectl describe pods -n " + e.Namespace + " -l app.kubernetes.io/name=progress"
		}),
		Long: `The bundle has the component progress: code reports to its server, which makes a
certificate when it starts for the first time. A run would not find it, so none was
made. Without the component, code reports by printing lines of metrics.`,
	},
}

// andWhy is what helps a run, and how to see more.
func andWhy(next, id string) string {
	why := "kubectl ai why " + id
	if next == "" {
		return why
	}
	return next + "\n" + why + " says more"
}
