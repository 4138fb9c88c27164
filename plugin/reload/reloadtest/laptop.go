package reloadtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/session"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

// Options say what a laptop is. The zero value follows a new empty folder.
type Options struct {
	Dir        string // the folder of code; "": a new one
	Scan       tree.Options
	MaxWatches int // of the watcher; 0: what the system allows
	Heartbeat  wire.Heartbeat
	Client     string // who it is, for those refused later
	Still      bool   // nobody watches the folder: Publish alone delivers
	Policies   session.Policies

	RereadEvery time.Duration // of the follower

	// Earlier delivered to the same pods before: what it published counts as
	// published.
	Earlier *Laptop
}

// Laptop is a folder of code with the gang that brings it to pods.
type Laptop struct {
	Dir  string
	Gang *session.Gang

	t      testing.TB
	o      Options
	ctx    context.Context // ended by Stop
	cancel context.CancelFunc
	done   sync.WaitGroup
	cache  *session.Cache
	still  *tree.Scanner

	mu         sync.Mutex
	pods       map[string]*Pod // by rank ID
	receipts   map[string]wire.Receipt
	published  map[tree.Digest]bool
	deliveries []session.Delivery
	refusals   []error
	reports    []error
	notices    []string
	lost       int
	ended      error // why the gang ended by itself
}

// StartLaptop starts a laptop; it ends with the test.
func StartLaptop(t testing.TB, o Options, pods ...*Pod) *Laptop {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if o.Client == "" {
		o.Client = "reloadtest"
	}
	l := &Laptop{
		Dir: o.Dir, t: t, o: o, cache: session.NewCache(16 << 20), still: tree.NewScanner(o.Dir, o.Scan),
		pods: map[string]*Pod{}, receipts: map[string]wire.Receipt{}, published: map[tree.Digest]bool{},
	}
	if o.Earlier != nil {
		o.Earlier.mu.Lock()
		l.published = maps.Clone(o.Earlier.published)
		o.Earlier.mu.Unlock()
		l.o.Earlier = nil
	}
	l.ctx, l.cancel = context.WithCancel(context.WithoutCancel(t.Context()))
	l.Gang = session.NewGang(l.dial, o.Client, session.Events{
		Delivered: l.delivered,
		Refused: func(_ *session.Version, err error) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.refusals = append(l.refusals, err)
		},
		Notice: func(_ session.Rank, text string) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.notices = append(l.notices, text)
		},
		Lost: func(session.Rank, error) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.lost++
		},
	})
	l.Gang.Heartbeat, l.Gang.Policies = o.Heartbeat, o.Policies
	l.done.Go(func() {
		err := l.Gang.Run(l.ctx)
		l.mu.Lock()
		defer l.mu.Unlock()
		l.ended = err
	})
	if !o.Still {
		l.done.Go(func() { follow(l.ctx, l) })
	}
	t.Cleanup(l.Stop)
	for _, p := range pods {
		l.Add(p)
	}
	return l
}

// Stop ends the laptop, as when the user leaves.
func (l *Laptop) Stop() {
	l.cancel()
	l.done.Wait()
}

// Add brings a pod.
func (l *Laptop) Add(p *Pod) {
	rank := p.Rank()
	l.mu.Lock()
	l.pods[rank.ID] = p
	l.mu.Unlock()
	l.Gang.Add(l.ctx, rank)
}

// Replace replaces a pod and tells the gang, as when Kubernetes does.
func (l *Laptop) Replace(p *Pod) {
	l.t.Helper()
	old := p.Rank().ID
	p.Replace()
	l.mu.Lock()
	delete(l.pods, old)
	l.mu.Unlock()
	l.Gang.Remove(l.ctx, old)
	l.Add(p)
}

func (l *Laptop) dial(ctx context.Context, r session.Rank) (io.ReadWriteCloser, error) {
	l.mu.Lock()
	p := l.pods[r.ID]
	l.mu.Unlock()
	if p == nil {
		return nil, fmt.Errorf("no pod %s", r.ID)
	}
	return p.Dial(ctx)
}

// Publish scans the folder and publishes it, where nobody watches.
func (l *Laptop) Publish() tree.Digest {
	l.t.Helper()
	index, err := l.still.Scan(l.ctx)
	if err != nil {
		l.t.Fatal(err)
	}
	v := session.NewVersion(l.Dir, index, l.cache)
	l.publish(l.ctx, v)
	return v.Digest
}

func (l *Laptop) publish(ctx context.Context, v *session.Version) {
	l.mu.Lock()
	l.published[v.Digest] = true
	l.mu.Unlock()
	l.Gang.Publish(ctx, v)
}

func (l *Laptop) report(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := len(l.reports); n == 0 || l.reports[n-1].Error() != err.Error() {
		l.reports = append(l.reports, err)
	}
}

func (l *Laptop) delivered(d session.Delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deliveries = append(l.deliveries, d)
	for _, r := range d.Receipts {
		l.receipts[r.PodUID] = r
	}
}

// Receipt returns the last receipt of a pod as it is now; false: none yet.
func (l *Laptop) Receipt(p *Pod) (wire.Receipt, bool) {
	uid := p.UID()
	l.mu.Lock()
	defer l.mu.Unlock()
	r, ok := l.receipts[uid]
	return r, ok
}

// Runs tells whether a pod, as it is now, gave a receipt for what the folder
// holds.
func (l *Laptop) Runs(p *Pod) bool {
	l.t.Helper()
	r, ok := l.Receipt(p)
	return ok && r.TreeDigest == l.Scan()
}

// Published tells whether a tree was ever handed to the gang.
func (l *Laptop) Published(d tree.Digest) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.published[d]
}

// Deliveries returns how many deliveries were reported.
func (l *Laptop) Deliveries() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.deliveries)
}

// LastDelivery returns the delivery that was reported last.
func (l *Laptop) LastDelivery() session.Delivery {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.deliveries[len(l.deliveries)-1]
}

// Refusals returns the refusals that were reported.
func (l *Laptop) Refusals() []error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]error(nil), l.refusals...)
}

// Reports returns what follower and watcher complained of.
func (l *Laptop) Reports() []error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]error(nil), l.reports...)
}

// Notices returns the words of agents for people.
func (l *Laptop) Notices() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.notices...)
}

// Lost returns how often the stream to a rank was lost.
func (l *Laptop) Lost() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}

// Ended returns the error that the gang ended with by itself.
func (l *Laptop) Ended() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ended
}

// Scan returns the digest of an independent scan of the folder.
func (l *Laptop) Scan() tree.Digest {
	l.t.Helper()
	var index tree.Index
	Await(l.t, func() string {
		var err error
		if index, err = tree.Scan(l.ctx, l.Dir, l.o.Scan); err != nil {
			return err.Error()
		}
		return ""
	})
	return index.Digest()
}

// Settle waits until every pod has given a receipt for what the folder holds
// now and has just that on its volume. It returns the tree's digest. A tree
// on a volume that was never published fails the test at once.
func (l *Laptop) Settle() tree.Digest {
	l.t.Helper()
	want := l.Scan()
	l.SettleOn(want)
	return want
}

// SettleOn is Settle for a tree that is known.
func (l *Laptop) SettleOn(want tree.Digest) {
	l.t.Helper()
	deadline := time.Now().Add(Deadline)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		missing := l.missing(want)
		if missing == "" {
			return
		}
		if err := l.Ended(); err != nil {
			l.t.Fatalf("the gang ended: %v\n%s", err, l.describe())
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("after %v: %s\n%s", Deadline, missing, l.describe())
		}
		<-tick.C
	}
}

// missing says which pod does not run the wanted tree yet, "" when all do.
func (l *Laptop) missing(want tree.Digest) string {
	l.t.Helper()
	l.mu.Lock()
	pods := make([]*Pod, 0, len(l.pods))
	for _, p := range l.pods {
		pods = append(pods, p)
	}
	l.mu.Unlock()
	for _, p := range pods {
		r, ok := l.Receipt(p)
		switch {
		case !ok:
			return fmt.Sprintf("rank %d has given no receipt, want %s", p.o.Rank, want.Short())
		case r.TreeDigest != want:
			return fmt.Sprintf("rank %d runs %s, want %s", p.o.Rank, r.TreeDigest.Short(), want.Short())
		}
		l.Whole(p)
		if sum, err := p.Sum(); err != nil || sum != want {
			return fmt.Sprintf("rank %d holds %s (%v), want %s:\n%s", p.o.Rank, sum.Short(), err, want.Short(), l.differ(p))
		}
	}
	return ""
}

// Whole fails the test when a pod's current generation is no tree that was
// published.
func (l *Laptop) Whole(p *Pod) {
	l.t.Helper()
	sum, err := p.Sum()
	if err == nil && !l.Published(sum) {
		l.t.Fatalf("rank %d holds a tree that was never published, %s:\n%s", p.o.Rank, sum.Short(), l.differ(p))
	}
}

func (l *Laptop) differ(p *Pod) string {
	want, err := Manifest(l.Dir)
	if err != nil {
		return err.Error()
	}
	return Differ(want, p.Manifest())
}

// describe tells what happened, for a test that fails.
func (l *Laptop) describe() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	last := func(errs []error) string {
		return errors.Join(errs[max(0, len(errs)-3):]...).Error()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%d deliveries, %d streams lost\n", len(l.deliveries), l.lost)
	if len(l.refusals) > 0 {
		fmt.Fprintf(&b, "refusals: %s\n", last(l.refusals))
	}
	if len(l.reports) > 0 {
		fmt.Fprintf(&b, "reports: %s\n", last(l.reports))
	}
	return b.String()
}
