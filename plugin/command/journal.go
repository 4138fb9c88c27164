package command

import (
	"crypto/sha256"
	"encoding/hex"
	"path/filepath"
	"strings"

	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/journal"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/session"
)

// sandboxContext returns the context that the sandbox environment goes to:
// --context, else the project file's, else the default sandbox.
func sandboxContext(f *Factory, env project.Environment) string {
	switch {
	case f.Flags.Context != nil && *f.Flags.Context != "":
		return *f.Flags.Context
	case env.Context != "":
		return env.Context
	}
	return defaultSandbox
}

// place identifies a bundle in a namespace of a cluster on this machine: the
// journal of its generations, and the socket of the dev that runs there.
func place(r *rendered, context string) string {
	sum := sha256.Sum256([]byte(strings.Join([]string{context, r.namespace, r.project.Dir, r.project.Name}, "\x00")))
	return hex.EncodeToString(sum[:6])
}

// openJournal returns the journal of a bundle's generations in a cluster.
func openJournal(f *Factory, r *rendered, context string) (*journal.Journal, error) {
	cache, err := f.Cache()
	if err != nil {
		return nil, err
	}
	return journal.Open(filepath.Join(cache, "journal", r.project.Name+"-"+place(r, context))), nil
}

// restored returns a generation of the journal as a version to deliver.
func restored(j *journal.Journal, number uint64, cache *session.Cache) (*session.Version, error) {
	_, index, err := j.Find(number)
	if err != nil {
		return nil, err
	}
	v := session.NewVersionFrom(j.Content, index, cache)
	v.Again = true
	return v, nil
}
