package promote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-ai/kubectl-ai/kustomize/workload"
	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/canary"
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
	Pinned      bool // the project file says which cluster it is
}

// Options change how a promotion goes; the zero value is the usual way.
type Options struct {
	// Adopt names objects, as Kind/name, that exist and are not ours, and
	// become ours.
	Adopt []string
	// Beside are field managers that write for the same user beside releases,
	// as dev and run do in the sandbox's cluster: what they wrote becomes the
	// release's.
	Beside []string
	// PruneAlso names objects, as Kind/name, that would be kept otherwise.
	PruneAlso []string
	// PruneMax is how many percent of the inventory may be pruned; 0: 30.
	PruneMax int
	// TakeOver names field managers whose fields become the release's where they
	// conflict.
	TakeOver []string
	// Replace says what becomes of earlier runs that have not ended; "":
	// ReplaceKeep.
	Replace Replacement
	// Metrics are waited for when the workloads have started: until the code has
	// reported each of them, and it meets its threshold. They have one.
	Metrics []project.Metric
	// Canary tries the pods of a served workload on a part of the traffic
	// first; nil: they replace the former ones at once.
	Canary *CanaryOptions
	// Rerun runs finished Jobs again under a name of their own.
	Rerun bool
	// Timeout bounds the wait for the workloads; 0: none.
	Timeout time.Duration
	Wait    apply.WaitOptions

	replaceOnly map[apply.Ref]bool // nil: all earlier runs
}

// Promoter promotes bundles of one project to one target.
type Promoter struct {
	Cluster  *apply.Client
	Store    *release.Store
	Target   Target
	Options  Options
	Reporter Reporter
	// Server is what the API server says of itself.
	Server preflight.Server
	// Who says who promotes, for the record.
	Who func(ctx context.Context) string
	// Host is the machine from which, for the lock.
	Host string
	// Namespaced lists the kinds that live in namespaces; for uninstalls.
	Namespaced func(ctx context.Context) ([]schema.GroupVersionResource, error)
	Now        func() time.Time
	// Log opens logs; for Options.Metrics.
	Log Log
	// OnNode looks into a node whether it has an image; nil: nobody here can.
	OnNode func(ctx context.Context, node, image string) bool
}

// Plan is all that a promotion would do.
type Plan struct {
	Revision   int
	RollbackTo int
	From       string
	Tree       string
	Bundle     string
	Images     map[string]string
	Evidence   *release.Evidence
	Report     preflight.Report
	Changes    *apply.Plan
	Kept       []Kept
	// Notes say what deserves a word before the question.
	Notes []string
	// Gates are those that let the plan pass, for the record.
	Gates []release.Gate

	objects   []*unstructured.Unstructured
	waited    []*unstructured.Unstructured
	manifests []byte
	starts    bool           // something may start processes
	canary    *canary.Canary // what is tried first; nil: nothing
	pods      int            // of the Deployment that it is tried for, now
	prune     []former
	earlier   []former // runs that have not ended, and give way
	// formerRuns are all runs of the inventory that the bundle no longer has.
	formerRuns []*unstructured.Unstructured
	state      *release.State
	entries    map[apply.Ref]release.Entry // of the state's inventory
	members    *apply.Members
	read       map[apply.Ref]*unstructured.Unstructured // seen on the way; nil: not there
}

// Nothing says that the target is where the bundle wants it, and recorded so.
func (p *Plan) Nothing() bool {
	return !p.Changes.Writes() && p.state.Current > 0 && p.state.Last == p.state.Current &&
		p.state.Pending == 0 && p.state.Bundle == p.Bundle && !p.state.Unpruned && !p.state.Unsettled
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
		Revision: max(state.Last, state.Pending) + 1, RollbackTo: b.RollbackTo, From: b.From,
		Tree: b.Tree, Images: b.Images, Evidence: b.Evidence, state: state, entries: map[apply.Ref]release.Entry{}, read: map[apply.Ref]*unstructured.Unstructured{},
		members: p.Cluster.Members(release.PartOf + "=" + p.id()),
	}
	for _, e := range state.Inventory {
		plan.entries[e.Ref] = e
	}
	if err := p.prepare(ctx, plan, b); err != nil {
		return nil, err
	}
	if err := p.findEarlier(ctx, plan); err != nil {
		return nil, err
	}
	if err := p.findCanary(ctx, plan, b); err != nil {
		return nil, err
	}
	check := p.check(plan, b)
	if plan.Report, err = check.Run(ctx); err != nil {
		return plan, err
	}
	if err := cmp.Or(check.Err(plan.Report), loadErr); err != nil {
		return plan, err
	}
	if err := p.diff(ctx, plan); err != nil {
		return plan, err
	}
	if err := p.rehearseCanary(ctx, plan); err != nil {
		return plan, err
	}
	plan.Report = append(plan.Report, preflight.Drift(drifted(plan))...)
	formers, err := p.formers(ctx, plan)
	if err != nil {
		return plan, err
	}
	formers = slices.DeleteFunc(formers, func(f former) bool { // of a run that died; this one removes it
		return plan.canary != nil && f.entry.Ref == plan.canary.Ref()
	})
	for _, f := range formers {
		if isRun(f.entry.Ref) {
			plan.formerRuns = append(plan.formerRuns, f.live)
		}
	}
	p.yield(plan)
	formers = p.withoutKilled(plan, formers)
	plan.prune, plan.Kept = selectPrune(formers, plan.Revision, p.Options.PruneAlso)
	if err := limitPrune(plan.prune, state, plan.objects, p.Options); err != nil {
		return plan, err
	}
	if plan.Nothing() {
		// A Job that ended since, and what only it used, go with the next
		// release: the same bundle again writes nothing.
		plan.prune, plan.Kept = onlyAsked(formers, p.Options.PruneAlso)
	}
	p.reasonsOf(plan)
	for _, f := range plan.prune {
		plan.Changes.AddFormer(apply.Prune, f.live, "")
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
	live, err := p.renew(ctx, plan, b.RollbackTo > 0 && !b.Restore || p.Options.Rerun)
	if err != nil {
		return err
	}
	if err := p.withNamespace(ctx, plan); err != nil {
		return err
	}
	own(plan.objects, p.Target.Project, p.id())
	apply.Sort(plan.objects)
	plan.Bundle = release.BundleDigest(plan.objects)
	if plan.manifests, err = release.Manifests(plan.objects); err != nil {
		return err
	}
	return resume(plan, live)
}

// renew looks at the Jobs of the release that exist already under their names:
// those that are done run again when that is asked for. It returns all that it
// found.
func (p *Promoter) renew(ctx context.Context, plan *Plan, again bool) (map[apply.Ref]*unstructured.Unstructured, error) {
	var jobs []apply.Ref
	for _, obj := range plan.objects {
		if ref := apply.RefOf(obj); isRun(ref) {
			jobs = append(jobs, ref)
		}
	}
	found, err := plan.members.Find(ctx, jobs)
	if apierrors.IsForbidden(err) {
		return nil, nil // preflight says so
	}
	if err != nil {
		return nil, err
	}
	done := map[apply.Ref]bool{}
	for _, ref := range jobs {
		e, known := plan.entries[ref]
		live := found[ref]
		switch {
		case live == nil && known && again && e.UID != "":
			done[ref] = true // its TTL took it
			continue
		case live == nil, !apply.Finished(live):
			continue
		}
		done[ref] = true
		if !again && (!known || e.Release != plan.state.Current) {
			plan.Notes = append(plan.Notes, fmt.Sprintf("%s ran already and is done; --rerun runs it again", ref.Short()))
		}
	}
	if again {
		rerun(plan.objects, done, plan.Revision)
	}
	return found, nil
}

// withNamespace adds the environment's namespace to the objects when it is
// missing, or is one that an earlier release made.
func (p *Promoter) withNamespace(ctx context.Context, plan *Plan) error {
	ref := apply.Ref{Kind: "Namespace", Name: p.Target.Namespace}
	if slices.ContainsFunc(plan.objects, func(obj *unstructured.Unstructured) bool { return apply.RefOf(obj) == ref }) {
		return nil
	}
	if len(plan.state.Inventory) > 0 {
		// The record is kept in the namespace, so that is there; and the record
		// knows whether a release made it.
		if _, ours := plan.entries[ref]; ours {
			plan.objects = append(plan.objects, namespaceObject(ref.Name))
		}
		return nil
	}
	live, err := p.Cluster.Get(ctx, ref)
	plan.saw(ref, live, err)
	switch {
	case apierrors.IsNotFound(err):
	case apierrors.IsForbidden(err):
		return nil // preflight says so
	case err != nil:
		return fmt.Errorf("read namespace %s: %w", ref.Name, err)
	case live.GetLabels()[release.PartOf] != p.id():
		return nil
	}
	plan.objects = append(plan.objects, namespaceObject(ref.Name))
	return nil
}

// id is that of the release's ApplySet.
func (p *Promoter) id() string { return release.ID(p.Target.Project, p.Target.Namespace) }

// options are those of every write, and of what is asked before.
func (p *Promoter) options(state *release.State) apply.Options {
	uids := state.Receipts()
	return apply.Options{
		Manager: Manager,
		Owned: func(ref apply.Ref, live metav1.Object) bool {
			return owned(ref, live, uids[ref].UID, p.id(), p.Options.Adopt) || slices.ContainsFunc(live.GetManagedFields(), func(m fieldsEntry) bool {
				return slices.Contains(p.Options.Beside, m.Manager)
			})
		},
		TakeOver: slices.Concat(p.Options.TakeOver, p.Options.Beside, []string{suspender}),
	}
}

// owned says whether a live object belongs to the release, or to nobody else
// that was written by us, or is adopted. uid is of the object as the release
// knew it, "" when it did not: one that was deleted and made anew by somebody
// else is his, whatever labels it was given.
func owned(ref apply.Ref, live metav1.Object, uid types.UID, id string, adopt []string) bool {
	if ref.Group == "" && ref.Kind == "Namespace" {
		return true // may be there before the first release, and is never pruned
	}
	part, member := live.GetLabels()[release.PartOf]
	if member && part != id {
		return false
	}
	if slices.Contains(adopt, ref.Short()) {
		return true
	}
	if member && (uid == "" || uid == live.GetUID()) {
		return true
	}
	return slices.ContainsFunc(live.GetManagedFields(), func(m fieldsEntry) bool {
		return m.Manager == Manager && m.Operation == "Apply"
	})
}

func (p *Promoter) diff(ctx context.Context, plan *Plan) error {
	options := p.options(plan.state)
	options.Members = plan.members
	var err error
	if options.Receipts, err = p.receipts(ctx, plan); err != nil {
		return err
	}
	changes, err := p.Cluster.Diff(ctx, plan.objects, options)
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
		if e, ok := plan.entries[c.Ref]; ok && c.Action == apply.Create && wentByTTL(c.Want, e) {
			c.Keep(e.Receipt)
			plan.Notes = append(plan.Notes, fmt.Sprintf("%s is done and its TTL removed it; --rerun runs it again", c.Ref.Short()))
			continue
		}
		plan.waited = append(plan.waited, c.Want)
		if c.Action != apply.Unchanged && startsPods(c.Want) {
			plan.starts = true
		}
	}
	return nil
}

// startsPods says whether applying a workload may start processes, which may
// die in their first seconds. One whose pods this build does not know may.
func startsPods(obj *unstructured.Unstructured) bool {
	if !apply.Waited(obj) {
		return false
	}
	templates, err := workload.Templates(obj)
	return err != nil || len(templates) == 0 ||
		slices.ContainsFunc(templates, func(t workload.Template) bool { return workload.Replicas(t) > 0 })
}

// receipts are those of the inventory. The inventory has no sums of Secrets,
// because more people may read it; those of the current release are taken
// from its manifests, which are kept in a Secret themselves.
func (p *Promoter) receipts(ctx context.Context, plan *Plan) (map[apply.Ref]apply.Receipt, error) {
	receipts := plan.state.Receipts()
	var missing []*unstructured.Unstructured
	for _, obj := range plan.objects {
		e, ok := plan.entries[apply.RefOf(obj)]
		if ok && e.UID != "" && e.Sum == "" && e.Release == plan.state.Current {
			missing = append(missing, obj)
		}
	}
	if len(missing) == 0 {
		return receipts, nil
	}
	sent := missing
	if plan.Bundle != plan.state.Bundle {
		_, stored, err := p.Store.Get(ctx, plan.state.Current)
		var lost *release.NotFoundError
		if errors.As(err, &lost) {
			return receipts, nil
		}
		if err != nil {
			return nil, err
		}
		sent = stored
	}
	sums := make(map[apply.Ref]string, len(sent))
	for _, obj := range sent {
		if ref := apply.RefOf(obj); plan.entries[ref].Sum == "" {
			sums[ref] = apply.Sum(obj)
		}
	}
	for _, obj := range missing {
		ref := apply.RefOf(obj)
		receipt := receipts[ref]
		receipt.Sum = sums[ref]
		receipts[ref] = receipt
	}
	return receipts, nil
}

// wentByTTL says whether a Job that the inventory knows is missing because it
// finished: a second training is never started for that.
func wentByTTL(job *unstructured.Unstructured, e release.Entry) bool {
	_, ttl, _ := unstructured.NestedInt64(job.Object, "spec", "ttlSecondsAfterFinished")
	if !ttl {
		_, ttl, _ = unstructured.NestedInt64(job.Object, "spec", "runPolicy", "ttlSecondsAfterFinished") // PyTorchJob
	}
	return isRun(e.Ref) && e.UID != "" && ttl
}
