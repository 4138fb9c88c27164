// Package reloadtest sets up both ends of the reload engine inside one test:
// a Laptop, which is a folder of code with the gang that follows it, and Pods,
// which are agents with a volume and a supervised process each, joined by
// Lines that a test can cut, hold and stall.
//
// What a pod holds is compared by Sum, which follows the definition of a
// tree's digest in package tree's documentation and shares no code with it.
//
// Nothing here measures time. Deadlines only end what hangs.
package reloadtest

import (
	"os"
	"os/signal"
	"syscall"
	"testing"
	"time"
)

// Deadline ends a wait that will not come to its end.
const Deadline = 60 * time.Second

// Soak tells whether tests run at full size.
func Soak() bool { return os.Getenv("KUBECTL_AI_SOAK") != "" }

// Size returns how much of something a test does: full with
// KUBECTL_AI_SOAK=1, else sample.
func Size(sample, full int) int {
	if Soak() {
		return full
	}
	return sample
}

// Await polls until what was asked for is there, and fails the test with what
// it lacks when that takes too long. Missing is "" when all is there.
func Await(t testing.TB, missing func() string) {
	t.Helper()
	deadline := time.Now().Add(Deadline)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		lack := missing()
		if lack == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after %v: %s", Deadline, lack)
		}
		<-tick.C
	}
}

// HearHangups makes programs that tests start hear SIGHUP, also where whoever
// started the tests ignores it, as nohup does: a signal that a shell ignores
// from its start cannot be trapped.
func HearHangups() { signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP) }
