package promote

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/gate"
)

// posted is what the trainer of a TrainJob posted last, as a line of a log with
// its time: one status for all ranks. It is "" for every other object, and
// where nothing was posted or the controller keeps nothing. Source: Kubeflow
// Trainer KEP-2779 (TrainerStatus of v1alpha1, feature gate TrainJobStatus).
func posted(obj *unstructured.Unstructured) string {
	if !isTrainJob(obj.GroupVersionKind().GroupKind()) {
		return ""
	}
	status, _, _ := unstructured.NestedMap(obj.Object, "status", "trainerStatus")
	at, _ := status["lastUpdatedTime"].(string)
	if at == "" {
		return ""
	}
	raw, err := json.Marshal(map[string]any{"trainerStatus": status})
	if err != nil {
		return ""
	}
	return at + " " + string(raw)
}

// postedTo names where it was posted, as a rank's container is named.
func postedTo(ref apply.Ref) string { return ref.Namespace + "/" + ref.Kind + "/" + ref.Name }

// posts tells what is posted to the TrainJobs of the release, from now on.
func (l *listener) posts(ctx context.Context, group *errgroup.Group, say func(report)) {
	for _, obj := range l.trainJobs() {
		ref := apply.RefOf(obj)
		group.Go(func() error {
			err := l.Cluster.Watch(ctx, ref, func(live *unstructured.Unstructured) { tellPosted(live, say) })
			if err != nil {
				return fmt.Errorf("watch %s: %w", ref, err)
			}
			return nil
		})
	}
}

// readPosts tells what was posted last.
func (l *listener) readPosts(ctx context.Context, say func(report)) error {
	for _, obj := range l.trainJobs() {
		live, err := l.Cluster.Get(ctx, apply.RefOf(obj))
		if apierrors.IsNotFound(err) {
			continue // it was removed after its end; what was heard stays
		}
		if err != nil {
			return err
		}
		tellPosted(live, say)
	}
	return nil
}

func tellPosted(live *unstructured.Unstructured, say func(report)) {
	if live == nil {
		return
	}
	if line := posted(live); line != "" {
		say(report{pod: postedTo(apply.RefOf(live)), line: line})
	}
}

// SamplePosted takes in what was posted of a metric to a TrainJob of the newest
// release that has one and that tree.
func (p *Promoter) SamplePosted(ctx context.Context, s *gate.Sample, metric, tree string) error {
	records, err := p.Store.List(ctx)
	if err != nil {
		return err
	}
	for _, record := range slices.Backward(records) {
		for _, w := range record.Workloads {
			if record.TreeDigest != tree || !isTrainJob(w.Object.GroupKind()) {
				continue
			}
			live, err := p.Cluster.Get(ctx, w.Object)
			if apierrors.IsNotFound(err) {
				continue
			}
			if err != nil {
				return err
			}
			if s.Line(posted(live), metric, time.Time{}, time.Time{}); s.Reported {
				s.Rank, s.Pod = 0, postedTo(w.Object)
				return nil
			}
		}
	}
	return nil
}

func (l *listener) trainJobs() (out []*unstructured.Unstructured) {
	for _, obj := range l.plan.waited {
		if isTrainJob(obj.GroupVersionKind().GroupKind()) {
			out = append(out, obj)
		}
	}
	return out
}

func isTrainJob(kind schema.GroupKind) bool {
	return kind == schema.GroupKind{Group: "trainer.kubeflow.org", Kind: "TrainJob"}
}
