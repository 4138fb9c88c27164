// Package logs is what the ranks of runs said: line by line, in the order of
// time across ranks, from the cluster as long as the pods are there and from a
// copy on this machine after that.
//
// The copy is made by whoever reads: `logs`, and those who wait for a run. It
// is a cache: bounded, pruned, never sent anywhere, and nobody's proof.
//
// Invariants:
//   - A line is delivered whole or not at all. One that a connection cut is
//     read again, or left out.
//   - A reading begins where a container does, or where another reading of the
//     same container ended: no copy has a hole that the log has not.
//   - Within one container lines stay in the order in which it said them, even
//     where the clock of its node jumps back.
//
// Times are those of the container runtime (CRI, RFC 3339 with nanoseconds):
// the clock of the node.
package logs

import (
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-ai/kubectl-ai/plugin/observe"
	"github.com/kubectl-ai/kubectl-ai/plugin/run"
)

// Line is one line that a container said. Its JSON form is stable.
type Line struct {
	Time      time.Time `json:"time"`
	Run       string    `json:"run"`
	Rank      int       `json:"rank"` // -1: the pod has no number
	Pod       string    `json:"pod"`
	PodUID    string    `json:"-"`
	Container string    `json:"container"`
	// Restart is how often the container had been restarted before.
	Restart int    `json:"restart,omitempty"`
	Text    string `json:"line"`
}

// instance tells the containers of a run apart, and one from itself after it
// was restarted.
func (l Line) instance() string {
	return fmt.Sprintf("%s/%s/%d", l.PodUID, l.Container, l.Restart)
}

// Container is a container that runs the code, up to its next restart.
type Container struct {
	observe.Rank
	Run     string
	Restart int
	Started time.Time
	// Ended: it says nothing more.
	Ended bool
	// Previous: it was restarted since, and the node keeps its log until it is
	// again.
	Previous bool
}

// instance is what its lines have in common.
func (c Container) instance() string { return c.line(time.Time{}, "").instance() }

func (c Container) line(at time.Time, text string) Line {
	return Line{Time: at, Run: c.Run, Rank: c.Index, Pod: c.Pod, PodUID: c.PodUID, Container: c.Rank.Container, Restart: c.Restart, Text: text}
}

// Containers are those of a run's pod that have a log: that started. A
// container that was restarted is there twice.
func Containers(pod *corev1.Pod) []Container {
	var out []Container
	for _, rank := range observe.Ranks(pod, run.CodeContainers(pod)) {
		for _, status := range pod.Status.ContainerStatuses {
			if status.Name != rank.Container {
				continue
			}
			c := Container{Rank: rank, Run: pod.Labels[run.IDLabel], Restart: int(status.RestartCount)}
			if last := status.LastTerminationState.Terminated; last != nil && c.Restart > 0 {
				before := c
				before.Restart, before.Started, before.Ended, before.Previous = c.Restart-1, last.StartedAt.Time, true, true
				out = append(out, before)
			}
			switch {
			case status.State.Running != nil:
				c.Started = status.State.Running.StartedAt.Time
				out = append(out, c)
			case status.State.Terminated != nil && status.ContainerID != "":
				c.Started, c.Ended = status.State.Terminated.StartedAt.Time, true
				out = append(out, c)
			}
		}
	}
	return out
}
