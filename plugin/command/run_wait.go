package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/apply"
	"github.com/kubectl-ai/kubectl-ai/plugin/clientset"
	"github.com/kubectl-ai/kubectl-ai/plugin/explain"
	"github.com/kubectl-ai/kubectl-ai/plugin/logs"
	"github.com/kubectl-ai/kubectl-ai/plugin/metric"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/promote/release"
	"github.com/kubectl-ai/kubectl-ai/plugin/run"
	"github.com/kubectl-ai/kubectl-ai/plugin/run/admit"
	"github.com/kubectl-ai/kubectl-ai/plugin/term"
)

// runSet are the runs of a project in a namespace of a cluster.
type runSet struct {
	f         *Factory
	store     *run.Store
	queue     *admit.Queue
	client    clientset.Interface
	context   string
	namespace string
	project   string // "": nobody knows, all
	metrics   []project.Metric

	progress *term.Progress
	copies   *logs.Copies // of what ranks say; nil: there can be none
	follow   bool         // show what rank 0 says
	said     io.Writer    // there

	passing    sync.Mutex // guards the rest
	passed     time.Time
	unexported bool // MLflow did not take a run
}

// runs returns what is known of runs where a bundle goes.
func (t *target) runs(f *Factory) *runSet {
	r := t.connection.runs(f, t.applier, t.namespace)
	r.project, r.metrics = t.project.Name, t.project.Metrics
	if copies, err := openCopies(f, t.rendered, t.context); err == nil {
		r.copies = copies // a cache; `logs` says why there is none
	}
	return r
}

// runs returns what is known of all runs in a namespace.
func (c *connection) runs(f *Factory, client *apply.Client, namespace string) *runSet {
	return &runSet{
		f: f, client: c.client, context: c.context, namespace: namespace,
		store: &run.Store{Client: c.client, Namespace: namespace},
		queue: &admit.Queue{
			Client: c.client, Dynamic: client.Dynamic, Namespace: namespace, Now: time.Now,
			Holder: release.Holder{Who: "kubectl ai", Host: host(), Doing: "run"},
		},
	}
}

const (
	// look is how often a run that is waited for is looked at. A pass over all
	// that wait is made no more often, however many runs wait here.
	look = 500 * time.Millisecond
	// recordEvery is how often the record of a run that goes on is brought up
	// to date while somebody waits; whoever reads it brings it up to date too.
	recordEvery = 15 * time.Second
	// hearOut is how long ranks are listened to after their run has failed.
	hearOut = 5 * time.Second
	// tellEvery is how often progress is told.
	tellEvery = 5 * time.Second
	// settling is how long run without --wait stays for a run that could go and
	// has to wait for another one's nodes.
	settling = 15 * time.Second
)

// pass lets go what finds room, if nobody here did just now.
func (r *runSet) pass(ctx context.Context) error {
	r.passing.Lock()
	defer r.passing.Unlock()
	if time.Since(r.passed) < look {
		return nil
	}
	_, err := r.queue.Pass(ctx)
	r.passed = time.Now()
	if errors.Is(err, admit.ErrBusy) {
		return nil
	}
	return err
}

// settle makes passes until a run was let go or it is known what it waits for.
func (r *runSet) settle(ctx context.Context, id string) (run.Record, error) {
	until := time.Now().Add(settling)
	for {
		if err := r.pass(ctx); err != nil {
			return run.Record{}, err
		}
		record, err := r.store.Reconcile(ctx, id, r.metrics)
		if err != nil || record.Phase != apply.Queued || strings.HasPrefix(record.Reason, "waits for ") || strings.Contains(record.Reason, "Kueue") || time.Now().After(until) {
			return record, err
		}
		if err := breathe(ctx); err != nil {
			return record, err
		}
	}
}

func breathe(ctx context.Context) error {
	t := time.NewTimer(look)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-t.C:
		return nil
	}
}

// wait follows a run to its end. It returns a *run.FailedError when that was
// not a good one, a *run.UnfinishedError when the time of ctx was up before, and
// says how to come back when it is interrupted.
func (r *runSet) wait(ctx context.Context, id string) (run.Record, error) {
	w := &watcher{runSet: r, id: id, toldOf: map[apply.Phase]bool{}, complaints: complaints{}}
	w.follower = &logs.Follower{Open: logs.Pods{Client: r.client, Namespace: r.namespace}, Heard: w.hear}
	record, err := w.run(ctx)
	if ended := err == nil && record.Done(); ctx.Err() != nil && ended {
		ctx = context.WithoutCancel(ctx) // it ended just in time
	} else if ctx.Err() != nil {
		if errors.Is(context.Cause(ctx), context.DeadlineExceeded) && record.ID != "" {
			unfinished := &run.UnfinishedError{Record: record}
			unfinished.Cause, unfinished.Next = r.because(ctx, record)
			return record, unfinished
		}
		r.f.Streams.Talk("detached: run %s goes on; kubectl ai runs wait %[1]s follows it again, runs show %[1]s shows it", id)
		return record, context.Cause(ctx)
	}
	if err != nil {
		return record, err
	}
	record = r.export(ctx, record)
	if record.Phase != apply.Complete {
		failed := &run.FailedError{Record: record}
		failed.Cause, failed.Next = r.because(ctx, record)
		return record, failed
	}
	return record, nil
}

// watcher follows one run.
type watcher struct {
	*runSet
	id       string
	record   run.Record
	recorded time.Time
	follower *logs.Follower
	toldOf   map[apply.Phase]bool
	complaints

	mu   sync.Mutex // guards what followers write
	told time.Time
	live run.Record // what followers heard
}

// run looks until the run has ended. Once it is known, a request that fails
// ends nothing that may take hours: it is made again.
func (w *watcher) run(ctx context.Context) (run.Record, error) {
	hearing, stop := context.WithCancel(ctx)
	defer stop()
	var containers []logs.Container
	defer func() {
		if w.record.Phase != apply.Complete { // some of its ranks may take long to end
			defer time.AfterFunc(hearOut, stop).Stop()
		}
		_ = w.follower.Finish(hearing, containers) // what is missing is missing in the copy alone
	}()
	for {
		now, err := w.look(ctx)
		var there []logs.Container
		if err == nil {
			there, err = w.containers(ctx, now)
		}
		if err == nil {
			containers = there
			w.follower.Listen(hearing, containers)
			if now.Done() {
				return now, nil
			}
			if now.Phase == apply.Queued {
				err = w.pass(ctx)
			}
		}
		if err != nil {
			if w.record.ID == "" || !passes(ctx, err) {
				return w.record, err
			}
			w.complaints.told(err, w.progress.Note)
		}
		if err := breathe(ctx); err != nil {
			return w.record, err
		}
	}
}

// look returns how the run stands. One that has gone on for a while is looked
// at, and recorded now and then. An error leaves the record as it was.
func (w *watcher) look(ctx context.Context) (run.Record, error) {
	stale := time.Since(w.recorded) >= recordEvery
	if w.record.ID != "" && !stale {
		now, err := w.store.Peek(ctx, w.record)
		if err != nil || now.Phase == w.record.Phase && now.Reason == w.record.Reason {
			return now, err
		}
	}
	now, err := w.store.Reconcile(ctx, w.id, w.metrics)
	if err != nil {
		return now, err
	}
	w.recorded = time.Now()
	w.tell(now)
	if now.Endpoint && !now.Done() && now.Said.After(w.record.Said) && w.record.ID != "" {
		w.progress.Note("run %s%s", w.id, advance(now, time.Now()))
	}
	w.record = now
	return now, nil
}

// tell says what changed: a phase once, since ranks that end one by one make a
// run fall back, and of a matrix only what one waits for and how it ended.
func (w *watcher) tell(now run.Record) {
	news := now.Done() || now.Reason != "" && now.Reason != w.record.Reason && now.Reason != run.Undecided
	if !news && (w.toldOf[now.Phase] || now.Matrix != "" || now.Phase == apply.Queued) {
		return
	}
	w.toldOf[now.Phase] = true
	what := strings.ToLower(string(now.Phase))
	if now.Reason != "" {
		what += ": " + now.Reason
	}
	if now.Phase == apply.Complete {
		what += measures(now)
	}
	w.progress.Note("run %s%s %s", now.ID, point(now), what)
}

// point names a run of a matrix by its parameters.
func point(r run.Record) string {
	if r.Matrix == "" {
		return ""
	}
	return " (" + parameters(r) + ")"
}

// hear takes in a line: all are kept, those of the lowest rank are shown.
func (w *watcher) hear(l logs.Line) {
	w.keep(l)
	if !w.follow || l.Rank > 0 {
		return
	}
	l.Rank = 0
	w.mu.Lock()
	defer w.mu.Unlock()
	_ = logs.Printer{To: w.said, Color: w.f.Streams.Colors(w.said)}.Print(l) // a pipe that is gone takes the process with it
	w.heard(l.Rank, l.Text)
}

// heard tells of progress, not too often. The caller holds the mutex.
func (w *watcher) heard(rank int, line string) {
	words, err := metric.Read([]byte(line))
	var malformed *metric.MalformedError
	if errors.As(err, &malformed) {
		w.progress.Note("%v", malformed)
	}
	if words.Report == nil {
		return
	}
	if w.live.Started.IsZero() {
		w.live.Started, w.live.Phase = time.Now(), apply.Running
	}
	w.live.Line(time.Now(), rank, line, w.metrics)
	if time.Since(w.told) < tellEvery {
		return
	}
	w.told = time.Now()
	w.progress.Note("run %s%s", w.id, advance(w.live, time.Now()))
}

// advance is how far a run is, in words; "" where its code does not say.
func advance(r run.Record, now time.Time) string {
	s := ""
	if r.Progress != nil {
		s += fmt.Sprintf(" %.0f %%", float64(*r.Progress))
	}
	s += measures(r)
	if left, ok := r.Left(now); ok && left >= time.Second {
		s += fmt.Sprintf(", about %s left", left.Round(time.Second))
	}
	return s
}

// measures are the last values of a run's metrics, three at most.
func measures(r run.Record) string {
	s := ""
	for _, m := range r.Metrics[:min(3, len(r.Metrics))] {
		s += fmt.Sprintf(", %s %.5g", m.Name, float64(m.Last))
	}
	return s
}

// interrupted says whether Ctrl-C is why.
func interrupted(err error) bool {
	return errors.Is(err, explain.Interrupted) || errors.Is(err, context.Canceled)
}
