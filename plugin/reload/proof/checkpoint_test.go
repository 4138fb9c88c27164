package proof

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/agent"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/reloadtest"
)

// trainer counts, says where it begins, and saves its count when it is asked:
// slowly, as large checkpoints are, and into place at last.
const trainer = `mkdir -p out
n=0; [ -e out/step ] && n=$(cat out/step)
echo "begin $n" >>"$SAID"
trap 'echo "asked at $n" >>"$SAID"; echo $n >out/step.tmp; sleep 0.3; mv out/step.tmp out/step' USR1
while :; do n=$((n+1)); sleep 0.01; done`

// trainers are ranks whose programs say what they do.
type trainers struct {
	*reloadtest.Laptop
	t    *testing.T
	pods []*reloadtest.Pod
	said []string // files
}

func startTrainers(t *testing.T, ranks int, script string, c agent.Checkpoint) *trainers {
	t.Helper()
	r := &trainers{t: t}
	for rank := range ranks {
		file := filepath.Join(t.TempDir(), "said")
		r.said = append(r.said, file)
		r.pods = append(r.pods, reloadtest.StartPod(t, reloadtest.PodOptions{
			Rank: rank, Argv: reloadtest.Script(script), Env: []string{"SAID=" + file}, Checkpoint: &c,
		}))
	}
	r.Laptop = reloadtest.StartLaptop(t, reloadtest.Options{Still: true}, r.pods...)
	return r
}

// deliver saves, and returns what each rank said from there until its new
// process has begun.
func (r *trainers) deliver(text string) (news [][]string) {
	r.t.Helper()
	before := make([]int, len(r.pods))
	for i, file := range r.said {
		before[i] = len(lines(file))
	}
	save(r.t, r.Dir, "train.py", text)
	want := r.Publish()
	for i, pod := range r.pods {
		reloadtest.Await(r.t, func() string {
			got := lines(r.said[i])
			if receipt, ok := r.Receipt(pod); !ok || receipt.TreeDigest != want || len(got) == before[i] || !strings.HasPrefix(got[len(got)-1], "begin") {
				return fmt.Sprintf("rank %d has not begun again: %q", i, got)
			}
			return ""
		})
		news = append(news, lines(r.said[i])[before[i]:])
	}
	return news
}

func lines(path string) []string {
	raw, _ := os.ReadFile(path)
	return strings.FieldsFunc(string(raw), func(r rune) bool { return r == '\n' })
}

func TestAProcessSavesItsStateBeforeItMakesWay(t *testing.T) {
	r := startTrainers(t, 2, trainer, agent.Checkpoint{Path: "out", Signal: syscall.SIGUSR1, Name: "USR1", Timeout: time.Minute})
	r.deliver("first = 1\n")
	for round := range 3 {
		time.Sleep(50 * time.Millisecond) // some steps
		for rank, news := range r.deliver(fmt.Sprintf("round = %d\n", round)) {
			if len(news) != 2 {
				t.Fatalf("round %d: rank %d said %q", round, rank, news)
			}
			asked, begun := strings.TrimPrefix(news[0], "asked at "), strings.TrimPrefix(news[1], "begin ")
			if asked != begun || asked == "0" {
				t.Errorf("round %d: rank %d was asked at step %s and went on from %s", round, rank, asked, begun)
			}
		}
	}
	if n := r.Notices(); len(n) > 0 {
		t.Errorf("notices: %q", n)
	}
}

func TestAProcessThatSavesNothingIsRestartedAllTheSame(t *testing.T) {
	for name, c := range map[string]struct{ script, says string }{
		"it hears and does nothing":  {`trap : USR1; echo begin >>"$SAID"; while :; do sleep 0.01; done`, "no newer checkpoint at out within"},
		"it would end by the signal": {`echo begin >>"$SAID"; exec sleep 300`, "no process catches SIGUSR1"},
	} {
		t.Run(name, func(t *testing.T) {
			r := startTrainers(t, 1, c.script, agent.Checkpoint{Path: "out", Signal: syscall.SIGUSR1, Name: "USR1", Timeout: 500 * time.Millisecond})
			r.deliver("first = 1\n")
			if news := r.deliver("second = 2\n"); len(news[0]) != 1 {
				t.Errorf("it said %q", news[0])
			}
			if !slices.ContainsFunc(r.Notices(), func(n string) bool { return strings.Contains(n, c.says) }) {
				t.Errorf("notices %q, want one that says %q", r.Notices(), c.says)
			}
		})
	}
}
