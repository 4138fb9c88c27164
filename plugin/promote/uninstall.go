package promote

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/preflight"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

// Removal is all that an uninstall would do.
type Removal struct {
	// Delete lists the objects that go, in the order in which they go.
	Delete []apply.Ref
	// Kept lists what stays, with the reason.
	Kept []Kept

	doomed []former
	shared []former // namespaces that were there before, and lose our fields
	home   *former  // the namespace of the record, when it goes: the very last
	state  *release.State
	locked bool // a run that died left its lock
	ending types.UID
}

// Nothing says that nothing of the project is there.
func (r *Removal) Nothing() bool {
	return !r.state.Exists() && !r.locked && r.ending == "" && len(r.doomed) == 0
}

const wasThere = "it was there before the first release"

// AllData is the name that stands for all data.
const AllData = "all"

// PlanUninstall finds out what taking the project from its target would
// delete, and whether that is permitted, and writes nothing. data names what would be kept otherwise, as
// Kind/name, or AllData: volume claims, CRDs that have objects of others, and
// namespaces that a release made and that hold something of others. What
// carries a keep annotation, or is another's, or was there before the first
// release, is kept unless it is named itself.
func (p *Promoter) PlanUninstall(ctx context.Context, data []string) (removal *Removal, err error) {
	p.Reporter.Start("Look at " + p.Target.Context)
	defer func() { p.Reporter.End(err) }()
	r := &Removal{}
	ref := apply.Ref{Kind: "Namespace", Name: p.Target.Namespace}
	home, err := p.Cluster.Get(ctx, ref)
	switch {
	case apierrors.IsNotFound(err), apierrors.IsForbidden(err):
	case err != nil:
		return nil, fmt.Errorf("read namespace %s: %w", ref.Name, err)
	case home.GetDeletionTimestamp() != nil:
		r.ending = home.GetUID() // by an uninstall that died, or by somebody else
	}
	if r.state, err = p.Store.Load(ctx); err != nil {
		return nil, err
	}
	holder, _, err := p.Store.Held(ctx)
	if err != nil {
		return nil, err
	}
	r.locked = holder != nil
	formers, err := p.formers(ctx, &Plan{state: r.state, members: p.Cluster.Members(release.PartOf + "=" + p.id())})
	if err != nil {
		return nil, err
	}
	if err := p.definitions(ctx, formers); err != nil {
		return nil, err
	}
	claims, err := p.claims(ctx, formers)
	if err != nil {
		return nil, err
	}
	r.state.AddClaims(claims)
	found, err := p.liveClaims(ctx, r.state.Claims)
	if err != nil {
		return nil, err
	}
	if err := p.sort(ctx, r, append(formers, found...), data); err != nil {
		return nil, err
	}
	if _, ok := r.state.Find(ref); !ok && r.state.Exists() && home != nil {
		r.Kept = append(r.Kept, Kept{Entry: release.Entry{Ref: ref}, Reason: wasThere})
	}
	if r.Nothing() || r.ending != "" {
		return r, nil
	}
	check := preflight.Check{Client: p.Cluster, Project: p.Target.Project, Environment: p.Target.Environment, Namespace: p.Target.Namespace}
	return r, check.Permitted(ctx, preflight.Removal{Deleted: r.Delete, Disowned: refsOf(r.shared)})
}

func refsOf(formers []former) []apply.Ref {
	var out []apply.Ref
	for _, f := range formers {
		out = append(out, f.entry.Ref)
	}
	return out
}

// sort decides what goes. Namespaces come last: whether one goes depends on
// what stays in it.
func (p *Promoter) sort(ctx context.Context, r *Removal, formers []former, data []string) error {
	var namespaces []former
	for _, f := range formers {
		if isNamespace(f.entry.Ref) {
			namespaces = append(namespaces, f)
			continue
		}
		reason, err := p.reasonToStay(ctx, f, formers, data)
		if err != nil {
			return err
		}
		if reason != "" {
			r.Kept = append(r.Kept, Kept{Entry: f.entry, Reason: reason})
			continue
		}
		r.doomed = append(r.doomed, f)
	}
	for _, f := range namespaces {
		reason, err := p.reasonForNamespace(ctx, f, r.doomed, data)
		if err != nil {
			return err
		}
		switch {
		case reason != "":
			r.Kept = append(r.Kept, Kept{Entry: f.entry, Reason: reason})
			if !f.entry.Made { // one that we made stays marked as such
				r.shared = append(r.shared, f)
			}
		case f.entry.Name == p.Target.Namespace:
			r.home = &f
		default:
			r.doomed = append(r.doomed, f)
		}
	}
	for _, group := range lastFirst(r.doomed) {
		for _, f := range group {
			r.Delete = append(r.Delete, f.entry.Ref)
		}
	}
	if r.home != nil {
		r.Delete = append(r.Delete, r.home.entry.Ref)
	}
	return nil
}

// isNamed says whether an object was named among the data to delete.
func isNamed(ref apply.Ref, data []string) bool {
	return slices.Contains(data, ref.Short())
}

func isData(ref apply.Ref) bool {
	switch ref.Kind {
	case "PersistentVolumeClaim", "PersistentVolume", "Namespace":
		return ref.Group == ""
	case "CustomResourceDefinition":
		return ref.Group == "apiextensions.k8s.io"
	}
	return false
}

func (p *Promoter) reasonToStay(ctx context.Context, f former, formers []former, data []string) (string, error) {
	ref := f.entry.Ref
	if isNamed(ref, data) {
		return "", nil
	}
	if reason := reasonOfOthers(f.live); reason != "" {
		return reason, nil
	}
	all := slices.Contains(data, AllData)
	switch {
	case all || !isData(ref):
		return "", nil
	case ref.Group == "":
		return "it holds data", nil
	}
	return p.strangers(ctx, f, formers)
}

// strangers says whether objects of a CRD are there that do not go with it.
func (p *Promoter) strangers(ctx context.Context, crd former, formers []former) (string, error) {
	group, _, _ := unstructured.NestedString(crd.live.Object, "spec", "group")
	plural, _, _ := unstructured.NestedString(crd.live.Object, "spec", "names", "plural")
	ours := map[types.UID]bool{}
	for _, f := range formers {
		ours[f.live.GetUID()] = true
	}
	versions, _, _ := unstructured.NestedSlice(crd.live.Object, "spec", "versions")
	for _, v := range versions {
		m, _ := v.(map[string]any)
		if m["served"] != true {
			continue
		}
		gvr := schema.GroupVersionResource{Group: group, Version: fmt.Sprint(m["name"]), Resource: plural}
		list, err := p.Cluster.Dynamic.Resource(gvr).List(ctx, metav1.ListOptions{})
		if err != nil {
			return "", fmt.Errorf("list %s: %w", gvr.Resource, err)
		}
		n := 0
		for i := range list.Items {
			if !ours[list.Items[i].GetUID()] {
				n++
			}
		}
		if n > 0 {
			return fmt.Sprintf("%d objects of it are not of this release", n), nil
		}
		return "", nil
	}
	return "no version of it is served, so nobody can say what it holds", nil
}

func (p *Promoter) reasonForNamespace(ctx context.Context, f former, doomed []former, data []string) (string, error) {
	if isNamed(f.entry.Ref, data) {
		return "", nil
	}
	if !f.entry.Made {
		return wasThere, nil
	}
	if reason := reasonOfOthers(f.live); reason != "" || slices.Contains(data, AllData) {
		return reason, nil
	}
	others, err := p.contents(ctx, f.entry.Name, doomed)
	if err != nil {
		return "", err
	}
	if len(others) > 0 {
		names := others[:min(len(others), 3)]
		more := ""
		if n := len(others) - len(names); n > 0 {
			more = fmt.Sprintf(" and %d more", n)
		}
		return "it holds what is not of this release: " + strings.Join(names, ", ") + more, nil
	}
	return "", nil
}

// Uninstall does what the removal says, under the project's lock: the objects
// in reverse order of their stages, each stage gone before the next, then the
// records. It may be repeated after it died at any point. It returns a
// *PruneError for what would not go; that stays in the inventory.
func (p *Promoter) Uninstall(ctx context.Context, r *Removal) error {
	if p.Options.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.Options.Timeout)
		defer cancel()
	}
	if r.ending != "" {
		return p.ended(ctx, r.ending)
	}
	unlocked := ctx
	ctx, lock, err := p.lock(ctx, "uninstall")
	if err != nil {
		return err
	}
	defer lock.Release(unlocked)
	if !r.state.Exists() {
		return nil // all but the lock was gone
	}
	state := r.state
	state.Pending = max(state.Last, state.Pending) + 1
	state.Begun = &release.Begun{Doing: "uninstall", Who: p.Who(ctx), When: p.Now().UTC().Truncate(time.Second)}
	if err := p.Store.Save(ctx, state); err != nil {
		return causeOf(ctx, err)
	}
	p.Reporter.Start(fmt.Sprintf("Delete %d objects", len(r.doomed)))
	_, err = p.deleteAll(ctx, r.doomed, deletion{
		wait: true,
		keep: func(f former) string { return reasonOfOthers(f.live) },
		done: func(gone map[apply.Ref]bool) error {
			state.Inventory = slices.DeleteFunc(state.Inventory, func(e release.Entry) bool { return gone[e.Ref] })
			return p.Store.Save(ctx, state)
		},
	})
	p.Reporter.End(err)
	if err != nil {
		return causeOf(ctx, err)
	}
	for _, f := range r.shared {
		if err := p.disown(ctx, f); err != nil {
			return causeOf(ctx, err)
		}
	}
	if r.home == nil {
		return causeOf(ctx, p.Store.Forget(ctx))
	}
	p.Reporter.Start("Delete namespace " + r.home.entry.Name)
	if err = p.deleteHome(ctx, r.home); err == nil {
		lock.Release(unlocked) // it goes with the namespace
		err = p.ended(unlocked, r.home.live.GetUID())
	}
	p.Reporter.End(err)
	return err
}

// deleteHome deletes the namespace of the record, and the record with it.
func (p *Promoter) deleteHome(ctx context.Context, home *former) error {
	uid := home.live.GetUID()
	resource, err := p.resource(home.live)
	if err != nil {
		return err
	}
	err = resource.Delete(ctx, home.entry.Name, metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
	if err != nil && !apierrors.IsNotFound(err) {
		return causeOf(ctx, &apply.ObjectError{Action: "delete", Ref: home.entry.Ref, Err: err})
	}
	return nil
}

// ended waits until the namespace of the record is gone.
func (p *Promoter) ended(ctx context.Context, uid types.UID) error {
	return p.Cluster.Gone(ctx, apply.Ref{Kind: "Namespace", Name: p.Target.Namespace}, uid)
}

// disown takes the fields that releases set from an object that stays, by
// applying none (server-side apply removes what its manager leaves out).
func (p *Promoter) disown(ctx context.Context, f former) error {
	resource, err := p.resource(f.live)
	if err != nil {
		return err
	}
	body, err := json.Marshal(map[string]any{
		"apiVersion": f.live.GetAPIVersion(), "kind": f.live.GetKind(),
		"metadata": map[string]any{"name": f.live.GetName(), "uid": string(f.live.GetUID())},
	})
	if err != nil {
		return fmt.Errorf("encode: %w", err)
	}
	_, err = resource.Patch(ctx, f.live.GetName(), types.ApplyPatchType, body, metav1.PatchOptions{FieldManager: Manager})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return &apply.ObjectError{Action: "take our labels from", Ref: f.entry.Ref, Err: err}
	}
	return nil
}
