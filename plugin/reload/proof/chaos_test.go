package proof

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/reloadtest"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/session"
)

// chaos is a gang of three whose parts fail.
type chaos struct {
	*reloadtest.Laptop
	t    *testing.T
	rng  *rand.Rand
	pods []*reloadtest.Pod
	log  []string
}

// failures are what happens to a gang. Each says what it did.
var failures = []func(*chaos, *reloadtest.Pod) string{
	func(_ *chaos, p *reloadtest.Pod) string {
		p.Restart()
		return "the container was restarted"
	},
	func(c *chaos, p *reloadtest.Pod) string {
		c.Replace(p)
		return "the pod was replaced"
	},
	func(_ *chaos, p *reloadtest.Pod) string {
		p.Line.Cut()
		return "the stream was cut"
	},
	func(c *chaos, p *reloadtest.Pod) string {
		at := reloadtest.Fault{Toward: reloadtest.Toward(c.rng.IntN(2)), After: c.rng.Int64N(1500)}
		p.Line.Arm(at)
		return fmt.Sprintf("the stream will be cut after %d bytes toward %d", at.After, at.Toward)
	},
	func(_ *chaos, p *reloadtest.Pod) string {
		p.Line.Stall()
		return "the stream fell silent"
	},
	func(c *chaos, p *reloadtest.Pod) string {
		c.signal(p, syscall.SIGSTOP)
		return "the process was stopped"
	},
	func(c *chaos, p *reloadtest.Pod) string {
		c.signal(p, syscall.SIGKILL)
		return "the process was killed"
	},
	func(c *chaos, _ *reloadtest.Pod) string {
		for _, p := range c.pods { // no agent hears that the client is gone
			p.Line.Stall()
		}
		c.Stop()
		c.Laptop = reloadtest.StartLaptop(c.t, c.options(), c.pods...)
		c.Publish()
		return "the client vanished and another came"
	},
}

func (c *chaos) options() reloadtest.Options {
	o := reloadtest.Options{Still: true, Heartbeat: quick}
	if c.Laptop != nil {
		o.Dir = c.Dir
		o.Earlier = c.Laptop
	}
	return o
}

func (c *chaos) signal(p *reloadtest.Pod, s syscall.Signal) {
	if r, ok := c.Receipt(p); ok && r.PID > 1 && reloadtest.Alive(r.PID) {
		_ = syscall.Kill(r.PID, s)
	}
}

func TestWhateverFailsTheGangConverges(t *testing.T) {
	const seed = 7
	log := filepath.Join(t.TempDir(), "log")
	c := &chaos{t: t, rng: rand.New(rand.NewPCG(seed, 1))}
	for rank := range 3 {
		c.pods = append(c.pods, reloadtest.StartPod(t, reloadtest.PodOptions{
			Rank: rank, Heartbeat: quick, Argv: reloadtest.Script(stampScript), Env: []string{"STAMP_LOG=" + log},
		}))
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d; what happened last:\n%s", seed, strings.Join(c.log[max(0, len(c.log)-10):], "\n"))
		}
	})
	c.Laptop = reloadtest.StartLaptop(t, c.options(), c.pods...)
	stamp(t, c.Dir, 0)
	c.Publish()
	c.Settle()
	for n := range reloadtest.Size(40, 800) {
		p := c.pods[c.rng.IntN(len(c.pods))]
		when := c.rng.IntN(3)
		if when > 0 { // else nothing is saved: what ran has to run on
			stamp(t, c.Dir, n+1)
		}
		before, err := reloadtest.Snapshot(c.Dir)
		must(t, err)
		what := ""
		fail := failures[c.rng.IntN(len(failures))]
		if when == 1 {
			c.Publish() // it is on its way when the failure comes
			what = fail(c, p)
		} else {
			what = fail(c, p)
			c.Publish()
		}
		c.log = append(c.log, fmt.Sprintf("%d: save %d, rank %d: %s", n, when, p.Rank().Index, what))
		c.Settle()
		for _, p := range c.pods {
			p.Line.Disarm()
			p.Line.CutStalled()
			c.Whole(p)
		}
		after, err := reloadtest.Snapshot(c.Dir)
		must(t, err)
		if before != after {
			t.Fatalf("the laptop's folder changed:\n%s\n%s", before, after)
		}
	}
	// A process that was killed or stopped waits for the next save.
	stamp(t, c.Dir, -1)
	c.Publish()
	c.Settle()
	for _, p := range c.pods {
		running(t, c.Laptop, p)
	}
	checkStamps(t, log)
	verifyAll(t, c.pods)
}

// verifyAll asks every agent what it has on disk.
func verifyAll(t *testing.T, pods []*reloadtest.Pod) {
	t.Helper()
	for _, p := range pods {
		dial := func(ctx context.Context, _ session.Rank) (io.ReadWriteCloser, error) { return p.Dial(ctx) }
		v, err := session.Verify(t.Context(), dial, p.Rank())
		must(t, err)
		if sum, err := p.Sum(); err != nil || sum != v.Digest || len(v.Differences) > 0 {
			t.Errorf("rank %d says %s with %v, an own hash %s: %v", p.Rank().Index, v.Digest.Short(), v.Differences, sum.Short(), err)
		}
	}
}

// A container's namespaces may be shared with others: what an agent started
// ends with it, also when it was just starting the next.
func TestAnAgentThatEndsLeavesNoProcess(t *testing.T) {
	pod := reloadtest.StartPod(t, reloadtest.PodOptions{})
	l := reloadtest.StartLaptop(t, reloadtest.Options{Still: true}, pod)
	stamp(t, l.Dir, 0)
	l.Publish()
	l.Settle()
	rng := rand.New(rand.NewPCG(3, 1))
	before := pod.Line.Count(reloadtest.ToAgent)
	stamp(t, l.Dir, -1)
	l.Publish()
	l.Settle()
	length := pod.Line.Count(reloadtest.ToAgent) - before
	for n := range reloadtest.Size(100, 1000) {
		stamp(t, l.Dir, n+1)
		until := pod.Line.Count(reloadtest.ToAgent) + length - rng.Int64N(40)*rng.Int64N(2) // COMMIT is the last of it
		l.Publish()
		reloadtest.Await(t, func() string {
			if pod.Line.Count(reloadtest.ToAgent) < until && !l.Runs(pod) {
				return "the delivery does not come about"
			}
			return ""
		})
		pod.Kill()
		if left := pod.Processes(); len(left) > 0 {
			t.Fatalf("after %d ends, processes %v live on", n+1, left)
		}
		pod.Restart()
		l.Settle()
	}
}
