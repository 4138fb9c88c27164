package live

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/logs"
	"github.com/kubectl-ai/kubectl-ai/plugin/observe"
	"github.com/kubectl-ai/kubectl-ai/plugin/run"
)

// voice is what one rank said.
type voice struct {
	said      run.Record
	container string    // ID of the one whose log was read, or is
	last      time.Time // of the last line
	reading   bool
	whole     bool // that container's log was read to its end
}

// listen follows the logs of containers that have started and are not followed,
// but for those of runs whose record is complete.
func (w *Watcher) listen(ctx context.Context, followers *sync.WaitGroup) {
	w.mu.Lock()
	defer w.mu.Unlock()
	complete := map[string]bool{}
	for i := range w.records {
		if r := &w.records[i]; r.Done() && len(r.Read) > 0 {
			complete[r.ID] = true
		}
	}
	for _, pod := range w.pods {
		id := runOf(pod)
		for _, rank := range ranksOf(pod) {
			i := slices.IndexFunc(pod.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool { return c.Name == rank.Container })
			if i < 0 || pod.Status.ContainerStatuses[i].ContainerID == "" {
				continue
			}
			status := pod.Status.ContainerStatuses[i]
			if status.State.Running == nil && status.State.Terminated == nil {
				continue
			}
			key := rank.PodUID + "/" + rank.Container
			v := w.voices[key]
			if v == nil {
				if complete[id] {
					continue
				}
				v = &voice{said: run.Record{Phase: apply.Running}}
				w.voices[key] = v
			}
			if v.reading || v.container == status.ContainerID && v.whole {
				continue
			}
			v.container, v.reading, v.whole = status.ContainerID, true, false
			ended, since := status.State.Terminated != nil, v.last
			followers.Go(func() {
				err := observe.Tail(ctx, w.Client, w.Namespace, rank, since, func(at time.Time, line string) {
					if w.Heard != nil && pod.Labels[run.IDLabel] != "" {
						w.Heard(logs.Line{Time: at, Run: id, Rank: rank.Index, Pod: rank.Pod, PodUID: rank.PodUID, Container: rank.Container, Restart: int(status.RestartCount), Text: line})
					}
					w.heard(v, id, rank, at, line)
				})
				w.mu.Lock()
				v.reading = false
				// A log that ends under a container that runs was cut off: it is
				// read on. So is one that cannot be read.
				v.whole = err == nil && ended
				w.mu.Unlock()
			})
		}
	}
}

// heard takes in a line.
func (w *Watcher) heard(v *voice, id string, rank observe.Rank, at time.Time, line string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	v.last = at
	index := max(rank.Index, 0)
	words := v.said.Line(at, index, line, w.Metrics)
	all := w.told[id]
	if all == nil {
		all = &run.Record{Phase: apply.Running}
		w.told[id] = all
	}
	all.Line(at, index, line, w.Metrics)
	if words.Report != nil {
		wake(w.changed)
	}
}

// runOf names what a pod's ranks belong to: the ID of a run, or the workload
// that dev works on.
func runOf(pod *corev1.Pod) string {
	if id := pod.Labels[run.IDLabel]; id != "" {
		return id
	}
	for _, owner := range pod.OwnerReferences {
		if owner.Controller != nil && *owner.Controller {
			// A Deployment's pods are those of a ReplicaSet that it named so.
			if name, ok := strings.CutSuffix(owner.Name, "-"+pod.Labels["pod-template-hash"]); ok && owner.Kind == "ReplicaSet" {
				return "Deployment/" + name
			}
			return owner.Kind + "/" + owner.Name
		}
	}
	return "Pod/" + pod.Name
}
