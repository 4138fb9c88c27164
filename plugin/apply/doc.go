// Package apply brings a cluster to where a list of objects wants it: it asks
// the server what would change (a dry run of server-side apply), applies that
// in stages, and waits until the workloads are really there.
//
// Invariants:
//   - Diff writes nothing. All its objections are returned together, so that
//     nothing has been written when one object of many is refused.
//   - What is the same is not asked for: a receipt of the last apply and one
//     LIST of metadata a kind and namespace prove it. The requests of a plan
//     grow with what changed, not with the bundle.
//   - Apply writes what a Plan says and no more: an unchanged object costs no
//     request. A changed object carries the UID that was seen, so that a
//     recreated one is not overwritten.
//   - Conflicts are decided per field manager and never forced unasked.
//   - Wait watches and does not poll. A Job counts when all its ranks are
//     Ready or it is complete, not when it was started.
//
// Objects are unstructured, so no operator's Go types are needed. The
// semantics of conflicts are those of KEP-555 (Server-Side Apply).
package apply

// Reporter is told of steps; plugin/term shows them.
type Reporter interface {
	Start(step string)
	Note(format string, args ...any)
	End(err error)
}

type silent struct{}

func (silent) Start(string)        {}
func (silent) Note(string, ...any) {}
func (silent) End(error)           {}

// or returns a reporter that can be called.
func or(r Reporter) Reporter {
	if r == nil {
		return silent{}
	}
	return r
}
