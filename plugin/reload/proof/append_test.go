package proof

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/reloadtest"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/session"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// spoilScript does to its own source what the file "do" says: through its
// working directory, where the file is a hard link of every generation that
// holds it unchanged.
const spoilScript = `
case $(cat do) in
append)    printf '# appended by the program\n' >> pkg/train.py ;;
overwrite) touch -r pkg/train.py "$SCRATCH/times"
           printf 'X' | dd of=pkg/train.py bs=1 seek=10 conv=notrunc 2>/dev/null
           touch -r "$SCRATCH/times" pkg/train.py ;;
remove)    rm pkg/train.py ;;
replace)   printf 'replaced' > pkg/train.new && mv pkg/train.new pkg/train.py ;;
chmod)     chmod +x pkg/train.py ;;
esac
exec sleep 300`

// spoiled is a pod whose program changes its own source, pkg/train.py, when
// it is told to.
type spoiled struct {
	*reloadtest.Laptop
	t   *testing.T
	pod *reloadtest.Pod
}

func newSpoiled(t *testing.T) *spoiled {
	t.Helper()
	pod := reloadtest.StartPod(t, reloadtest.PodOptions{Argv: reloadtest.Script(spoilScript), Env: []string{"SCRATCH=" + t.TempDir()}})
	s := &spoiled{t: t, pod: pod, Laptop: reloadtest.StartLaptop(t, reloadtest.Options{Still: true}, pod)}
	stamp(t, s.Dir, 0)
	must(t, os.Rename(filepath.Join(s.Dir, "a"), filepath.Join(s.Dir, "pkg")))
	s.deliver("nothing", "first")
	return s
}

// deliver publishes what the folder holds and waits until the pod runs it.
// The program then does as it is told.
func (s *spoiled) deliver(do, other string) tree.Digest {
	s.t.Helper()
	save(s.t, s.Dir, "do", do)
	save(s.t, s.Dir, "other.py", other)
	want := s.Publish()
	reloadtest.Await(s.t, func() string {
		for _, err := range s.Refusals() {
			s.t.Fatalf("refused: %v", err)
		}
		if r, ok := s.Receipt(s.pod); !ok || r.TreeDigest != want {
			return "the pod does not run " + want.Short()
		}
		return ""
	})
	return want
}

// spoil lets the program change its source and waits until it has.
func (s *spoiled) spoil(do string) tree.Digest {
	s.t.Helper()
	want := s.deliver(do, "spoil by "+do)
	original, err := reloadtest.Manifest(filepath.Join(s.Dir, "pkg"))
	must(s.t, err)
	reloadtest.Await(s.t, func() string {
		if dir, err := s.pod.Current(); err != nil {
			return err.Error()
		} else if lines, err := reloadtest.Manifest(filepath.Join(dir, "pkg")); err != nil || slices.Contains(lines, original[0]) {
			return "the program has not changed its source yet"
		}
		return ""
	})
	return want
}

// whole fails unless the pod holds just the tree with that digest.
func (s *spoiled) whole(want tree.Digest) {
	s.t.Helper()
	sum, err := s.pod.Sum()
	must(s.t, err)
	if sum != want {
		lines, err := reloadtest.Manifest(s.Dir)
		must(s.t, err)
		s.t.Errorf("the pod holds %s, want %s:\n%s", sum.Short(), want.Short(), reloadtest.Differ(lines, s.pod.Manifest()))
	}
}

func (s *spoiled) verify() []string {
	s.t.Helper()
	dial := func(ctx context.Context, _ session.Rank) (io.ReadWriteCloser, error) { return s.pod.Dial(ctx) }
	v, err := session.Verify(s.t.Context(), dial, s.pod.Rank())
	must(s.t, err)
	var paths []string
	for _, d := range v.Differences {
		paths = append(paths, d.Path)
	}
	return paths
}

var spoils = []string{"append", "overwrite", "remove", "replace", "chmod"}

func TestVerifyNamesWhatAProgramDidToItsOwnSource(t *testing.T) {
	for _, do := range spoils {
		t.Run(do, func(t *testing.T) {
			s := newSpoiled(t)
			s.spoil(do)
			if got := s.verify(); len(got) != 1 || got[0] != "pkg/train.py" {
				t.Errorf("verify names %q, want pkg/train.py", got)
			}
			// Once it is known, even what left size and times alone does not
			// go into the next generation.
			s.whole(s.deliver("nothing", "next"))
		})
	}
}

func TestTheNextGenerationCarriesTheOriginal(t *testing.T) {
	for _, do := range spoils {
		if do == "overwrite" {
			continue // leaves size and times: only hashing finds it
		}
		t.Run(do, func(t *testing.T) {
			s := newSpoiled(t)
			for i := range 4 { // the file is one inode in several generations
				s.deliver("nothing", string(rune('a'+i)))
			}
			s.spoil(do)
			s.whole(s.deliver("nothing", "next"))
			s.spoil(do)
			s.whole(s.deliver("nothing", "and again"))
		})
	}
}

// What `back` does: an older tree is published again.
func TestAnOlderTreeComesBackAsItWas(t *testing.T) {
	s := newSpoiled(t)
	originals := map[string]string{} // of "other" to a copy of the folder
	for _, other := range []string{"1", "2", "3"} {
		s.deliver("nothing", other)
		copied := t.TempDir()
		must(t, os.CopyFS(copied, os.DirFS(s.Dir)))
		originals[other] = copied
	}
	for _, other := range []string{"3", "2", "1"} {
		s.spoil("append")
		old := originals[other]
		original, err := os.ReadFile(filepath.Join(old, "pkg/train.py"))
		must(t, err)
		must(t, os.CopyFS(s.Dir+".old", os.DirFS(old)))
		must(t, os.RemoveAll(s.Dir))
		must(t, os.Rename(s.Dir+".old", s.Dir))
		want := s.deliver("nothing", other)
		if sum, err := reloadtest.Sum(old); err != nil || sum != want {
			t.Fatalf("the older tree is %s now, was %s: %v", want.Short(), sum.Short(), err)
		}
		s.whole(want)
		dir, err := s.pod.Current()
		must(t, err)
		got, err := os.ReadFile(filepath.Join(dir, "pkg/train.py"))
		if err != nil || !bytes.Equal(got, original) {
			t.Errorf("pkg/train.py has %d bytes, the original %d: %v", len(got), len(original), err)
		}
	}
}

// The edit travels as a difference to a file that is no longer there as it
// was.
func TestAFileThatAProgramChangedCanBeEdited(t *testing.T) {
	for _, do := range spoils {
		t.Run(do, func(t *testing.T) {
			s := newSpoiled(t)
			s.spoil(do)
			raw, err := os.ReadFile(filepath.Join(s.Dir, "pkg/train.py"))
			must(t, err)
			save(t, s.Dir, "pkg/train.py", string(raw)+"edited = True\n")
			s.whole(s.deliver("nothing", "with an edit"))
		})
	}
}
