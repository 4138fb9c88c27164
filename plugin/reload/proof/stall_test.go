package proof

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/reloadtest"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

func TestAStreamThatFallsSilentConverges(t *testing.T) {
	c := newCuttable(t, reloadtest.Options{Heartbeat: quick}, reloadtest.PodOptions{Heartbeat: quick})
	length := c.length(c.edit)
	for i := range int64(reloadtest.Size(4, 80)) {
		for to := range length {
			c.connected()
			c.pod.Line.Arm(reloadtest.Fault{Toward: reloadtest.Toward(to), After: length[to] * i / int64(reloadtest.Size(4, 80)), Stall: true})
			c.edit()
			c.converge()
			c.pod.Line.Disarm()
			c.pod.Line.CutStalled() // both ends have given them up
		}
	}
	checkStamps(t, c.log)
}

func TestAnIdleStreamThatFallsSilentIsReplaced(t *testing.T) {
	c := newCuttable(t, reloadtest.Options{Heartbeat: quick}, reloadtest.PodOptions{Heartbeat: quick})
	for i := range 3 {
		c.pod.Line.Stall()
		reloadtest.Await(t, func() string {
			if c.Lost() <= i {
				return "the gang has not noticed"
			}
			return ""
		})
		c.edit()
		c.converge()
	}
}

// The other end falls silent before it has said HELLO.
func TestADialThatFallsSilentIsGivenUp(t *testing.T) {
	for _, at := range []reloadtest.Fault{
		{Toward: reloadtest.ToAgent, Stall: true},
		{Toward: reloadtest.ToAgent, After: 30, Stall: true},
		{Toward: reloadtest.ToGang, Stall: true},
		{Toward: reloadtest.ToGang, After: 30, Stall: true},
	} {
		t.Run(fmt.Sprintf("%d bytes toward %d", at.After, at.Toward), func(t *testing.T) {
			t.Parallel()
			c := newCuttable(t, reloadtest.Options{Heartbeat: quick}, reloadtest.PodOptions{Heartbeat: quick})
			c.connected()
			c.pod.Line.ArmNext(at)
			c.pod.Line.Cut()
			c.edit()
			c.converge()
		})
	}
}

// One frame takes several times longer than a silent end is waited for: bytes
// that move are a sign of life.
func TestAFrameThatTakesLongToComeIsNoSilence(t *testing.T) {
	beat := wire.Heartbeat{Every: 250 * time.Millisecond, Lost: time.Second}
	content := make([]byte, 100<<10) // a single frame
	_, _ = rand.NewChaCha8([32]byte{}).Read(content)
	pod := reloadtest.StartPod(t, reloadtest.PodOptions{Heartbeat: beat})
	l := reloadtest.StartLaptop(t, reloadtest.Options{Still: true, Heartbeat: beat}, pod)
	stamp(t, l.Dir, 0)
	l.Publish()
	l.Settle()
	pod.Line.Slow(reloadtest.ToAgent, reloadtest.Rate{Bytes: 1 << 10, Pause: 40 * time.Millisecond})
	save(t, l.Dir, "weights", string(content))
	l.Publish()
	l.Settle()
	if l.Lost() > 0 {
		t.Errorf("%d streams lost while a frame came", l.Lost())
	}
}

// The agent holds on to the silent stream for longer than the laptop does, as
// it may with any times: the two do not count from the same moment. It must
// not tell the laptop that another client is connected.
func TestAClientIsNotLockedOutByItsOwnDeadStream(t *testing.T) {
	agents := wire.Heartbeat{Every: quick.Every, Lost: 10 * quick.Lost}
	c := newCuttable(t, reloadtest.Options{Heartbeat: quick}, reloadtest.PodOptions{Heartbeat: agents})
	c.pod.Line.Stall()
	c.edit()
	c.converge()
}

// A process takes longer to stop than a silent rank is waited for: training
// code writes a checkpoint when it is told to end.
func TestAProcessThatIsSlowToStopIsNoLostRank(t *testing.T) {
	// A busy machine delays a beat by more than quick waits.
	beat := wire.Heartbeat{Every: 100 * time.Millisecond, Lost: time.Second}
	slow := reloadtest.Script(`exec 2>/dev/null; trap 'sleep 3; exit 0' TERM; while :; do sleep 0.05; done`)
	pod := reloadtest.StartPod(t, reloadtest.PodOptions{Argv: slow, Grace: 30 * time.Second, Heartbeat: beat})
	l := reloadtest.StartLaptop(t, reloadtest.Options{Still: true, Heartbeat: beat}, pod)
	for n := range 2 {
		stamp(t, l.Dir, n)
		l.Publish()
		l.Settle()
	}
	if l.Lost() > 0 {
		t.Errorf("%d streams lost while the process stopped", l.Lost())
	}
}

// An answer that does not fit into the buffers of a silent stream must not
// hold the agent for good.
func TestAnAgentThatCannotAnswerLetsGo(t *testing.T) {
	pod := reloadtest.StartPod(t, reloadtest.PodOptions{Heartbeat: quick})
	l := reloadtest.StartLaptop(t, reloadtest.Options{Still: true, Heartbeat: quick}, pod)
	stamp(t, l.Dir, 0)
	l.Publish()
	l.Settle()
	for i := range 3000 { // NEED names 3,000 contents
		save(t, l.Dir, fmt.Sprintf("many/%d", i), fmt.Sprint(i))
	}
	pod.Line.Arm(reloadtest.Fault{Toward: reloadtest.ToGang, After: 100, Stall: true})
	l.Publish()
	l.Settle()
}
