package promote

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"golang.org/x/sync/errgroup"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

// deletion says how objects go.
type deletion struct {
	// keep gives the reason to leave an object that changed since it was
	// looked at; "" for none.
	keep func(former) string
	// wait says to go on with a group only when all before it are gone, their
	// pods too.
	wait bool
	// done is told after each group what is gone.
	done func(gone map[apply.Ref]bool) error
}

// deleteAll deletes objects group by group, those of a group in parallel. Each
// goes only if it is still the one that was looked at, in the same version. It
// returns what is gone, and a *PruneError for what would not go.
func (p *Promoter) deleteAll(ctx context.Context, doomed []former, d deletion) (map[apply.Ref]bool, error) {
	gone := map[apply.Ref]bool{}
	failed := &PruneError{}
	var mu sync.Mutex
	var errs []error
	fail := func(ref apply.Ref, err error) {
		mu.Lock()
		defer mu.Unlock()
		failed.Refs, errs = append(failed.Refs, ref), append(errs, err)
	}
	for _, group := range lastFirst(doomed) {
		var workers errgroup.Group
		workers.SetLimit(32)
		for _, f := range group {
			workers.Go(func() error {
				went, err := p.deleteOne(ctx, f, d)
				if err != nil {
					fail(f.entry.Ref, err)
				} else if went {
					mu.Lock()
					defer mu.Unlock()
					gone[f.entry.Ref] = true
				}
				return nil
			})
		}
		_ = workers.Wait() // the errors are in their place
		if group[0].entry.Group == "apiextensions.k8s.io" {
			p.Cluster.Mapper.Reset() // what was served is no more
		}
		if ctx.Err() != nil {
			errs = append(errs, context.Cause(ctx))
			break
		}
		if d.done != nil {
			if err := d.done(gone); err != nil {
				errs = append(errs, err)
				break
			}
		}
		if d.wait && len(errs) > 0 {
			break
		}
	}
	if len(errs) == 0 {
		return gone, nil
	}
	failed.Err = errors.Join(errs...)
	return gone, failed
}

// tries is how often an object that others write to is looked at again.
const tries = 5

// deleteOne says whether the object is gone, or is not ours any more.
func (p *Promoter) deleteOne(ctx context.Context, f former, d deletion) (bool, error) {
	ref, id := f.entry.Ref, p.id()
	for try := 0; ; try++ {
		lingers, err := p.delete(ctx, f.live, d.wait)
		switch {
		case err == nil && lingers && d.wait:
			err := p.Cluster.Gone(ctx, ref, f.live.GetUID())
			return err == nil, err
		case err == nil, apierrors.IsNotFound(err), isUnserved(err):
			return true, nil
		case !apierrors.IsConflict(err) || try == tries:
			return false, &apply.ObjectError{Action: "delete", Ref: ref, Err: err}
		}
		// Somebody wrote to it, or made it anew.
		live, err := p.Cluster.Get(ctx, ref)
		switch {
		case apierrors.IsNotFound(err):
			return true, nil
		case err != nil:
			return false, &apply.ObjectError{Action: "read", Ref: ref, Err: err}
		case live.GetUID() != f.live.GetUID():
			return true, nil
		case live.GetLabels()[release.PartOf] != id && f.live.GetLabels()[release.PartOf] == id:
			p.Reporter.Note("%s stays: it is not ours any more", ref.Short())
			return true, nil
		}
		f.live = live
		if reason := d.keep(f); reason != "" {
			p.Reporter.Note("%s stays: %s", ref.Short(), reason)
			return false, nil
		}
	}
}

// delete deletes exactly this object in exactly this version. It says whether
// the object lingers: it has finalizers, or pods, which end in their own time.
func (p *Promoter) delete(ctx context.Context, live *unstructured.Unstructured, pods bool) (lingers bool, err error) {
	resource, err := p.resource(live)
	if err != nil {
		return false, err
	}
	ref := apply.RefOf(live)
	propagation := metav1.DeletePropagationBackground
	if pods && apply.StageOf(ref) >= apply.StageWorkloads {
		propagation = metav1.DeletePropagationForeground
	}
	uid, version := live.GetUID(), live.GetResourceVersion()
	err = resource.Delete(ctx, live.GetName(), metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &uid, ResourceVersion: &version}, PropagationPolicy: &propagation,
	})
	return propagation == metav1.DeletePropagationForeground || len(live.GetFinalizers()) > 0 || isNamespace(ref), err
}

func (p *Promoter) resource(obj *unstructured.Unstructured) (dynamic.ResourceInterface, error) {
	gvr, namespaced, err := p.Cluster.Resource(obj.GroupVersionKind())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", apply.RefOf(obj), err)
	}
	if namespaced {
		return p.Cluster.Dynamic.Resource(gvr).Namespace(obj.GetNamespace()), nil
	}
	return p.Cluster.Dynamic.Resource(gvr), nil
}

// definitions reads the CRDs among the objects as a whole: what they define
// decides about other objects, and the LISTs of a plan have only metadata.
func (p *Promoter) definitions(ctx context.Context, formers []former) error {
	for i, f := range formers {
		if f.entry.Group != "apiextensions.k8s.io" || f.live.Object["spec"] != nil {
			continue
		}
		live, err := p.Cluster.Get(ctx, f.entry.Ref)
		switch {
		case apierrors.IsNotFound(err):
		case err != nil:
			return &apply.ObjectError{Action: "read", Ref: f.entry.Ref, Err: err}
		case live.GetUID() == f.live.GetUID():
			formers[i].live = live
		}
	}
	return nil
}

// lastFirst puts objects into the order in which they go: the stages
// backwards, but first what could stop the others from going: webhooks and
// policies, whose servers go too, and objects of CRDs that go, whose
// finalizers need their operator.
func lastFirst(doomed []former) [][]former {
	defined := map[schema.GroupKind]bool{}
	for _, f := range doomed {
		if f.entry.Group == "apiextensions.k8s.io" {
			group, _, _ := unstructured.NestedString(f.live.Object, "spec", "group")
			kind, _, _ := unstructured.NestedString(f.live.Object, "spec", "names", "kind")
			defined[schema.GroupKind{Group: group, Kind: kind}] = true
		}
	}
	groups := make([][]former, apply.StageJobs+3)
	for _, f := range doomed {
		place := int(apply.StageJobs-apply.StageOf(f.entry.Ref)) + 2
		switch {
		case f.entry.Group == "admissionregistration.k8s.io":
			place = 0
		case defined[f.entry.GroupKind()]:
			place = 1
		}
		groups[place] = append(groups[place], f)
	}
	var out [][]former
	for _, g := range groups {
		if len(g) > 0 {
			out = append(out, g)
		}
	}
	return out
}

func isUnserved(err error) bool {
	var unserved *apply.UnservedError
	return errors.As(err, &unserved)
}

func isNamespace(r apply.Ref) bool { return r.Group == "" && r.Kind == "Namespace" }
