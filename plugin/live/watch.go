package live

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/clientset"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/kubectl-ai/kubectl-ai/plugin/drift/exporter"
	"github.com/kubectl-ai/kubectl-ai/plugin/logs"
	"github.com/kubectl-ai/kubectl-ai/plugin/project"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/journal"
	"github.com/kubectl-ai/kubectl-ai/plugin/run"
	"github.com/kubectl-ai/kubectl-ai/sandbox/gpu/model"
)

// Sources are where the state comes from. What is nil is left out.
type Sources struct {
	Client      clientset.Interface
	Store       *run.Store
	Project     string
	Environment string
	Context     string
	Namespace   string
	Metrics     []project.Metric
	Journal     *journal.Journal
	// GPUs asks the agents of the sandbox's nodes.
	GPUs func(context.Context) ([]model.Report, error)
	// Heard gets every line of a run's ranks, from several goroutines at once.
	Heard func(logs.Line)
	// Elsewhere are other environments of the project: their releases and drift.
	Elsewhere []Elsewhere
}

// Elsewhere asks one environment. What returns nil is not there.
type Elsewhere struct {
	Environment string
	Releases    func(context.Context) ([]Releases, error)
	Drift       func(context.Context) (*exporter.Status, error)
}

// How often what cannot be watched is asked, and how close together answers
// to what is watched may be. Chosen.
const (
	gpusEvery      = 3 * time.Second
	recordsEvery   = 5 * time.Second // nothing changed, as far as watches say
	journalEvery   = 500 * time.Millisecond
	elsewhereEvery = 10 * time.Second
	atMostEvery    = 200 * time.Millisecond
)

// Watcher follows an environment. Use New.
type Watcher struct {
	Sources
	now func() time.Time

	changed chan struct{} // the state has
	look    chan struct{} // records are to be read again
	devices chan struct{} // GPUs are

	mu          sync.Mutex // guards the rest
	pods        map[types.UID]*corev1.Pod
	nodes       map[string]*corev1.Node
	records     []run.Record
	voices      map[string]*voice      // by pod UID and container
	told        map[string]*run.Record // what the ranks of a run say, by its ID
	reports     []model.Report
	generations []Generation
	proved      map[string]uint64 // generation by pod UID and container
	numbers     map[string]uint64 // generation by digest
	elsewhere   map[string]answers
	unread      map[string]string
}

type answers struct {
	releases []Releases
	drift    *exporter.Status
}

// New returns a Watcher of these sources.
func New(s Sources) *Watcher {
	return &Watcher{
		Sources: s, now: time.Now,
		changed: make(chan struct{}, 1), look: make(chan struct{}, 1), devices: make(chan struct{}, 1),
		pods: map[types.UID]*corev1.Pod{}, nodes: map[string]*corev1.Node{},
		voices: map[string]*voice{}, told: map[string]*run.Record{},
		proved: map[string]uint64{}, numbers: map[string]uint64{},
		elsewhere: map[string]answers{}, unread: map[string]string{},
	}
}

// Run sends the state, first when runs and pods are known and then whenever it
// changes, until ctx ends or send returns an error. What the server forbids of
// pods and records is an error: there is nothing to show then.
func (w *Watcher) Run(ctx context.Context, send func(State) error) error {
	group, ctx := errgroup.WithContext(ctx)
	ready := make(chan struct{})
	var followers sync.WaitGroup
	group.Go(func() error { return w.watch(ctx) })
	group.Go(func() error {
		ctx, stop := context.WithCancel(ctx)
		defer followers.Wait()
		defer stop() // an error ends them too
		return w.follow(ctx, &followers, ready)
	})
	if w.GPUs != nil {
		group.Go(func() error { return every(ctx, gpusEvery, w.devices, w.askGPUs) })
	}
	if w.Journal != nil {
		group.Go(func() error { return every(ctx, journalEvery, nil, w.readJournal()) })
	}
	for _, e := range w.Elsewhere {
		group.Go(func() error {
			return every(ctx, elsewhereEvery, nil, func(ctx context.Context) error { return w.ask(ctx, e) })
		})
	}
	group.Go(func() error { return w.tell(ctx, ready, send) })
	if err := group.Wait(); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return context.Cause(ctx)
}

// tell sends states that differ.
func (w *Watcher) tell(ctx context.Context, ready <-chan struct{}, send func(State) error) error {
	select {
	case <-ready:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	var before []byte
	return every(ctx, time.Hour, w.changed, func(context.Context) error {
		state := w.state()
		raw, err := json.Marshal(state)
		if err != nil {
			return fmt.Errorf("encode the live state: %w", err)
		}
		if bytes.Equal(raw, before) {
			return nil
		}
		before = raw
		state.Time = w.now().UTC()
		return send(state)
	})
}

// every calls do now, after each pause, and when it is woken, though never
// twice within atMostEvery. It ends with ctx, or with do's error.
func every(ctx context.Context, pause time.Duration, wake <-chan struct{}, do func(context.Context) error) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	breath := time.NewTimer(0)
	defer breath.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-breath.C:
		}
		if err := do(ctx); err != nil {
			return err
		}
		timer.Reset(pause)
		breath.Reset(atMostEvery)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
		case <-wake:
		}
	}
}

// wake asks for something that is done once however often it is asked for.
func wake(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// change changes the state under the lock, and has it sent.
func (w *Watcher) change(do func()) {
	w.mu.Lock()
	do()
	w.mu.Unlock()
	wake(w.changed)
}

// note takes down whether a part can be read. It returns false where not.
func (w *Watcher) note(ctx context.Context, part string, err error) bool {
	if ctx.Err() != nil {
		return false
	}
	w.change(func() {
		if err == nil {
			delete(w.unread, part)
		} else {
			w.unread[part] = reason(err)
		}
	})
	return err == nil
}

// reason says why a part cannot be read: of a server that does not answer,
// what the network says, without the address of the request.
func reason(err error) string {
	var request *url.Error
	if errors.As(err, &request) {
		err = request.Err
	}
	return err.Error()
}

func (w *Watcher) askGPUs(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	reports, err := w.GPUs(ctx)
	if w.note(ctx, "GPUs", err) {
		w.change(func() { w.reports = reports })
	}
	return nil
}

// ask asks another environment.
func (w *Watcher) ask(ctx context.Context, e Elsewhere) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	w.mu.Lock()
	got := w.elsewhere[e.Environment]
	w.mu.Unlock()
	if e.Releases != nil {
		if list, err := e.Releases(ctx); w.note(ctx, "releases of "+e.Environment, err) {
			got.releases = list
		}
	}
	if e.Drift != nil {
		if status, err := e.Drift(ctx); w.note(ctx, "drift of "+e.Environment, err) {
			got.drift = status
		}
	}
	w.change(func() { w.elsewhere[e.Environment] = got })
	return nil
}
