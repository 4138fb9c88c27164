package explain

import (
	"fmt"

	"github.com/kubectl-ai/kubectl-ai/plugin/promote"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/gate"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/waves"
)

// gateEntries come before what a refusal is wrapped in.
var gateEntries = []Entry{
	{
		ID: "PRO-079", Exit: ExitFailed, Match: As[*promote.StrandedError](),
		Next: Text("kubectl ai rollback --to ENVIRONMENT, as soon as the cluster answers"),
		Long: `A release was given up while its pods were tried on a part of the traffic, and the
cluster did not let the weights of the HTTPRoute be put back or the canary be removed. The
error names both. Until then the canary keeps its part. A rollback applies the route as the
current release has it and removes the canary; so does the same promotion.`,
	},
	{
		ID: "GATE-001", Exit: ExitGate, Match: As[*gate.RefusedError](),
		Next: From(func(e *gate.RefusedError) string {
			switch {
			case e.Canary > 0:
				return "mend what refused and repeat the command: the pods that ran before have all of the traffic again"
			case e.Wave > 0:
				return "mend what refused and repeat the command: clusters that run the release are left as they are"
			}
			return "mend what refused and repeat the command; nothing was pushed or applied"
		}),
		Long: `A gate of the environment in kubectl-ai.yaml did not let the promotion pass. A
metric gate wants the last value that the code itself reported, by a line such as
  {"metrics": [{"name": "accuracy", "value": 0.97}]}
on standard output, to meet the metric's threshold: in the sandbox, or in the
environment that from names, by exactly the code that is promoted. A value that was
never reported, or is NaN, refuses. A command gate wants exit 0. A signature gate
wants provenance of all that holds the code, signed by one of its keys, here by
promote --sign-key or in the registry. An approval gate wants names, typed on the terminal or given by --approve-by; they are recorded.`,
	},
}

// clusterWaveEntries are about the clusters of an environment.
var clusterWaveEntries = []Entry{
	{
		ID: "PRO-060", Exit: ExitPrecondition, Match: As[*promote.IdentityError](),
		Next: From(func(e *promote.IdentityError) string {
			if e.Err != nil {
				return "ask for the right to get the namespace kube-system; nothing else was read, and nothing written"
			}
			return fmt.Sprintf("if the cluster was made anew, set the UID that this prints: kubectl --context %s get namespace kube-system -o jsonpath={.metadata.uid}", e.Context)
		}),
		Long: `The environment pins its cluster by the UID of its kube-system namespace (clusterUID,
or clusters[].uid), which stays what it is as long as the cluster lives, whatever a
kubeconfig calls it. The context leads elsewhere, so nothing more was read there and
nothing written. kubectl ai clusters --to ENVIRONMENT lists the UIDs.`,
	},
	{
		ID: "PRO-061", Exit: ExitUsage, Match: As[*promote.ManyClustersError](),
		Next: From(func(e *promote.ManyClustersError) string { return "name one of them with --cluster" }),
		Long: "The environment has several clusters, and this command works on one.",
	},
	{
		ID: "PRO-062", Exit: ExitUsage, Match: As[*promote.UnknownClusterError](),
		Next: Text("kubectl ai clusters --to ENVIRONMENT"),
		Long: "--cluster names one of environments.NAME.clusters in kubectl-ai.yaml.",
	},
	{
		ID: "PRO-063", Exit: ExitFailed, Match: As[*promote.RestoreError](),
		Next: From(func(e *promote.RestoreError) string {
			return "kubectl ai rollback --to " + e.Environment
		}),
		Long: "A release did not come up, or a gate refused it afterwards, and what was there before could not be brought back either. The error names both.",
	},
	{
		ID: "PRO-064", Exit: ExitFailed, Match: As[*waves.FailedError](),
		Next: Text("mend the cause and repeat the command: it does what is missing"),
		Long: "A promotion to several clusters ended before its last wave. The lines before tell how each cluster came out: rolled back, left as it is (onFailure: stop), or not begun.",
	},
}
