package doctor

import (
	"fmt"
	"slices"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/sandbox/cluster"
)

// Leftovers judges what is there of sandboxes that nobody uses: some whose
// making was cut short, entries of a kubeconfig whose cluster is gone, and
// locks of a kubeconfig that nobody holds any more.
func Leftovers(l cluster.Leftovers) []Finding {
	const check = "leftovers"
	var findings []Finding
	for _, c := range l.Unfinished {
		findings = append(findings, warn(check, "kubectl ai doctor --fix, or: kubectl ai sandbox delete --name "+c.Name,
			"sandbox %s (%s) is not whole: its making was cut short, unless it goes on now", c.Name, strings.ToLower(string(c.State))))
	}
	for _, c := range l.NoContext {
		findings = append(findings, warn(check, "kubectl ai sandbox start --name "+c+" writes it",
			"sandbox %s has no context in the kubeconfig: it was removed, or is in another one", c))
	}
	for _, c := range l.Unmarked {
		findings = append(findings, warn(check, "kind delete cluster --name "+c, "kind cluster %s has nodes that never ran: its making was cut short", c))
	}
	for _, context := range l.StaleContexts {
		findings = append(findings, warn(check,
			fmt.Sprintf("kubectl config delete-context %[1]s; kubectl config delete-cluster %[1]s; kubectl config delete-user %[1]s", context),
			"context %s is of a kind cluster that is not here", context))
	}
	for _, lock := range l.Locks {
		findings = append(findings, warn(check, "rm "+lock, "%s is left of a program that was killed, unless one works on the kubeconfig now", lock))
	}
	if len(findings) == 0 {
		findings = append(findings, ok(check, "none"))
	}
	slices.SortStableFunc(findings, func(a, b Finding) int { return strings.Compare(a.Detail, b.Detail) })
	return findings
}
