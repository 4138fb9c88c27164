package promote

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
)

// Manager is the field manager of promoted objects.
const Manager = "kubectl-ai"

// Labels and annotations of promoted objects.
const (
	ProjectLabel     = "kubectl-ai.dev/project"     // on objects and pods: the project's name
	DigestAnnotation = "kubectl-ai.dev/tree-digest" // on pods: the code in them
)

// Mark labels every object and pod as the project's and pods with their code.
func Mark(objects []*unstructured.Unstructured, project string, digest tree.Digest) error {
	for _, obj := range objects {
		labels := obj.GetLabels()
		if labels == nil {
			labels = map[string]string{}
		}
		labels[ProjectLabel] = project
		obj.SetLabels(labels)
		templates, err := workload.Templates(obj)
		if err != nil {
			return err
		}
		for _, t := range templates {
			t.Label(ProjectLabel, project)
			t.Annotate(DigestAnnotation, digest.String())
		}
	}
	return nil
}

// BundleDigest identifies the objects as they are applied.
func BundleDigest(objects []*unstructured.Unstructured) (string, error) {
	h := sha256.New()
	for _, obj := range objects {
		if err := json.NewEncoder(h).Encode(obj.Object); err != nil {
			return "", fmt.Errorf("digest of the bundle: %w", err)
		}
	}
	return fmt.Sprintf("sha256:%x", h.Sum(nil)), nil
}

// Plan is what a promotion will do.
type Plan struct {
	*apply.Plan
	Release release.Release
	Objects []*unstructured.Unstructured
	// Active are earlier Jobs that still run and are left running.
	Active []release.Item
	before []release.Release
}

// Nothing says that the cluster is where the bundle wants it already.
func (p *Plan) Nothing() bool {
	current, ok := release.Current(p.before)
	return ok && !p.Writes() && current.BundleDigest == p.Release.BundleDigest && current.Revision == p.before[len(p.before)-1].Revision
}

// Target is the cluster that is promoted to.
type Target struct {
	Apply    *apply.Client
	Releases *release.Store
	Reporter apply.Reporter
}

// EmptyError says that a bundle renders nothing while a release owns
// something: applying it would remove all of that.
type EmptyError struct{ Owned int }

func (e *EmptyError) Error() string {
	return fmt.Sprintf("the bundle renders no objects, and the current release owns %d", e.Owned)
}

// never are kinds that are not pruned unasked: data, and what others live in.
var never = []string{"Namespace", "CustomResourceDefinition", "PersistentVolumeClaim", "PersistentVolume"}

// Plan compares the objects with the cluster. It writes nothing. All
// objections come back together.
func (t *Target) Plan(ctx context.Context, objects []*unstructured.Unstructured, r release.Release) (*Plan, error) {
	before, err := t.Releases.List(ctx)
	if err != nil {
		return nil, err
	}
	owned := release.Owned(before)
	if len(objects) == 0 {
		return nil, &EmptyError{len(owned)}
	}
	mine := map[string]bool{}
	for _, item := range owned {
		mine[item.Key()] = true
	}
	plan, err := t.Apply.Diff(ctx, objects, apply.Options{Manager: Manager, Owned: func(live *unstructured.Unstructured) bool {
		// A namespace may be there before the first release; it is adopted,
		// and never removed.
		return live.GetKind() == "Namespace" || mine[release.ItemOf(live).Key()] || live.GetLabels()[ProjectLabel] == r.Project
	}})
	if err != nil {
		return nil, err
	}
	p := &Plan{Plan: plan, Release: r, Objects: objects, before: before}
	if err := errors.Join(plan.Immutables()...); err != nil {
		return nil, err
	}
	if p.Release.BundleDigest, err = BundleDigest(objects); err != nil {
		return nil, err
	}
	return p, t.prune(ctx, p, owned)
}

// prune adds what the last release owned and the bundle no longer renders.
func (t *Target) prune(ctx context.Context, p *Plan, owned []release.Item) error {
	wanted := map[string]bool{}
	for _, obj := range p.Objects {
		wanted[release.ItemOf(obj).Key()] = true
	}
	for _, item := range owned {
		if wanted[item.Key()] || slices.Contains(never, item.Kind) {
			continue
		}
		live, err := t.Apply.Get(ctx, apply.RefOf(item.Object()))
		if apierrors.IsNotFound(err) {
			continue
		}
		if err != nil {
			return fmt.Errorf("read %s/%s: %w", item.Kind, item.Name, err)
		}
		switch {
		case live.GetUID() != item.UID: // made anew by somebody else: not ours
		case item.Kind == "Job" && !Finished(live):
			p.Active = append(p.Active, item)
		default:
			p.AddPrune(live)
		}
	}
	return nil
}

// Finished tells whether a Job is complete or failed.
func Finished(job *unstructured.Unstructured) bool {
	conditions, _, _ := unstructured.NestedSlice(job.Object, "status", "conditions")
	for _, c := range conditions {
		m, ok := c.(map[string]any)
		if ok && m["status"] == "True" && (m["type"] == string(batchv1.JobComplete) || m["type"] == string(batchv1.JobFailed)) {
			return true
		}
	}
	return false
}

// Run carries the plan out: apply, prune, wait, record. A failure is recorded
// as well, so that what it wrote is owned; the current release stays.
func (t *Target) Run(ctx context.Context, p *Plan, timeout time.Duration) (*release.Release, error) {
	r := p.Release
	r.When = time.Now().UTC().Truncate(time.Second)
	receipts, err := t.Apply.Apply(ctx, p.Plan, apply.Options{Manager: Manager}, t.Reporter)
	r.Objects = p.Objects
	for _, obj := range p.Objects {
		if receipt, ok := receipts[apply.RefOf(obj)]; ok {
			item := release.ItemOf(obj)
			item.UID = receipt.UID
			r.Inventory = append(r.Inventory, item)
		}
	}
	r.Inventory = append(r.Inventory, p.Active...)
	if err == nil {
		waiting, cancel := context.WithTimeout(ctx, timeout)
		err = t.Apply.Wait(waiting, p.Objects, apply.WaitOptions{PodSelector: ProjectLabel + "=" + r.Project}, t.Reporter)
		cancel()
	}
	if err == nil {
		err = t.pruneNow(ctx, p)
	}
	r.Status = release.Deployed
	if err != nil {
		r.Status, r.Reason = release.Failed, strings.SplitN(err.Error(), "\n", 2)[0]
	}
	// What was written is recorded even when the user has lost patience.
	recording, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second)
	defer cancel()
	if saveErr := t.Releases.Save(recording, &r, p.before); saveErr != nil {
		return nil, errors.Join(err, saveErr)
	}
	return &r, err
}

// pruneNow deletes, last, what the release no longer holds.
func (t *Target) pruneNow(ctx context.Context, p *Plan) error {
	for _, c := range p.Changes {
		if c.Action != apply.Prune {
			continue
		}
		if _, err := t.Apply.Delete(ctx, c.Ref, c.Live.GetUID()); err != nil {
			return fmt.Errorf("prune %s: %w", c.Ref.Short(), err)
		}
	}
	return nil
}

// Restore returns the objects of an earlier release as they are applied now.
// A Job that has ended, or is gone, is run again under a new name: rolling a
// Job back is a new run.
func (t *Target) Restore(ctx context.Context, r release.Release, revision int) ([]*unstructured.Unstructured, error) {
	var objects []*unstructured.Unstructured
	for _, obj := range r.Objects {
		objects = append(objects, obj.DeepCopy())
	}
	for _, obj := range objects {
		if obj.GetKind() != "Job" {
			continue
		}
		live, err := t.Apply.Get(ctx, apply.RefOf(obj))
		if err != nil && !apierrors.IsNotFound(err) {
			return nil, fmt.Errorf("read Job/%s: %w", obj.GetName(), err)
		}
		if err == nil && !Finished(live) {
			continue // it still runs
		}
		Rename(objects, obj, fmt.Sprintf("r%d", revision))
	}
	return objects, nil
}
