package proof

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/reloadtest"
)

// job is eight ranks that compute together.
type job struct {
	*reloadtest.Laptop
	t    *testing.T
	pods []*reloadtest.Pod
	meet *rendezvous
}

// newJob starts a job. Of the troubled ranks, number 5 does not end when it is
// told to and is killed after a while, and number 2 takes its time to start.
func newJob(t *testing.T, troubled bool) *job {
	t.Helper()
	const ranks = 8
	j := &job{t: t, meet: newRendezvous(t, ranks)}
	program, err := os.Executable()
	must(t, err)
	for rank := range ranks {
		o := reloadtest.PodOptions{
			Rank: rank,
			Argv: func(mount string) []string { return []string{program, mount} },
			Env:  []string{rankSocket + "=" + j.meet.addr, rankNumber + "=" + strconv.Itoa(rank)},
		}
		switch {
		case troubled && rank == 5:
			o.Env = append(o.Env, rankDeaf+"=1")
			o.Grace = 1500 * time.Millisecond
		case troubled && rank == 2:
			o.Env = append(o.Env, rankLate+"=400ms")
		}
		j.pods = append(j.pods, reloadtest.StartPod(t, o))
	}
	j.Laptop = reloadtest.StartLaptop(t, reloadtest.Options{Still: true}, j.pods...)
	return j
}

// publish makes a generation the wanted one.
func (j *job) publish(generation int) {
	j.t.Helper()
	save(j.t, j.Dir, "generation", fmt.Sprintf("%d\n", generation))
	j.Publish()
}

// computes waits until all ranks have done some steps of a generation.
func (j *job) computes(generation, steps int) state {
	j.t.Helper()
	var s state
	reloadtest.Await(j.t, func() string {
		s = j.meet.state(generation)
		if len(s.mixed) > 0 {
			j.t.Fatalf("a step with different code: the ranks have generations %s", s.mixed[0])
		}
		if s.steps < steps {
			return fmt.Sprintf("%d steps of generation %d, want %d; refusals: %v", s.steps, generation, steps, j.Refusals())
		}
		return ""
	})
	return s
}

func TestNoStepIsComputedWithDifferentCode(t *testing.T) {
	j := newJob(t, false)
	reloads := reloadtest.Size(50, 1000)
	steps := 0
	for n := 1; n <= reloads; n++ {
		j.publish(n)
		if n%5 == 0 {
			continue // the next comes while processes of this one still start
		}
		steps += j.computes(n, 3).steps
	}
	j.computes(reloads, 3)
	if s := j.meet.state(0); len(s.mixed) > 0 {
		t.Errorf("%d steps with different code, of %d and more; the first: %s", len(s.mixed), steps, s.mixed[0])
	}
	t.Logf("%d reloads of 8 ranks, %d and more steps", reloads, steps)
}

// A rank that is slow to stop has not met the others yet when the next
// generation comes: it must not meet them.
func TestAStragglerComputesNoStepWithTheNextGeneration(t *testing.T) {
	for range reloadtest.Size(2, 20) {
		j := newJob(t, true)
		j.publish(1)
		reloadtest.Await(t, func() string {
			if !j.meet.waits(5) {
				return "rank 5 is not there"
			}
			return ""
		})
		j.publish(2)
		j.computes(2, 3)
	}
}

func TestARankThatRefusesCostsTheOthersNoStep(t *testing.T) {
	j := newJob(t, false)
	j.publish(1)
	j.computes(1, 3)
	for round := range reloadtest.Size(3, 20) {
		runs := 1 + 2*round
		before := j.computes(runs, 3)
		mend := j.pods[5].BreakStaging()
		j.publish(runs + 1)
		reloadtest.Await(t, func() string {
			if len(j.Refusals()) <= round {
				return "no refusal"
			}
			return ""
		})
		after := j.computes(runs, before.steps+20)
		if after.groups != before.groups || !slices.Equal(after.pids, before.pids) {
			t.Fatalf("the ranks were restarted: groups %d and %d, processes %v and %v", before.groups, after.groups, before.pids, after.pids)
		}
		if s := j.meet.state(runs + 1); s.steps > 0 {
			t.Fatalf("%d steps of the generation that was refused", s.steps)
		}
		mend()
		j.publish(runs + 2)
		j.computes(runs+2, 3)
	}
	if s := j.meet.state(0); len(s.mixed) > 0 {
		t.Errorf("%d steps with different code; the first: %s", len(s.mixed), s.mixed[0])
	}
}
