package evidence

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/journal"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

// version is a tree of two files.
func version(content string) tree.Index {
	var index tree.Index
	for i, c := range []string{"always", content} {
		index = append(index, tree.Entry{Path: fmt.Sprintf("%d.py", i), Kind: tree.File, Size: int64(len(c)), Sum: sha256.Sum256([]byte(c))})
	}
	return index
}

// generation is one that so many ranks of two proved to run.
func generation(number uint64, index tree.Index, proved int) journal.Generation {
	g := journal.Generation{Generation: number, TreeDigest: index.Digest(), Ranks: 2, Time: time.Unix(int64(number), 0).UTC()}
	for rank := range proved {
		g.Receipts = append(g.Receipts, wire.Receipt{
			TreeDigest: index.Digest(), StartedDigest: index.Digest(), Process: wire.Restarted,
			Pod: fmt.Sprintf("p-%d", rank), PodUID: fmt.Sprintf("u-%d", rank), Container: "main", Rank: rank, ArgvDigest: tree.Digest{1},
		})
	}
	return g
}

// record is a journal of generations.
func record(t *testing.T, generations map[string]journal.Generation, order ...string) *journal.Journal {
	t.Helper()
	j := journal.Open(t.TempDir())
	for _, content := range order {
		read := func(e tree.Entry) ([]byte, error) {
			if e.Path == "0.py" {
				return []byte("always"), nil
			}
			return []byte(content), nil
		}
		if err := j.Record(generations[content], version(content), read); err != nil {
			t.Fatal(err)
		}
	}
	return j
}

func TestFind(t *testing.T) {
	synced := generation(3, version("synced"), 2)
	for i := range synced.Receipts {
		synced.Receipts[i].ArgvDigest = tree.Digest{} // nothing was started
	}
	j := record(t, map[string]journal.Generation{
		"one": generation(1, version("one"), 2), "half": generation(2, version("half"), 1), "synced": synced, "last": generation(4, version("last"), 2),
	}, "one", "half", "synced", "last")
	for _, c := range []struct {
		name, content string
		want          uint64
		says          string
	}{
		{"what all ranks ran", "last", 4, ""},
		{"what they ran earlier", "one", 1, ""},
		{"what one of two ranks ran", "half", 0, "ran in 1 of 2 ranks in lab"},
		{"what no process was started in", "synced", 0, "ranks in lab"},
		{"what was saved since", "new", 0, "1 file differs from generation 4, the last that all ranks ran: 1.py"},
	} {
		t.Run(c.name, func(t *testing.T) {
			g, err := Find(j, version(c.content), "lab")
			if g.Generation != c.want {
				t.Errorf("generation %d, want %d", g.Generation, c.want)
			}
			var unproven *UnprovenError
			if c.says != "" && (!errors.As(err, &unproven) || !strings.Contains(err.Error(), c.says)) || c.says == "" && err != nil {
				t.Errorf("err = %v, want %q", err, c.says)
			}
		})
	}
	_, err := Find(journal.Open(t.TempDir()), version("one"), "lab")
	if err == nil || !strings.Contains(err.Error(), "nor did any other code") {
		t.Errorf("an empty journal: %v", err)
	}
}

func TestRecordKeepsTheFirstReceiptsOfAGang(t *testing.T) {
	g := generation(1, version("a"), 2)
	for range 300 {
		g.Receipts = append(g.Receipts, g.Receipts[0])
	}
	e := Record(g, "lab")
	if e.Ranks != 302 || len(e.Receipts) != release.MaxReceipts || e.Receipts[1].Pod != "p-1" || e.Receipts[1].TreeDigest != g.TreeDigest.String() {
		t.Errorf("%d ranks, %d receipts, %+v", e.Ranks, len(e.Receipts), e.Receipts[1])
	}
}

func TestCompare(t *testing.T) {
	const index, manifest, config, other = "sha256:aa", "sha256:bb", "sha256:cc", "sha256:dd"
	digests := []string{index, config, manifest}
	for _, c := range []struct {
		name    string
		ran     []journal.Runtime
		digests []string
		same    bool
	}{
		{"pulled by its index", []journal.Runtime{{Container: "main", ID: "docker.io/library/python@" + index}}, digests, true},
		{"pulled by its manifest", []journal.Runtime{{Container: "main", ID: "docker-pullable://python@" + manifest}}, digests, true},
		{"loaded, known by its configuration", []journal.Runtime{{Container: "main", ID: "docker.io/library/import-2026@sha256:ff", Config: config}}, digests, true},
		{"loaded, named by its configuration", []journal.Runtime{{Container: "main", ID: config}}, digests, true},
		{"another one", []journal.Runtime{{Container: "main", ID: "python@" + other}}, digests, false},
		{"of two ranks one ran in another", []journal.Runtime{{Container: "main", ID: config}, {Container: "main", ID: other}}, digests, false},
		{"another container's does not count", []journal.Runtime{{Container: "side", ID: config}, {Container: "main", ID: other}}, digests, false},
		{"a container of another name", []journal.Runtime{{Container: "side", ID: config}}, digests, true},
		{"no rank says", nil, digests, false},
		{"nobody knows production's", []journal.Runtime{{Container: "main", ID: config}}, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Compare(journal.Generation{Runtimes: c.ran}, []Image{{Target: "Job/a/main", Container: "main", Ref: "python:3.11", Digests: c.digests}})
			var differs *RuntimeError
			if errors.As(err, &differs) == c.same || len(got) != 1 || got[0].Same != c.same {
				t.Errorf("%+v, err = %v", got, err)
			}
		})
	}
	_, err := Compare(journal.Generation{Runtimes: []journal.Runtime{{Container: "main", Image: "python:3.11", ID: other}}},
		[]Image{{Target: "Job/a/main", Container: "main", Ref: "python:3.12", Digests: digests, Versions: map[string]string{"PYTHON_VERSION": "3.12.1"}}})
	const want = "the code did not run in the runtime image that production has:\nJob/a/main: the code ran in python:3.11 (sha256:dd), production has python:3.12 (sha256:aa), which says PYTHON_VERSION 3.12.1"
	if diff := cmp.Diff(want, err.Error()); diff != "" {
		t.Error(diff)
	}
}
