package live

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/pmezard/go-difflib/difflib"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/journal"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

// Bounds of what is shown of generations. Chosen.
const (
	maxGenerations = 50
	maxChanges     = 50        // of one generation
	maxText        = 256 << 10 // bytes of a file that is compared
)

// Diff is what a generation changed.
type Diff struct {
	APIVersion string     `json:"apiVersion"`
	Kind       string     `json:"kind"` // GenerationDiff
	ID         string     `json:"id"`
	Files      []FileDiff `json:"files"`
	More       int        `json:"more,omitempty"` // files that are not shown
}

// FileDiff is one file of a Diff.
type FileDiff struct {
	Change
	Text string `json:"text,omitempty"` // unified
	Note string `json:"note,omitempty"` // why there is none
}

// GenerationError says that a generation is not in the journal.
type GenerationError struct{ ID string }

func (e *GenerationError) Error() string {
	return fmt.Sprintf("generation %q is not in the journal, or no longer", e.ID)
}

func idOf(g journal.Generation) string { return fmt.Sprintf("%d-%x", g.Generation, g.Time.UnixMilli()) }

// readJournal returns what reads the journal when it has changed.
func (w *Watcher) readJournal() func(context.Context) error {
	stamp := ""
	return func(ctx context.Context) error {
		now := w.Journal.Stamp()
		if now == stamp {
			return nil
		}
		var all []Generation
		proved, numbers := map[string]uint64{}, map[string]uint64{}
		var before tree.Index
		err := w.Journal.Walk(func(g journal.Generation, index tree.Index) error {
			all = append(all, generation(g, index, before))
			numbers[g.TreeDigest.String()] = g.Generation
			for _, r := range g.Receipts {
				proved[r.PodUID+"/"+r.Container] = r.Generation
			}
			before = index
			return nil
		})
		if !w.note(ctx, "generations", err) {
			return nil
		}
		stamp = now
		slices.Reverse(all)
		w.change(func() {
			w.generations, w.proved, w.numbers = all[:min(len(all), maxGenerations)], proved, numbers
		})
		return nil
	}
}

func generation(g journal.Generation, index, before tree.Index) Generation {
	out := Generation{ID: idOf(g), Number: g.Generation, Digest: g.TreeDigest.Short(), Time: g.Time.UTC(), Ranks: g.Ranks, Changes: []Change{}}
	for _, r := range g.Receipts {
		if r.TreeDigest == g.TreeDigest && r.State() == wire.StateRunning {
			out.Proved++
		}
	}
	if before == nil {
		out.First = true
		return out
	}
	for _, c := range changes(index, before) {
		if len(out.Changes) == maxChanges {
			out.More++
			continue
		}
		out.Changes = append(out.Changes, c)
	}
	return out
}

// changes lists what differs, by path.
func changes(index, before tree.Index) []Change {
	diff := index.Diff(before)
	var out []Change
	for _, e := range diff.Puts {
		what := "added"
		if _, was := before.Find(e.Path); was {
			what = "changed"
		}
		out = append(out, Change{e.Path, what})
	}
	for _, path := range diff.Deletes {
		out = append(out, Change{path, "removed"})
	}
	slices.SortStableFunc(out, func(a, b Change) int { return bytes.Compare([]byte(a.Path), []byte(b.Path)) })
	return out
}

var errFound = errors.New("found")

// Diff returns what a generation changed to the one before it in the journal,
// the text of text files. It returns a *GenerationError.
func (w *Watcher) Diff(id string) (Diff, error) {
	d := Diff{APIVersion: APIVersion, Kind: "GenerationDiff", ID: id, Files: []FileDiff{}}
	if w.Journal == nil {
		return d, &GenerationError{id}
	}
	var before, index tree.Index
	first := true
	err := w.Journal.Walk(func(g journal.Generation, ix tree.Index) error {
		if idOf(g) == id {
			index = ix
			return errFound
		}
		before, first = ix, false
		return nil
	})
	switch {
	case err == nil:
		return d, &GenerationError{id}
	case !errors.Is(err, errFound):
		return d, err
	case first:
		return d, nil // there is nothing to compare it with
	}
	for _, c := range changes(index, before) {
		if len(d.Files) == maxChanges {
			d.More++
			continue
		}
		f := FileDiff{Change: c}
		f.Text, f.Note = compare(w.Journal, c.Path, before, index)
		d.Files = append(d.Files, f)
	}
	return d, nil
}

// compare returns the difference of a path in two trees, or why it has none.
func compare(j *journal.Journal, path string, before, after tree.Index) (text, note string) {
	var sides [2][]string
	var kinds [2]string
	for i, index := range []tree.Index{before, after} {
		e, ok := index.Find(path)
		if !ok {
			continue
		}
		kinds[i] = e.Kind.String()
		content := []byte(e.Target)
		if e.Kind != tree.Link {
			if e.Size > maxText {
				return "", fmt.Sprintf("%d bytes: too long to be shown", e.Size)
			}
			var err error
			if content, err = j.Content(e); err != nil {
				return "", err.Error()
			}
		}
		if !utf8.Valid(content) || bytes.ContainsRune(content, 0) {
			return "", fmt.Sprintf("%d bytes that are no text", e.Size)
		}
		if len(content) > 0 {
			sides[i] = difflib.SplitLines(string(bytes.TrimSuffix(content, []byte("\n"))))
		}
	}
	text, err := difflib.GetUnifiedDiffString(difflib.UnifiedDiff{A: sides[0], B: sides[1], Context: 3})
	switch {
	case err != nil:
		return "", err.Error()
	case text != "":
		return text, ""
	case kinds[0] != kinds[1] && kinds[0] != "" && kinds[1] != "":
		return "", kinds[0] + " before, " + kinds[1] + " now"
	}
	return "", "empty"
}
