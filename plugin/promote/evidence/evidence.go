// Package evidence finds out whether the code that is to be promoted ran, and
// whether it ran in what production gives it.
//
// The proof of a tree is a generation of the journal with the tree's digest
// for which every rank gave a receipt: the rank hashed the files on its own
// disk and named the process that runs in them. What is packaged then are the
// contents that the journal kept of that generation, not the folder.
//
// The proof of a runtime image is that ranks ran in the same one, by digest:
// it brings Python, torch, CUDA's libraries and all else that is not the code,
// so these are the same too. An image that was loaded into a sandbox and never
// was in a registry has no digest but that of its configuration, which names
// every layer's content; that is compared there.
package evidence

import (
	"fmt"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/journal"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

// Journal is what is asked of a journal of generations.
type Journal interface {
	Walk(visit func(journal.Generation, tree.Index) error) error
}

// UnprovenError says that no generation proves a tree.
type UnprovenError struct {
	Digest  tree.Digest
	Sandbox string // context
	// Ranks of Of ranks gave a receipt for the tree; 0, 0: none ever had it.
	Ranks, Of int
	// Newest is the latest generation that all ranks ran, 0: none, and Paths
	// are those in which the tree differs from it.
	Newest uint64
	Paths  []string
}

func (e *UnprovenError) Error() string {
	switch {
	case e.Ranks > 0:
		return fmt.Sprintf("code %s ran in %d of %d ranks in %s", e.Digest.Short(), e.Ranks, e.Of, e.Sandbox)
	case e.Newest == 0:
		return fmt.Sprintf("code %s never ran in %s, nor did any other code of this bundle", e.Digest.Short(), e.Sandbox)
	}
	files := "1 file differs"
	if len(e.Paths) != 1 {
		files = fmt.Sprintf("%d files differ", len(e.Paths))
	}
	return fmt.Sprintf("code %s never ran in %s: %s from generation %d, the last that all ranks ran: %s",
		e.Digest.Short(), e.Sandbox, files, e.Newest, some(e.Paths))
}

// some names the first few of a list.
func some(names []string) string {
	const shown = 5
	if len(names) <= shown {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:shown], ", "), len(names)-shown)
}

// Find returns the latest generation in the journal of a sandbox that proves a
// tree; an *UnprovenError when there is none.
func Find(j Journal, index tree.Index, sandbox string) (journal.Generation, error) {
	unproven := &UnprovenError{Digest: index.Digest(), Sandbox: sandbox}
	var proof journal.Generation
	var newest tree.Index
	err := j.Walk(func(g journal.Generation, ix tree.Index) error {
		switch same := g.TreeDigest == unproven.Digest; {
		case same && g.Complete():
			proof = g
		case same && len(g.Receipts) > 0:
			unproven.Ranks, unproven.Of = len(g.Receipts), max(g.Ranks, len(g.Receipts)+1)
		case g.Complete():
			newest, unproven.Newest = ix, g.Generation
		}
		return nil
	})
	if err != nil {
		return journal.Generation{}, err
	}
	if proof.Generation > 0 {
		return proof, nil
	}
	changes := index.Diff(newest)
	for _, put := range changes.Puts {
		unproven.Paths = append(unproven.Paths, put.Path)
	}
	unproven.Paths = append(unproven.Paths, changes.Deletes...)
	return journal.Generation{}, unproven
}

// Record puts a generation into the form that releases keep.
func Record(g journal.Generation, sandbox string) *release.Evidence {
	e := &release.Evidence{Sandbox: sandbox, Generation: g.Generation, Ran: g.Time, Ranks: len(g.Receipts)}
	for _, r := range g.Receipts[:min(len(g.Receipts), release.MaxReceipts)] {
		kept := release.Receipt{
			Rank: r.Rank, Pod: r.Pod, PodUID: r.PodUID, Container: r.Container,
			TreeDigest: r.TreeDigest.String(), ArgvDigest: r.ArgvDigest.String(), Running: r.Running.UTC(),
		}
		if r.StartedDigest != r.TreeDigest {
			kept.StartedDigest = r.StartedDigest.String()
		}
		e.Receipts = append(e.Receipts, kept)
	}
	return e
}

// RunsOn counts the ranks whose process was started in an earlier tree and
// runs on in it, because a policy of the project says so.
func RunsOn(g journal.Generation) (n int) {
	for _, r := range g.Receipts {
		if r.Process != wire.Restarted && r.StartedDigest != r.TreeDigest {
			n++
		}
	}
	return n
}
