package evidence

import (
	"slices"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/journal"
	"github.com/kubectl-ai/kubectl-ai/plugin/run"
)

// FindRun returns the latest of a sandbox's runs that ran a tree and ended
// well; nil when there is none. Its Job was made of that tree and nothing else,
// so the record that it ended is as good as the word of its ranks. Of a run
// that somebody else started the code is what an annotation says; it proves
// nothing.
func FindRun(records []run.Record, digest string) *run.Record {
	var proof *run.Record
	for i := range records {
		r := &records[i]
		if r.CodeDigest == digest && r.Phase == apply.Complete && r.Carrier != run.Released && (proof == nil || !r.Finished.Before(proof.Finished)) {
			proof = r
		}
	}
	return proof
}

// RecordRun puts a run into the form that releases keep.
func RecordRun(r *run.Record, sandbox string) *release.Evidence {
	return &release.Evidence{Sandbox: sandbox, Run: r.ID, Ran: r.Finished, Ranks: r.Ranks}
}

// RanIn returns the images that the containers of a run had. config asks a node
// for the digest of an image's configuration; "": it does not tell.
func RanIn(r *run.Record, config func(node, id string) string) []journal.Runtime {
	var out []journal.Runtime
	for _, i := range r.Images {
		one := journal.Runtime{Container: i.Container, Image: i.Image, ID: i.ID}
		for _, node := range r.Nodes {
			if one.Config = config(node, i.ID); one.Config != "" {
				break
			}
		}
		if !slices.Contains(out, one) {
			out = append(out, one)
		}
	}
	return out
}
