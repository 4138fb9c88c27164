package proof

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/reloadtest"
)

// follows does random operations on a followed folder and compares after
// every hundred.
func follows(t *testing.T, seed uint64, operations int, o reloadtest.Options) {
	t.Helper()
	dir := t.TempDir()
	f := newFolder(t, dir, rand.New(rand.NewPCG(seed, 1)))
	pods := []*reloadtest.Pod{reloadtest.StartPod(t, reloadtest.PodOptions{Rank: 0}), reloadtest.StartPod(t, reloadtest.PodOptions{Rank: 1})}
	o.Dir = dir
	l := reloadtest.StartLaptop(t, o, pods...)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d; the last operations:\n%s", seed, f.last(40))
		}
	})
	for i := range operations {
		f.step()
		if f.rng.IntN(8) == 0 { // let the watcher come between
			<-time.After(time.Duration(f.rng.IntN(25)) * time.Millisecond)
		}
		if (i+1)%100 == 0 {
			l.Settle()
		}
	}
	l.Settle()
	for name, n := range f.done {
		if n == 0 && operations >= 500 {
			t.Errorf("operation %q never succeeded", name)
		}
	}
	t.Logf("%d operations, %d deliveries to 2 ranks", operations, l.Deliveries())
}

func TestPodsHoldWhatRandomOperationsLeave(t *testing.T) {
	seeds, operations := reloadtest.Size(5, 20), reloadtest.Size(500, 10_000)
	for seed := range seeds {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			follows(t, uint64(seed), operations, reloadtest.Options{})
		})
	}
}

func TestAShortTableOfWatchesCostsTimeOnly(t *testing.T) {
	follows(t, 100, reloadtest.Size(300, 10_000), reloadtest.Options{MaxWatches: 10})
}
