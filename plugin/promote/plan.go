package promote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/preflight"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
)

// Target is where a promotion goes.
type Target struct {
	Project     string
	Environment string
	Context     string
	Server      string
	Namespace   string
}

// Options change how a promotion goes; the zero value is the usual way.
type Options struct {
	// Adopt names objects, as Kind/name, that exist and are not ours, and
	// become ours.
	Adopt []string
	// PruneAlso names objects, as Kind/name, that would be kept otherwise.
	PruneAlso []string
	// Rerun runs finished Jobs again under a name of their own.
	Rerun bool
	// Timeout bounds the wait for the workloads; 0: none.
	Timeout time.Duration
	Wait    apply.WaitOptions
}

// Promoter promotes bundles of one project to one target.
type Promoter struct {
	Cluster  *apply.Client
	Store    *release.Store
	Target   Target
	Options  Options
	Reporter Reporter
	// Version asks the server for its version.
	Version func(ctx context.Context) (string, error)
	// Who promotes, for the record.
	Who string
	Now func() time.Time
}

// Plan is all that a promotion would do.
type Plan struct {
	Revision   int
	RollbackTo int
	Tree       string
	Bundle     string
	Images     map[string]string
	Report     preflight.Report
	Changes    *apply.Plan
	Kept       []Kept
	// Notes say what deserves a word before the question.
	Notes []string

	objects   []*unstructured.Unstructured
	waited    []*unstructured.Unstructured
	manifests []byte
	starts    bool // something may start processes
	prune     []former
	state     *release.State
}

// Nothing says that the target is where the bundle wants it, and recorded so.
func (p *Plan) Nothing() bool {
	return !p.Changes.Writes() && p.state.Current > 0 && p.state.Last == p.state.Current &&
		p.state.Pending == 0 && p.state.Bundle == p.Bundle && !p.state.Unpruned
}

// Current is the number of the release that is current now; 0: none.
func (p *Plan) Current() int { return p.state.Current }

// Plan finds out what promoting the bundle would do, and writes nothing. It
// returns *preflight.FailedError, ErrEmpty, or what apply.Client.Diff objects
// to, joined.
func (p *Promoter) Plan(ctx context.Context, b Bundle) (plan *Plan, err error) {
	if len(b.Objects) == 0 {
		return nil, ErrEmpty
	}
	p.Reporter.Start("Check " + p.Target.Context)
	defer func() { p.Reporter.End(err) }()
	state, loadErr := p.Store.Load(ctx)
	switch {
	case apierrors.IsForbidden(loadErr):
		state = &release.State{} // preflight names this and all else that is missing
	case loadErr != nil:
		return nil, loadErr
	}
	plan = &Plan{
		Revision: max(state.Last, state.Pending) + 1, RollbackTo: b.RollbackTo,
		Tree: b.Tree, Images: b.Images, state: state,
	}
	if err := p.prepare(ctx, plan, b); err != nil {
		return nil, err
	}
	check := preflight.Check{Client: p.Cluster, Version: p.Version, Objects: plan.objects, Namespace: p.Target.Namespace}
	if plan.Report, err = check.Run(ctx); err != nil {
		return plan, err
	}
	if err := cmp.Or(plan.Report.Err(), loadErr); err != nil {
		return plan, err
	}
	if err := p.diff(ctx, plan); err != nil {
		return plan, err
	}
	formers, err := p.formers(ctx, state, plan.objects)
	if err != nil {
		return plan, err
	}
	plan.prune, plan.Kept = selectPrune(formers, plan.Revision, p.Options.PruneAlso)
	if plan.Nothing() {
		// A Job that ended since, and what only it used, go with the next
		// release: the same bundle again writes nothing.
		plan.prune, plan.Kept = onlyAsked(formers, p.Options.PruneAlso)
	}
	for _, f := range plan.prune {
		plan.Changes.AddPrune(f.live)
	}
	return plan, nil
}

// prepare makes the objects what they will be: placed, named and labelled.
func (p *Promoter) prepare(ctx context.Context, plan *Plan, b Bundle) error {
	plan.objects = b.Objects
	if err := p.Cluster.Localize(plan.objects, p.Target.Namespace); err != nil {
		return err
	}
	if b.RollbackTo == 0 {
		if err := nameRuns(plan.objects, plan.state); err != nil {
			return err
		}
	}
	if err := p.renew(ctx, plan, b.RollbackTo > 0 || p.Options.Rerun); err != nil {
		return err
	}
	if err := p.withNamespace(ctx, plan); err != nil {
		return err
	}
	own(plan.objects, p.Target.Project, release.ID(p.Target.Project, p.Target.Namespace))
	apply.Sort(plan.objects)
	plan.Bundle = release.BundleDigest(plan.objects)
	var err error
	plan.manifests, err = release.Manifests(plan.objects)
	return err
}

// renew looks at the Jobs that exist already under their names: those that
// are done run again when that is asked for.
func (p *Promoter) renew(ctx context.Context, plan *Plan, again bool) error {
	done := map[apply.Ref]bool{}
	for _, obj := range plan.objects {
		ref := apply.RefOf(obj)
		if !isJob(ref) {
			continue
		}
		live, err := p.Cluster.Get(ctx, ref)
		switch {
		case apierrors.IsNotFound(err):
			if e, ok := plan.state.Find(ref); ok && again && e.UID != "" {
				done[ref] = true // its TTL took it
			}
			continue
		case apierrors.IsForbidden(err):
			continue // preflight says so
		case err != nil:
			return fmt.Errorf("read %s: %w", ref, err)
		case !finished(live):
			continue
		}
		done[ref] = true
		if e, ok := plan.state.Find(ref); !again && (!ok || e.Release != plan.state.Current) {
			plan.Notes = append(plan.Notes, fmt.Sprintf("%s ran already and is done; --rerun runs it again", ref.Short()))
		}
	}
	if again {
		rerun(plan.objects, done, plan.Revision)
	}
	return nil
}

// withNamespace adds the environment's namespace to the objects when it is
// missing, or is one that an earlier release made.
func (p *Promoter) withNamespace(ctx context.Context, plan *Plan) error {
	ref := apply.Ref{Kind: "Namespace", Name: p.Target.Namespace}
	if slices.ContainsFunc(plan.objects, func(obj *unstructured.Unstructured) bool { return apply.RefOf(obj) == ref }) {
		return nil
	}
	live, err := p.Cluster.Get(ctx, ref)
	switch {
	case apierrors.IsNotFound(err):
	case apierrors.IsForbidden(err):
		return nil // preflight says so
	case err != nil:
		return fmt.Errorf("read namespace %s: %w", ref.Name, err)
	case live.GetLabels()[release.PartOf] != release.ID(p.Target.Project, p.Target.Namespace):
		return nil
	}
	plan.objects = append(plan.objects, namespaceObject(ref.Name))
	return nil
}

func (p *Promoter) options(state *release.State) apply.Options {
	id := release.ID(p.Target.Project, p.Target.Namespace)
	return apply.Options{
		Manager:  Manager,
		Owned:    func(live *unstructured.Unstructured) bool { return owned(live, id, p.Options.Adopt) },
		Receipts: state.Receipts(),
		Selector: release.PartOf + "=" + id,
	}
}

// owned says whether a live object belongs to the release, or to nobody else
// that was written by us, or is adopted.
func owned(live *unstructured.Unstructured, id string, adopt []string) bool {
	if live.GetKind() == "Namespace" {
		return true // may be there before the first release, and is never pruned
	}
	if part, ok := live.GetLabels()[release.PartOf]; ok {
		return part == id
	}
	if slices.Contains(adopt, apply.RefOf(live).Short()) {
		return true
	}
	return slices.ContainsFunc(live.GetManagedFields(), func(m fieldsEntry) bool {
		return m.Manager == Manager && m.Operation == "Apply"
	})
}

func (p *Promoter) diff(ctx context.Context, plan *Plan) error {
	changes, err := p.Cluster.Diff(ctx, plan.objects, p.options(plan.state))
	if err != nil {
		if changes != nil {
			err = errors.Join(append([]error{err}, changes.Immutables()...)...)
		}
		return err
	}
	if err := errors.Join(changes.Immutables()...); err != nil {
		return err
	}
	plan.Changes = changes
	plan.starts = plan.state.Last != plan.state.Current || plan.state.Pending != 0
	for i := range changes.Changes {
		c := &changes.Changes[i]
		if e, ok := plan.state.Find(c.Ref); ok && c.Action == apply.Create && wentByTTL(c.Want, e) {
			c.Keep(e.Receipt)
			plan.Notes = append(plan.Notes, fmt.Sprintf("%s is done and its TTL removed it; --rerun runs it again", c.Ref.Short()))
			continue
		}
		plan.waited = append(plan.waited, c.Want)
		if apply.Waited(c.Want) && c.Action != apply.Unchanged {
			plan.starts = true
		}
	}
	return nil
}

// wentByTTL says whether a Job that the inventory knows is missing because it
// finished: a second training is never started for that.
func wentByTTL(job *unstructured.Unstructured, e release.Entry) bool {
	_, ttl, _ := unstructured.NestedInt64(job.Object, "spec", "ttlSecondsAfterFinished")
	return isJob(e.Ref) && e.UID != "" && ttl
}

func isUnserved(err error) bool {
	var unserved *apply.UnservedError
	return errors.As(err, &unserved)
}
