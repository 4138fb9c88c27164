package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/journal"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/session"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

// settled tells who asked for a version what became of it.
func (l *loop) settled(v *session.Version, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if waiting := l.backs[v]; waiting != nil {
		waiting <- err
		delete(l.backs, v)
	}
}

// recordOf is what the journal keeps of a delivery: all ranks that hold its
// tree by now, those of earlier deliveries too. The caller holds the mutex.
func (l *loop) recordOf(d session.Delivery, files int) recorded {
	r := recorded{Delivery: d, files: files}
	for id, receipt := range l.running {
		if receipt.TreeDigest != d.Version.Digest {
			continue
		}
		r.receipts = append(r.receipts, receipt)
		if image := l.images[id]; image.ID != "" && !slices.Contains(r.runtimes, image) {
			r.runtimes = append(r.runtimes, image)
		}
	}
	slices.SortFunc(r.receipts, func(a, b wire.Receipt) int {
		return cmp.Or(cmp.Compare(a.Rank, b.Rank), cmp.Compare(a.Pod, b.Pod), cmp.Compare(a.Container, b.Container))
	})
	return r
}

// imageOf reads from a pod's status what a container runs in.
func imageOf(pod *corev1.Pod, container string) ranIn {
	for _, s := range pod.Status.ContainerStatuses {
		if s.Name == container {
			return ranIn{journal.Runtime{Container: container, Image: s.Image, ID: s.ImageID}, pod.Spec.NodeName}
		}
	}
	return ranIn{}
}

// configPatience is how long nodes may take to say which images they have.
const configPatience = 10 * time.Second

// runtimes adds what the nodes know of the images; configs remembers it.
func (l *loop) runtimes(ctx context.Context, ran []ranIn, configs map[ranIn]string) []journal.Runtime {
	ctx, cancel := context.WithTimeout(ctx, configPatience)
	defer cancel()
	var out []journal.Runtime
	for _, r := range ran {
		config, known := configs[r]
		if !known {
			config = l.t.images.config(ctx, r.node, r.ID)
			configs[r] = config
		}
		r.Config = config
		if !slices.Contains(out, r.Runtime) {
			out = append(out, r.Runtime)
		}
	}
	return out
}

// write records in the journal what was delivered, until the loop ends; ctx
// outlives it.
func (l *loop) write(ctx context.Context) {
	complained := false
	configs := map[ranIn]string{}
	for d := range l.record {
		if d.Adopted {
			if g, _, err := l.journal.Find(d.Generation); err == nil && g.TreeDigest == d.Version.Digest && g.Complete() {
				continue // an earlier dev has recorded it
			}
		}
		g := journal.Generation{
			Generation: d.Generation, TreeDigest: d.Version.Digest, Files: d.files, Time: d.Done.UTC(),
			Ranks: l.ranks, Receipts: d.receipts, Runtimes: l.runtimes(ctx, d.runtimes, configs),
		}
		err := l.journal.Record(g, d.Version.Index, d.Version.Read)
		if err != nil && !errors.Is(err, session.ErrChanged) && !complained {
			complained = true
			l.f.Streams.Talk("the journal is not complete, so that kubectl ai back may not find a generation: %v", err)
		}
	}
}

// control answers kubectl ai back.
func (l *loop) control(ctx context.Context) error {
	path, err := controlSocket(l.f, l.t.rendered, l.t.context)
	if err == nil {
		err = serveControl(ctx, path, func(ctx context.Context, r controlRequest) controlAnswer {
			ctx, cancel := context.WithTimeoutCause(ctx, r.Timeout, fmt.Errorf("not all ranks run generation %d's code; a save may have come in between", r.Back))
			defer cancel()
			receipts, err := l.back(ctx, r.Back)
			if err != nil {
				return controlAnswer{Error: err.Error()}
			}
			return controlAnswer{Receipts: receipts}
		})
	}
	if err != nil {
		l.f.Streams.Talk("%v", err)
	}
	return nil
}

// back delivers an earlier generation to all ranks once more. The next save
// delivers the folder's code again.
func (l *loop) back(ctx context.Context, number uint64) ([]wire.Receipt, error) {
	v, err := restored(l.journal, number, l.cache)
	if err != nil {
		return nil, err
	}
	l.say(devEvent{Kind: "Back", Generation: number, TreeDigest: v.Digest.String()}, "back to generation %d's code", number)
	if err := l.again(ctx, v); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.backTo = number
	return slices.SortedFunc(maps.Values(l.running), func(a, b wire.Receipt) int { return a.Rank - b.Rank }), nil
}

// again delivers a version that ranks may run already, and waits until all do.
func (l *loop) again(ctx context.Context, v *session.Version) error {
	done := make(chan error, 1)
	l.mu.Lock()
	l.backs[v] = done
	l.mu.Unlock()
	l.gang.Publish(ctx, v)
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		l.mu.Lock()
		delete(l.backs, v)
		l.mu.Unlock()
		return context.Cause(ctx)
	}
}
