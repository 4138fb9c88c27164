package exporter

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubectl-ai/kubectl-ai/plugin/drift"
)

// Source has the references of models.
type Source interface {
	// Current is the digest of the model that training named last; "": none is
	// named.
	Current(ctx context.Context) (string, error)
	// Reference is the one of the model with that digest.
	Reference(ctx context.Context, model string) (*drift.Reference, error)
}

// Options of an exporter.
type Options struct {
	// Targets is HOST:PORT; every address of HOST is a pod.
	Targets string
	// Every is the time between two looks at the pods.
	Every time.Duration
	// Window is how far back the figures reach.
	Window time.Duration
	// Lookup asks for the addresses of a host; nil: DNS.
	Lookup func(ctx context.Context, host string) ([]string, error)
	Client *http.Client     // nil: one that waits 5 s
	Now    func() time.Time // nil: the clock
	Log    *log.Logger
}

// Status is what the exporter knows after a look.
type Status struct {
	// Model is the digest of the model that most pods serve.
	Model string `json:"model,omitempty"`
	// Targets is how many pods answered.
	Targets       int     `json:"targets"`
	WindowSeconds float64 `json:"windowSeconds"`
	*drift.Report `json:",omitempty"`
	// Error is why there is no report.
	Error string `json:"error,omitempty"`
}

// Steps of a look, as drift_errors_total names them.
const (
	stepDiscover  = "discover"
	stepScrape    = "scrape"
	stepReference = "reference"
	stepCompare   = "compare"
)

// Exporter looks at pods. Run does it; Handler may be used meanwhile.
type Exporter struct {
	source Source
	Options
	host, port string

	// Of Run alone.
	model     string
	reference *drift.Reference
	pods      map[string]seen // by address
	rounds    []round         // within the window, the oldest first

	mu      sync.Mutex
	status  Status
	failed  map[string]float64 // by step
	lastEnd time.Time          // of the last look
}

// seen is a pod's page as it was last.
type seen struct {
	at       time.Time
	counters drift.Counters
}

// round is by how much all pods' counters grew until a time.
type round struct {
	at    time.Time
	grown drift.Counters
}

// New returns an exporter.
func New(source Source, o Options) (*Exporter, error) {
	host, port, err := net.SplitHostPort(o.Targets)
	if err != nil {
		return nil, fmt.Errorf("targets: want HOST:PORT, got %q", o.Targets)
	}
	if o.Every <= 0 || o.Window < o.Every {
		return nil, fmt.Errorf("a look every %v within a window of %v: want a window that holds one", o.Every, o.Window)
	}
	if o.Lookup == nil {
		o.Lookup = net.DefaultResolver.LookupHost
	}
	if o.Client == nil {
		o.Client = &http.Client{Timeout: 5 * time.Second}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	e := &Exporter{
		source: source, Options: o, host: host, port: port,
		pods: map[string]seen{}, failed: map[string]float64{}, lastEnd: o.Now(),
	}
	for _, step := range []string{stepDiscover, stepScrape, stepReference, stepCompare} {
		e.failed[step] = 0
	}
	e.status.WindowSeconds = o.Window.Seconds()
	return e, nil
}

// Run looks at the pods until ctx ends.
func (e *Exporter) Run(ctx context.Context) {
	tick := time.NewTicker(e.Every)
	defer tick.Stop()
	for {
		e.Look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Look looks at the pods once. What goes wrong is counted and logged, and the
// next look tries again. Not safe for concurrent use.
func (e *Exporter) Look(ctx context.Context) {
	now := e.Now()
	pages := e.scrape(ctx)
	if ctx.Err() != nil {
		return
	}
	s := Status{Model: served(pages), Targets: len(pages), WindowSeconds: e.Window.Seconds()}
	if err := e.follow(ctx, &s); err != nil {
		e.fail(stepReference, err)
		s.Error = err.Error()
	} else if err := e.count(now, pages); err != nil {
		e.fail(stepCompare, err)
		s.Error = err.Error()
	} else if s.Report, err = e.compare(); err != nil {
		e.fail(stepCompare, err)
		s.Error = err.Error()
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.status, e.lastEnd = s, now
}

// scrape returns the pages of the pods that answer, by address.
func (e *Exporter) scrape(ctx context.Context) map[string]*drift.Page {
	addresses, err := e.Lookup(ctx, e.host)
	// A headless Service without a pod that is ready has no address.
	if missing := (*net.DNSError)(nil); err != nil && (!errors.As(err, &missing) || !missing.IsNotFound) {
		e.fail(stepDiscover, err)
	}
	var mu sync.Mutex
	pages := map[string]*drift.Page{}
	var group errgroup.Group
	group.SetLimit(8)
	for _, address := range addresses {
		group.Go(func() error {
			page, err := e.page(ctx, address)
			if err != nil {
				e.fail(stepScrape, err)
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			pages[address] = page
			return nil
		})
	}
	_ = group.Wait() // each has counted its own error
	return pages
}

func (e *Exporter) page(ctx context.Context, address string) (*drift.Page, error) {
	url := "http://" + net.JoinHostPort(address, e.port) + "/metrics"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	answer, err := e.Client.Do(request)
	if err != nil {
		return nil, err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", url, answer.Status)
	}
	page, err := drift.ReadMetrics(answer.Body)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", url, err)
	}
	return page, nil
}

// served is the model of most pods; of as many, the one whose digest sorts
// first.
func served(pages map[string]*drift.Page) string {
	count := map[string]int{}
	for _, p := range pages {
		count[p.Model]++
	}
	var most string
	for _, model := range slices.Sorted(maps.Keys(count)) {
		if count[model] > count[most] {
			most = model
		}
	}
	return most
}

// follow takes the reference of the model that is served. Another model begins
// another window.
func (e *Exporter) follow(ctx context.Context, s *Status) error {
	if s.Targets == 0 {
		s.Model = e.model // nobody says otherwise
		return nil
	}
	if s.Model == "" {
		current, err := e.source.Current(ctx)
		if err != nil {
			return err
		}
		s.Model = current
	}
	if e.reference != nil && s.Model == e.model {
		return nil
	}
	e.reference, e.model = nil, s.Model
	e.rounds, e.pods = nil, map[string]seen{}
	ref, err := e.source.Reference(ctx, s.Model)
	if err != nil {
		return err
	}
	e.reference = ref
	e.logf("comparing with the reference of model %s, %d features", cmp.Or(s.Model, "without a digest"), len(ref.Features))
	return nil
}

// count adds a round of what grew since the last look, and forgets what left
// the window.
func (e *Exporter) count(now time.Time, pages map[string]*drift.Page) error {
	r := round{at: now}
	var mismatch error
	for _, address := range slices.Sorted(maps.Keys(pages)) {
		page := pages[address]
		if page.Model != "" && page.Model != e.model {
			continue // of a roll-out under way, or a canary
		}
		if last, known := e.pods[address]; known {
			if err := r.grown.Add(page.Since(last.counters)); err != nil {
				mismatch = err
			}
		}
		e.pods[address] = seen{now, page.Counters}
	}
	e.rounds = append(e.rounds, r)
	begin := now.Add(-e.Window)
	e.rounds = slices.DeleteFunc(e.rounds, func(r round) bool { return !r.at.After(begin) })
	maps.DeleteFunc(e.pods, func(_ string, s seen) bool { return !s.at.After(begin) })
	return mismatch
}

// compare compares what grew within the window; nil without a reference.
func (e *Exporter) compare() (*drift.Report, error) {
	if e.reference == nil {
		return nil, nil
	}
	var window drift.Counters
	for _, r := range e.rounds {
		if err := window.Add(r.grown); err != nil {
			return nil, err
		}
	}
	return drift.Compare(e.reference, window)
}

func (e *Exporter) fail(step string, err error) {
	e.mu.Lock()
	e.failed[step]++
	e.mu.Unlock()
	e.logf("%s: %v", step, err)
}

func (e *Exporter) logf(format string, args ...any) {
	if e.Log != nil {
		e.Log.Printf(format, args...)
	}
}
