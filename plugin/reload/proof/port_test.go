package proof

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/reloadtest"
)

// Ranks of one run have one MASTER_PORT, which is that of no run before it.
func TestEachRunMeetsAtAPortOfItsOwn(t *testing.T) {
	dir := t.TempDir()
	var pods []*reloadtest.Pod
	for rank := range 3 {
		pods = append(pods, reloadtest.StartPod(t, reloadtest.PodOptions{
			Rank: rank, FreshPort: true, Env: []string{"MASTER_ADDR=job-0.s", "MASTER_PORT=29500", "PET_MASTER_PORT=29500", "TOLD=" + filepath.Join(dir, fmt.Sprint(rank))},
			Argv: reloadtest.Script(`echo $(cat a) $MASTER_PORT $PET_MASTER_PORT > "$TOLD.tmp"; mv "$TOLD.tmp" "$TOLD"; exec sleep 300`),
		}))
	}
	l := reloadtest.StartLaptop(t, reloadtest.Options{Still: true}, pods...)
	seen := map[int]bool{29500: true}
	told := func(rank, n int) (port int) {
		reloadtest.Await(t, func() string {
			raw, _ := os.ReadFile(filepath.Join(dir, fmt.Sprint(rank)))
			words := strings.Fields(string(raw))
			if len(words) != 3 || words[0] != fmt.Sprint(n) {
				return fmt.Sprintf("rank %d has told %q, not of %d", rank, raw, n)
			}
			if words[1] != words[2] {
				t.Fatalf("rank %d has MASTER_PORT %s, PET_MASTER_PORT %s", rank, words[1], words[2])
			}
			port, _ = strconv.Atoi(words[1])
			return ""
		})
		return port
	}
	for n := range 4 {
		save(t, l.Dir, "a", fmt.Sprint(n))
		l.Publish()
		l.Settle()
		port := told(0, n)
		if port < 20_000 || port > 29_999 || seen[port] {
			t.Errorf("run %d meets at port %d", n, port)
		}
		seen[port] = true
		if n == 3 { // one that joins late
			must(t, os.Remove(filepath.Join(dir, "2")))
			l.Replace(pods[2])
			l.Settle()
		}
		for rank := 1; rank < 3; rank++ {
			if other := told(rank, n); other != port {
				t.Errorf("run %d: rank %d meets at port %d, rank 0 at %d", n, rank, other, port)
			}
		}
	}
}
