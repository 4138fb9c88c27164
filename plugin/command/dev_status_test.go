package command

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/journal"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/session"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

func TestStatusLine(t *testing.T) {
	running := func(change func(*devStatus)) devStatus {
		s := newDevStatus(2)
		s.running, s.generation, s.digest = 2, 7, "da7a0a0cbde9"
		s.pods["a"], s.pods["b"] = rankHolding{}, rankHolding{}
		change(&s)
		return s
	}
	for _, test := range []struct {
		name         string
		status       devStatus
		strong, rest string
	}{
		{"before any pod", newDevStatus(2), "waiting for pods", " · 0/2 ranks · ? keys"},
		{"ranks that ran the code already", running(func(*devStatus) {}), "", "following · 2/2 ranks · gen 7 · da7a0a0cbde9 · ? keys"},
		{"a save", running(func(s *devStatus) {
			s.verified, s.are, s.done = 8*time.Millisecond, "running", 22*time.Millisecond
		}), "", "following · 2/2 ranks · gen 7 · da7a0a0cbde9 · verified 8 ms, running 22 ms · ? keys"},
		{"GPUs are counted over ranks", running(func(s *devStatus) {
			s.pods["a"], s.pods["b"] = rankHolding{gpus: 2}, rankHolding{gpus: 1}
		}), "", "following · 2/2 ranks · gen 7 · da7a0a0cbde9 · 3 GPUs · ? keys"},
		{"a lost rank", running(func(s *devStatus) {
			s.lost["a"] = session.Rank{Name: "x-1/main", Index: 1}
			s.lost["b"] = session.Rank{Name: "y/main", Index: -1}
		}), "lost y/main, rank 1", " · 2/2 ranks · gen 7 · da7a0a0cbde9 · ? keys"},
		{"paused", running(func(s *devStatus) { s.paused = true }), "paused", " · 2/2 ranks · gen 7 · da7a0a0cbde9 · ? keys"},
		{"paused while a pod is replaced", running(func(s *devStatus) {
			s.paused, s.changed, s.running = true, 3, 1
			delete(s.pods, "a")
		}), "waiting for pods · paused, 3 files changed", " · 1/2 ranks · gen 7 · da7a0a0cbde9 · ? keys"},
		{"a save that was refused", running(func(s *devStatus) { s.refused = true }), "last save not delivered", " · 2/2 ranks · gen 7 · da7a0a0cbde9 · ? keys"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if strong, rest := test.status.words(); strong != test.strong || rest != test.rest {
				t.Errorf("%q, %q, want %q, %q", strong, rest, test.strong, test.rest)
			}
		})
	}
}

func TestOnlyTheRanksContainerHoldsItsGPUs(t *testing.T) {
	requests := func(pairs map[string]string) corev1.ResourceRequirements {
		list := corev1.ResourceList{}
		for name, n := range pairs {
			list[corev1.ResourceName(name)] = resource.MustParse(n)
		}
		return corev1.ResourceRequirements{Requests: list}
	}
	pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{
		{Name: "main", Resources: requests(map[string]string{"cpu": "3", "nvidia.com/gpu": "2", "amd.com/gpu": "1"})},
		{Name: "other", Resources: requests(map[string]string{"nvidia.com/gpu": "4"})},
	}}}
	if got := holding(pod, "main").gpus; got != 3 {
		t.Errorf("%d GPUs, want 3", got)
	}
}

func TestTheCodeBefore(t *testing.T) {
	// What ran, a letter a generation, the first is generation 1.
	history := func(codes string) (all []journal.Generation) {
		for i, code := range []byte(codes) {
			all = append(all, journal.Generation{Generation: uint64(i + 1), TreeDigest: tree.Digest{code}})
		}
		return all
	}
	for _, test := range []struct {
		name  string
		codes string
		now   byte
		from  uint64
		want  uint64 // 0: there is none
	}{
		{"the one before", "ab", 'b', 0, 1},
		{"restarts of the same code are passed over", "abbb", 'b', 0, 1},
		{"the journal has not got the last one yet", "ab", 'c', 0, 2},
		{"a second step goes on from where the first led", "abcb", 'b', 2, 1},
		{"a third one finds the beginning", "abcba", 'a', 1, 0},
		{"after a save the steps begin anew", "abcbd", 'd', 0, 4},
		{"an empty journal", "", 'a', 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, found := before(history(test.codes), tree.Digest{test.now}, test.from)
			if got != test.want || found != (test.want != 0) {
				t.Errorf("generation %d, %t, want %d", got, found, test.want)
			}
		})
	}
}
