package proof

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/reloadtest"
)

// cuttable is a pod whose stream is cut, and the count of its versions.
type cuttable struct {
	*reloadtest.Laptop
	t   *testing.T
	pod *reloadtest.Pod
	log string // of stampScript
	n   int
}

func newCuttable(t *testing.T, o reloadtest.Options, p reloadtest.PodOptions) *cuttable {
	t.Helper()
	log := filepath.Join(t.TempDir(), "log")
	p.Argv, p.Env = reloadtest.Script(stampScript), append(p.Env, "STAMP_LOG="+log)
	o.Still = true
	c := &cuttable{t: t, pod: reloadtest.StartPod(t, p), log: log}
	c.Laptop = reloadtest.StartLaptop(t, o, c.pod)
	c.edit()
	c.Settle()
	return c
}

// edit publishes the next version.
func (c *cuttable) edit() {
	c.t.Helper()
	c.n++
	stamp(c.t, c.Dir, c.n)
	c.Publish()
}

// converge waits until the pod holds and runs the last version.
func (c *cuttable) converge() {
	c.t.Helper()
	c.Settle()
	running(c.t, c.Laptop, c.pod)
}

// connected waits until just one stream is open.
func (c *cuttable) connected() {
	c.t.Helper()
	reloadtest.Await(c.t, func() string {
		if n := c.pod.Line.Open(); n != 1 {
			return fmt.Sprintf("%d streams are open, want 1", n)
		}
		return ""
	})
}

// length returns how many bytes a conversation takes in each direction, with
// some to spare: times and numbers in it vary.
func (c *cuttable) length(conversation func()) [2]int64 {
	c.t.Helper()
	c.connected()
	line := c.pod.Line
	before := [2]int64{line.Count(reloadtest.ToAgent), line.Count(reloadtest.ToGang)}
	conversation()
	c.converge()
	return [2]int64{line.Count(reloadtest.ToAgent) - before[0] + 8, line.Count(reloadtest.ToGang) - before[1] + 8}
}

// every calls do for each place of a conversation where it may end, or for a
// sample of them.
func every(length [2]int64, do func(at reloadtest.Fault)) (n int) {
	step := int64(reloadtest.Size(20, 1))
	for to, bytes := range length {
		for after := int64(0); after <= bytes; after += step {
			do(reloadtest.Fault{Toward: reloadtest.Toward(to), After: after})
			n++
		}
	}
	return n
}

func TestADeliveryCutAtAnyByteConverges(t *testing.T) {
	c := newCuttable(t, reloadtest.Options{}, reloadtest.PodOptions{})
	length := c.length(c.edit)
	cuts := every(length, func(at reloadtest.Fault) {
		c.connected()
		c.pod.Line.Arm(at)
		c.edit()
		c.converge()
		c.pod.Line.Disarm()
	})
	c.summary(length, cuts)
}

func TestAConnectionCutAtAnyByteConverges(t *testing.T) {
	c := newCuttable(t, reloadtest.Options{}, reloadtest.PodOptions{})
	length := c.length(func() {
		c.pod.Line.Cut()
		c.edit()
	})
	cuts := every(length, func(at reloadtest.Fault) {
		c.connected()
		c.pod.Line.ArmNext(at)
		c.pod.Line.Cut()
		c.edit()
		c.converge()
		c.pod.Line.Disarm()
	})
	c.summary(length, cuts)
}

func (c *cuttable) summary(length [2]int64, cuts int) {
	c.t.Helper()
	checkStamps(c.t, c.log)
	c.t.Logf("%d cuts in %d bytes to the agent and %d to the gang; %d streams lost", cuts, length[0], length[1], c.Lost())
	if c.Lost() < cuts/2 {
		c.t.Errorf("%d streams lost by %d cuts", c.Lost(), cuts)
	}
	if r := c.Refusals(); len(r) > 0 {
		c.t.Errorf("a cut became a refusal, %d times; the first: %v", len(r), r[0])
	}
}
