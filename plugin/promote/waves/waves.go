// Package waves takes a promotion to several clusters: one group of them after
// the other, in parallel inside a group, and the next group only when the one
// before is well and its gates let it pass.
//
// Invariants:
//   - Every cluster is planned before the first one is written to, and nothing
//     is written anywhere when one of them cannot work.
//   - A cluster of a later wave gets no request from the moment the first wave
//     begins until its own does; then it is planned again, since time passed.
//   - After the first failure no further cluster is begun. Those that are at
//     work end what they do: half a release helps nobody.
//
// There is no state of its own. What a cluster runs says what is done: the
// same promotion again finds nothing to do where it got through, and goes on.
package waves

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Cluster is one of the clusters, as the runner drives it. Its methods are
// called one after the other, those of several clusters at once.
type Cluster interface {
	Name() string
	// Plan finds out what is to do and writes nothing; nothing says that there
	// is nothing to do.
	Plan(ctx context.Context) (nothing bool, err error)
	// Execute does it, until it is there. changed says whether something was
	// written, also beside an error.
	Execute(ctx context.Context) (changed bool, err error)
	// Soak waits for so long that all stays well.
	Soak(ctx context.Context, d time.Duration) error
	// Restore brings back what was there before Execute.
	Restore(ctx context.Context, cause error) error
}

// Wave is a group of clusters.
type Wave struct {
	Clusters    []Cluster
	Parallelism int // how many at once; at least 1
	Soak        time.Duration
	// Gate says whether the next wave may begin; nil: it may.
	Gate func(ctx context.Context) error
}

// State is how a cluster came out.
type State string

// The states.
const (
	NotBegun   State = "NotBegun"
	Unchanged  State = "Unchanged" // it ran the release already
	Deployed   State = "Deployed"
	Failed     State = "Failed"     // and was left as it is
	RolledBack State = "RolledBack" // to what it had before
)

// Outcome is how one cluster came out.
type Outcome struct {
	Cluster string
	Wave    int // from 1
	State   State
	Err     error // why it failed, or could not be rolled back
}

// FailedError says in which wave a promotion ended.
type FailedError struct {
	Wave, Waves int
	// Cluster is where; "": after the wave, at its gates.
	Cluster string
	Err     error
}

func (e *FailedError) Error() string {
	if e.Cluster == "" {
		return fmt.Sprintf("wave %d of %d: %v", e.Wave, e.Waves, e.Err)
	}
	return fmt.Sprintf("wave %d of %d, cluster %s: %v", e.Wave, e.Waves, e.Cluster, e.Err)
}

func (e *FailedError) Unwrap() error { return e.Err }

// PlanError says that a promotion cannot work in a cluster.
type PlanError struct {
	Cluster string
	Err     error
}

func (e *PlanError) Error() string { return fmt.Sprintf("cluster %s: %v", e.Cluster, e.Err) }
func (e *PlanError) Unwrap() error { return e.Err }

// Reporter is told of steps; plugin/term shows them.
type Reporter interface {
	Start(step string)
	Note(format string, args ...any)
	End(err error)
}

// Runner takes a promotion through waves.
type Runner struct {
	Waves []Wave
	// Rollback says that after a failure the clusters that this run changed go
	// back to what they had.
	Rollback bool
	Reporter Reporter

	mu       sync.Mutex
	outcomes map[string]*Outcome
	nothing  map[string]bool
}

// planners is how many clusters are planned at once. Chosen.
const planners = 8

// Plan plans every cluster. It returns a *PlanError for each that cannot work,
// joined.
func (r *Runner) Plan(ctx context.Context) error {
	r.outcomes, r.nothing = map[string]*Outcome{}, map[string]bool{}
	var all []Cluster
	for i, w := range r.Waves {
		for _, c := range w.Clusters {
			all = append(all, c)
			r.outcomes[c.Name()] = &Outcome{Cluster: c.Name(), Wave: i + 1, State: NotBegun}
		}
	}
	return r.planAll(ctx, all, planners)
}

func (r *Runner) planAll(ctx context.Context, clusters []Cluster, limit int) error {
	errs := make([]error, len(clusters))
	group := errgroup.Group{}
	group.SetLimit(limit)
	for i, c := range clusters {
		group.Go(func() error {
			nothing, err := c.Plan(ctx)
			if err != nil {
				errs[i] = &PlanError{Cluster: c.Name(), Err: err}
			}
			r.mu.Lock()
			r.nothing[c.Name()] = nothing
			r.mu.Unlock()
			return nil
		})
	}
	_ = group.Wait() // the errors are in their slots
	return errors.Join(errs...)
}

// Nothing says whether there is nothing to do in any cluster, after Plan.
func (r *Runner) Nothing() bool {
	for _, nothing := range r.nothing {
		if !nothing {
			return false
		}
	}
	return true
}

// Outcomes returns how the clusters came out, in the order of the waves.
func (r *Runner) Outcomes() []Outcome {
	var out []Outcome
	for _, w := range r.Waves {
		for _, c := range w.Clusters {
			out = append(out, *r.outcomes[c.Name()])
		}
	}
	return out
}

// Run goes through the waves, after Plan. It returns a *FailedError; when ctx
// ends, nothing is rolled back and the same promotion goes on later.
func (r *Runner) Run(ctx context.Context) error {
	for i := range r.Waves {
		if err := r.wave(ctx, i); err != nil {
			return r.fail(ctx, err)
		}
	}
	return nil
}

func (r *Runner) wave(ctx context.Context, i int) error {
	w := r.Waves[i]
	failed := func(cluster string, err error) *FailedError {
		return &FailedError{Wave: i + 1, Waves: len(r.Waves), Cluster: cluster, Err: err}
	}
	if i > 0 { // what was planned at first may be of hours ago
		if err := r.planAll(ctx, w.Clusters, w.Parallelism); err != nil {
			return failed("", err)
		}
	}
	var work []Cluster
	for _, c := range w.Clusters {
		if r.nothing[c.Name()] {
			r.set(c, Unchanged, nil)
			continue
		}
		work = append(work, c)
	}
	if len(work) > 0 {
		r.Reporter.Start(fmt.Sprintf("Wave %d of %d: %s", i+1, len(r.Waves), names(work)))
		err := r.execute(ctx, work, w.Parallelism, failed)
		r.Reporter.End(err)
		if err != nil {
			return err
		}
	}
	if len(work) > 0 && w.Soak > 0 {
		r.Reporter.Start(fmt.Sprintf("Soak %v: %s", w.Soak, names(work)))
		err := r.each(work, len(work), func(c Cluster) error {
			if err := c.Soak(ctx, w.Soak); err != nil {
				r.set(c, Failed, err)
				return failed(c.Name(), err)
			}
			return nil
		})
		r.Reporter.End(err)
		if err != nil {
			return err
		}
	}
	// Gates are asked again by a run that finds the wave done: a run that was
	// refused must not pass by being repeated.
	if w.Gate != nil {
		if err := w.Gate(ctx); err != nil {
			return failed("", err)
		}
	}
	return nil
}

// execute begins no further cluster when one has failed.
func (r *Runner) execute(ctx context.Context, work []Cluster, limit int, failed func(string, error) *FailedError) error {
	var stop sync.Once
	stopped := make(chan struct{})
	return r.each(work, limit, func(c Cluster) error {
		select {
		case <-stopped:
			return nil
		case <-ctx.Done():
			return context.Cause(ctx)
		default:
		}
		changed, err := c.Execute(ctx)
		if err != nil {
			stop.Do(func() { close(stopped) })
		}
		switch {
		case err == nil:
			r.set(c, Deployed, nil)
			r.Reporter.Note("%s: ready", c.Name())
			return nil
		case changed:
			r.set(c, Failed, err)
		}
		return failed(c.Name(), err)
	})
}

// each calls do for the clusters, limit at once, and returns the first error.
func (r *Runner) each(clusters []Cluster, limit int, do func(Cluster) error) error {
	group := errgroup.Group{}
	group.SetLimit(limit)
	for _, c := range clusters {
		group.Go(func() error { return do(c) })
	}
	return group.Wait()
}

// fail rolls back what this run changed, the latest wave first.
func (r *Runner) fail(ctx context.Context, cause error) error {
	if ctx.Err() != nil {
		return errors.Join(context.Cause(ctx), cause)
	}
	if !r.Rollback {
		return cause
	}
	errs := []error{cause}
	for i := len(r.Waves) - 1; i >= 0; i-- {
		var changed []Cluster
		for _, c := range r.Waves[i].Clusters {
			if state := r.outcomes[c.Name()].State; state == Deployed || state == Failed {
				changed = append(changed, c)
			}
		}
		if len(changed) == 0 {
			continue
		}
		r.Reporter.Start("Roll back " + names(changed))
		var mu sync.Mutex
		var failures []error
		_ = r.each(changed, r.Waves[i].Parallelism, func(c Cluster) error {
			if err := c.Restore(ctx, cause); err != nil {
				r.set(c, Failed, err)
				mu.Lock()
				failures = append(failures, &PlanError{Cluster: c.Name(), Err: err})
				mu.Unlock()
				return nil // the others have to go back too
			}
			r.set(c, RolledBack, r.outcomes[c.Name()].Err)
			return nil
		})
		err := errors.Join(failures...)
		r.Reporter.End(err)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

func (r *Runner) set(c Cluster, state State, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.outcomes[c.Name()].State, r.outcomes[c.Name()].Err = state, err
}

func names(clusters []Cluster) string {
	s := ""
	for i, c := range clusters {
		if i > 0 {
			s += ", "
		}
		s += c.Name()
	}
	return s
}
