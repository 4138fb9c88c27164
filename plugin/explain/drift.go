package explain

import (
	"fmt"

	"github.com/kubectl-ai/kubectl-ai/plugin/drift"
	"github.com/kubectl-ai/kubectl-ai/plugin/drift/exporter"
	"github.com/kubectl-ai/kubectl-ai/plugin/drift/retrain"
	"github.com/kubectl-ai/kubectl-ai/plugin/forward"
)

var driftEntries = []Entry{
	{
		ID: "DRF-001", Exit: ExitGate, Match: As[*drift.ExceededError](),
		Next: Text("kubectl ai drift --retrain, unless an alert has done it; look at the features that moved most first: broken input looks like drift too"),
		Long: `What the served model is asked with, or how often it is right, is farther from its
training than the thresholds permit. The population stability index (PSI) of a feature
compares how its values fall between fixed bounds now and at training: under 0.1 is
the same population, over 0.25 another one.`,
	},
	{
		ID: "DRF-002", Exit: ExitPrecondition, Match: As[*drift.UndecidedError](),
		Next: Text("wait for requests, or lower --samples"),
		Long: `Few requests look like another population by chance: ten bins and 100 requests come
to a PSI of 0.14. So a window with too few of them is neither called calm nor drifted.`,
	},
	{
		ID: "DRF-003", Exit: ExitPrecondition, Match: As[*exporter.AbsentError](),
		Next: From(func(e *exporter.AbsentError) string {
			return fmt.Sprintf("kubectl ai catalog add monitor, and apply the bundle; or name another namespace than %s with -n", e.Namespace)
		}),
		Long: "Drift is measured by the exporter of component monitor, which watches the served model's counters. It has to run beside the model.",
	},
	{
		ID: "DRF-004", Exit: ExitPrecondition, Match: As[*exporter.NoReportError](),
		Next: Text("kubectl logs deployment/drift"),
		Long: `The exporter compares what the served model counts with the reference that training
left beside the model, models/<digest>/reference.json in the bucket. One of the two is
missing, or they are of different codes.`,
	},
	{
		ID: "DRF-005", Exit: ExitUsage, Match: As[*drift.ReferenceError](),
		Long: `A reference is {"features": {NAME: {"bounds": [...], "counts": [...]}}, "classes": {...}, "accuracy": 0.95}:
bounds rise, and there is one count more than bounds, for the values above all of them.`,
	},
	{
		ID: "DRF-006", Exit: ExitUsage, Match: As[*drift.MetricsError](),
		Long: `A page of metrics is Prometheus' text format, with the histogram feature_value{feature},
and the counters predictions_total{class}, labelled_total and labelled_correct_total.`,
	},
	{
		ID: "DRF-007", Exit: ExitUsage, Match: As[*drift.MismatchError](),
		Long: "The reference and the served model count other features, or between other bounds: one of them is of an older code.",
	},
	{
		ID: "DRF-008", Exit: ExitPrecondition, Match: As[*retrain.NoCronJobError](),
		Next: Text("kubectl ai catalog add monitor, and apply the bundle"),
		Long: "A retraining is a Job from the template of the suspended CronJob retrain, which component monitor brings.",
	},
	{
		ID: "FWD-001", Exit: ExitPermission, Match: As[*forward.ForbiddenError](),
		Next: Text("ask for create on pods/portforward"),
		Long: "The way to a port of a pod leads through the API server, by port-forward, and this identity may not use it.",
	},
	{
		ID: "FWD-002", Exit: ExitFailed, Match: As[*forward.PortError](),
		Next: From(func(e *forward.PortError) string { return "kubectl logs " + e.Pod }),
		Long: "Nothing answered at that port of the pod.",
	},
}
