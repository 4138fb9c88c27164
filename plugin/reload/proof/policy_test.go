package proof

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/reloadtest"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/session"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

// policies leave a process alone for *.md, and signal it for configs.
var policies = session.Policies{
	{Paths: tree.ParsePatterns([]string{"*.md"}), Action: wire.Keep},
	{Paths: tree.ParsePatterns([]string{"configs/"}), Action: wire.Signal, Signal: "HUP"},
	{Paths: tree.ParsePatterns([]string{"requirements.txt"}), Action: wire.Keep, Image: true},
}

// listener is a gang whose programs tell, at their start and at each HUP, which
// config they see below the mount and which in their working directory.
type listener struct {
	*reloadtest.Laptop
	t    *testing.T
	pods []*reloadtest.Pod
	told []string
}

func newListener(t *testing.T, ranks int) *listener {
	t.Helper()
	r := &listener{t: t}
	for rank := range ranks {
		r.startPod(rank)
	}
	r.Laptop = reloadtest.StartLaptop(t, reloadtest.Options{Still: true, Policies: policies}, r.pods...)
	save(t, r.Dir, "train.py", "0")
	r.save("configs/a", "0")
	return r
}

func (r *listener) startPod(rank int) *reloadtest.Pod {
	r.t.Helper()
	mount, told := r.t.TempDir(), filepath.Join(r.t.TempDir(), "told")
	p := reloadtest.StartPod(r.t, reloadtest.PodOptions{
		Rank: rank, Mount: mount, Env: []string{"MOUNT=" + mount, "TOLD=" + told},
		Argv: reloadtest.Script(`
exec 2>/dev/null
tell() { echo "$1 $(cat $MOUNT/configs/a) $(cat configs/a)" >> "$TOLD"; }
trap 'tell hup; [ ! -e $MOUNT/configs/quit ] || exit 0' HUP
tell start
while :; do sleep 0.02; done`),
	})
	r.pods, r.told = append(r.pods, p), append(r.told, told)
	return p
}

// save writes a file and brings it to all ranks.
func (r *listener) save(p, content string) {
	r.t.Helper()
	save(r.t, r.Dir, p, content)
	r.Publish()
	r.Settle()
}

// tells waits until the last words of each rank are those.
func (r *listener) tells(want string) {
	r.t.Helper()
	for rank, told := range r.told {
		reloadtest.Await(r.t, func() string {
			raw, _ := os.ReadFile(told)
			lines := strings.Split(strings.TrimSpace(string(raw)), "\n")
			if last := lines[len(lines)-1]; last != want {
				return fmt.Sprintf("rank %d said %q last, want %q", rank, last, want)
			}
			return ""
		})
	}
}

// receipts checks what all receipts say, and returns the processes.
func (r *listener) receipts(process string, current, started uint64) (pids []int) {
	r.t.Helper()
	for rank, p := range r.pods {
		got, _ := r.Receipt(p)
		if got.Process != process || got.Generation != current || got.Started != started || (got.StartedDigest == got.TreeDigest) != (current == started) {
			r.t.Errorf("rank %d: generation %d, %s, started in %d; want %d, %s, %d", rank, got.Generation, got.Process, got.Started, current, process, started)
		}
		pids = append(pids, got.PID)
	}
	return pids
}

func (r *listener) same(a, b []int) {
	r.t.Helper()
	if fmt.Sprint(a) != fmt.Sprint(b) {
		r.t.Errorf("the processes are %v, were %v", b, a)
	}
}

func TestAPolicyDecidesWhatASaveDoes(t *testing.T) {
	for _, ranks := range []int{1, 3} {
		t.Run(fmt.Sprintf("%d ranks", ranks), func(t *testing.T) {
			r := newListener(t, ranks)
			r.tells("start 0 0")
			pids := r.receipts(wire.Restarted, 1, 1)

			r.save("README.md", "words")
			r.same(pids, r.receipts(wire.Unchanged, 2, 1))
			for _, p := range r.pods {
				if raw, err := os.ReadFile(filepath.Join(p.Mount(), "README.md")); err != nil || string(raw) != "words" {
					t.Errorf("the mount shows %q: %v", raw, err)
				}
			}
			r.save("configs/a", "1")
			r.same(pids, r.receipts(wire.Signalled, 3, 1))
			r.tells("hup 1 0") // its own folder is as it was at the start

			// A stream that was lost meanwhile changes nothing of that.
			for _, p := range r.pods {
				p.Line.Cut()
			}
			r.save("configs/a", "2")
			r.same(pids, r.receipts(wire.Signalled, 4, 1))
			r.tells("hup 2 0")

			// The strongest action of a save counts.
			save(t, r.Dir, "README.md", "more words")
			r.save("configs/a", "3")
			r.same(pids, r.receipts(wire.Signalled, 5, 1))
			r.tells("hup 3 0")
			save(t, r.Dir, "configs/a", "4")
			r.save("train.py", "1")
			now := r.receipts(wire.Restarted, 6, 6)
			for i := range now {
				if now[i] == pids[i] {
					t.Errorf("rank %d was not restarted", i)
				}
			}
			r.tells("start 4 4")
		})
	}
}

// A save that nobody needed to hear of must not hide the one before it, which
// never arrived.
func TestTheReactionIsToAllThatARankHasNotGot(t *testing.T) {
	r := newListener(t, 2)
	r.tells("start 0 0")
	pids := r.receipts(wire.Restarted, 1, 1)
	mend := r.pods[1].BreakStaging()
	save(t, r.Dir, "train.py", "broken on its way")
	r.Publish()
	reloadtest.Await(t, func() string {
		if len(r.Refusals()) == 0 {
			return "nobody refuses"
		}
		return ""
	})
	r.same(pids, r.receipts(wire.Restarted, 1, 1))
	mend()
	r.save("README.md", "words")
	for i, pid := range r.receipts(wire.Restarted, 3, 3) {
		if pid == pids[i] {
			t.Errorf("rank %d runs on in code that has changed", i)
		}
	}
}

func TestARankThatRefusesKeepsAllFromBeingSignalled(t *testing.T) {
	r := newListener(t, 3)
	r.tells("start 0 0")
	mend := r.pods[2].BreakStaging()
	save(t, r.Dir, "configs/a", "1")
	r.Publish()
	reloadtest.Await(t, func() string {
		if len(r.Refusals()) == 0 {
			return "nobody refuses"
		}
		return ""
	})
	r.tells("start 0 0")
	r.receipts(wire.Restarted, 1, 1)
	mend()
	r.save("configs/a", "2")
	r.receipts(wire.Signalled, 3, 1)
	r.tells("hup 2 0")
}

func TestARankThatJoinsLateMeetsThoseThatRunOn(t *testing.T) {
	r := newListener(t, 2)
	r.tells("start 0 0")
	r.save("configs/a", "1")
	r.tells("hup 1 0")
	r.Replace(r.pods[1])
	r.Settle()
	first, _ := r.Receipt(r.pods[0])
	second, _ := r.Receipt(r.pods[1])
	if first.Process != wire.Signalled || first.Started != 1 || second.Process != wire.Restarted || second.Started != 2 {
		t.Errorf("rank 0 %s of %d, rank 1 %s of %d", first.Process, first.Started, second.Process, second.Started)
	}
	if first.Run == "" || first.Run != second.Run {
		t.Errorf("the ranks were started as %q and %q", first.Run, second.Run)
	}
}

// A process that has ended takes note of nothing: what it would have been told
// starts it, what it need not know does not.
func TestAProcessThatHasEndedIsStartedForASignal(t *testing.T) {
	r := newListener(t, 1)
	r.tells("start 0 0")
	pids := r.receipts(wire.Restarted, 1, 1)
	r.save("configs/quit", "")
	reloadtest.Await(t, func() string {
		if reloadtest.Alive(pids[0]) {
			return "the process has not ended"
		}
		return ""
	})
	r.save("README.md", "words")
	r.same(pids, r.receipts(wire.Unchanged, 3, 1))
	must(t, os.Remove(filepath.Join(r.Dir, "configs/quit")))
	r.save("configs/a", "1")
	if now := r.receipts(wire.Restarted, 4, 4); now[0] == pids[0] {
		t.Error("the process was not started")
	}
	r.tells("start 1 1")
}

func TestWhatBelongsInTheImageIsNamed(t *testing.T) {
	r := newListener(t, 1)
	r.tells("start 0 0")
	r.save("requirements.txt", "torch")
	r.receipts(wire.Unchanged, 2, 1)
	if got := r.LastDelivery().Reaction.Image; len(got) != 1 || got[0] != "requirements.txt" {
		t.Errorf("named are %q", got)
	}
}

// back restarts, whatever the policies say of the paths that differ.
func TestAnEarlierGenerationIsStarted(t *testing.T) {
	r := newListener(t, 1)
	r.tells("start 0 0")
	index, err := tree.Scan(t.Context(), r.Dir, tree.Options{})
	must(t, err)
	v := session.NewVersion(r.Dir, index, session.NewCache(1<<20))
	v.Again = true
	r.Gang.Publish(t.Context(), v)
	reloadtest.Await(t, func() string {
		if got, _ := r.Receipt(r.pods[0]); got.Generation != 2 {
			return "generation 1 runs"
		}
		return ""
	})
	r.receipts(wire.Restarted, 2, 2)
}
