package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kubectl-ai/kubectl-ai/plugin/forward"
	"github.com/kubectl-ai/kubectl-ai/plugin/observe"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/journal"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/session"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/watch"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
	"github.com/kubectl-ai/kubectl-ai/plugin/term/status"
)

// cacheBytes bounds the earlier versions of files that are kept so that an
// edit travels as a difference.
const cacheBytes = 128 << 20

// loop follows the code on this machine and the ranks in the cluster.
type loop struct {
	f      *Factory
	t      *target
	o      *DevOptions
	ranks  int // how many the manifests ask for
	cache  *session.Cache
	gang   *session.Gang
	lines  observe.Lines
	line   *status.Line // nil: there is no terminal
	cancel context.CancelCauseFunc

	forward *forward.Forwarder // nil: ports are not forwarded

	journal *journal.Journal
	record  chan recorded // to the journal

	fellBack bool // it was said that a transport is not the first choice; the gang's

	publishing sync.Mutex // held while a save is handed to the gang

	mu      sync.Mutex
	status  devStatus
	current *session.Version                // delivered last
	held    *session.Version                // the newest save, while paused
	backTo  uint64                          // the generation that back has led to; 0 after a save
	backs   map[*session.Version]chan error // who waits for one to be delivered
	saved   map[tree.Digest]time.Time       // when a version was seen on this machine
	last    tree.Index                      // delivered
	running map[string]wire.Receipt         // by pod UID and container
	images  map[string]ranIn                // by pod UID and container
}

// recorded is a delivery on its way to the journal.
type recorded struct {
	session.Delivery
	files    int // that changed
	receipts []wire.Receipt
	runtimes []ranIn
}

// ranIn is the image of a rank's container, and the node that has it.
type ranIn struct {
	journal.Runtime
	node string
}

// errDelivered ends the loop of --once.
var errDelivered = errors.New("delivered")

func newLoop(f *Factory, t *target, o *DevOptions, ranks int) (*loop, error) {
	j, err := openJournal(f, t.rendered, t.context)
	if err != nil {
		return nil, err
	}
	l := &loop{
		f: f, t: t, o: o, ranks: ranks,
		cache:   session.NewCache(cacheBytes),
		journal: j,
		record:  make(chan recorded, 256),
		backs:   map[*session.Version]chan error{},
		saved:   map[tree.Digest]time.Time{},
		running: map[string]wire.Receipt{},
		images:  map[string]ranIn{},
		status:  newDevStatus(ranks),
	}
	said := f.Streams.Out
	if o.Output == "json" {
		said = f.Streams.ErrOut
	}
	l.lines = observe.LinesTo(said)
	l.openLine()
	if o.Forward && !o.Once {
		l.forward = forward.New(forward.Dialer(t.config, t.client, t.namespace), func(format string, args ...any) {
			l.say(devEvent{Kind: "Forward", Message: fmt.Sprintf(format, args...)}, format, args...)
		})
	}
	host, _ := os.Hostname()
	l.gang = session.NewGang(t.dial(), fmt.Sprintf("pid %d on %s", os.Getpid(), host), session.Events{
		Delivered: l.delivered,
		Connected: l.connected,
		Refused: func(v *session.Version, err error) {
			l.settled(v, err)
			l.change(func(s *devStatus) { s.refused = true })
			l.say(devEvent{Kind: "Refused", Message: err.Error()}, "not delivered, all ranks run on as they are: %v", err)
		},
		Lost: func(r session.Rank, err error) {
			l.change(func(s *devStatus) { s.lost[r.ID] = r })
			l.say(devEvent{Kind: "Lost", Rank: r.Name, Message: err.Error()}, "lost %s: %v; connecting again", r.Name, err)
		},
		Notice: func(r session.Rank, text string) {
			l.say(devEvent{Kind: "Notice", Rank: r.Name, Message: text}, "%s: %s", rankName(r), text)
		},
		// That a process ended is in the rank's log, in the agent's own words.
	})
	l.gang.Policies = policies(t.project.Reload.Policies)
	return l, nil
}

// run serves until ctx ends, or until --once has its receipts.
func (l *loop) run(parent context.Context) error {
	ctx, cancel := context.WithCancelCause(parent)
	defer cancel(nil)
	l.cancel = cancel
	group, ctx := errgroup.WithContext(ctx)
	defer l.closeLine()
	defer context.AfterFunc(ctx, l.closeLine)() // what is said while it ends is plain
	group.Go(l.sound(func() error { return l.gang.Run(ctx) }))
	group.Go(l.sound(func() error { return l.code(ctx) }))
	group.Go(l.sound(func() error { return l.control(ctx) }))
	group.Go(l.sound(func() error { return l.keys(ctx) }))
	if l.forward != nil {
		group.Go(l.sound(func() error { l.forward.Run(ctx); return nil }))
	}
	written := make(chan struct{})
	go func() {
		defer close(written)
		l.write(context.WithoutCancel(parent))
	}()
	defer func() { close(l.record); <-written }()
	group.Go(l.sound(func() error {
		return observe.Watch(ctx, l.t.client, l.t.selection(), func(e observe.Event) { l.pod(ctx, e) })
	}))
	err := group.Wait()
	switch {
	case errors.Is(context.Cause(ctx), errDelivered):
		return nil
	case errors.Is(context.Cause(ctx), errQuit):
		return errQuit
	case err != nil:
		return err
	case parent.Err() != nil:
		cause := context.Cause(parent)
		if errors.Is(cause, context.DeadlineExceeded) {
			l.mu.Lock()
			defer l.mu.Unlock()
			return fmt.Errorf("%d of %d ranks run the code: %w", len(l.running), l.ranks, cause)
		}
		return cause
	}
	return nil
}

// code publishes the tree, and again whenever its content changes.
func (l *loop) code(ctx context.Context) error {
	code := l.t.project.Code[0]
	out, complaint := leftOut{}, ""
	follower := &session.Follower{
		Root: code.Path, Tree: treeOptions(code), Cache: l.cache,
		Scanned: func(s *tree.Scanner) { out.say(l.f, s) },
		Watch:   watch.Options{Note: func(s string) { l.f.Streams.Talk("%s", s) }},
		Published: func(v *session.Version, seen time.Time) {
			l.mu.Lock()
			defer l.mu.Unlock()
			l.saved[v.Digest] = seen
			l.backTo = 0
		},
		Trouble: func(err error) {
			said := ""
			if err != nil {
				said = fmt.Sprintf("not delivered: %v", err)
			}
			if said != "" && said != complaint {
				l.f.Streams.Talk("%s", said)
			}
			complaint = said
		},
	}
	return follower.Run(ctx, l)
}

// pod brings a rank to the gang, takes it away, or says what holds it up.
func (l *loop) pod(ctx context.Context, e observe.Event) {
	rank := sessionRank(e.Rank)
	switch {
	case e.Trouble != "":
		l.f.Streams.Talk("%s waits: %s", e.Rank.Name(), e.Trouble)
	case e.Gone:
		l.mu.Lock()
		delete(l.running, rank.ID)
		delete(l.images, rank.ID)
		l.mu.Unlock()
		l.change(func(s *devStatus) {
			delete(s.pods, rank.ID)
			delete(s.lost, rank.ID)
		})
		if l.forward != nil {
			l.forward.Gone(ctx, e.Pod)
		}
		l.gang.Remove(ctx, rank.ID)
	default:
		l.mu.Lock()
		l.images[rank.ID] = imageOf(e.Pod, e.Rank.Container)
		l.mu.Unlock()
		l.change(func(s *devStatus) { s.pods[rank.ID] = holding(e.Pod, e.Rank.Container) })
		if l.forward != nil {
			l.forward.Running(ctx, forward.Pod{Pod: e.Pod, Rank: e.Rank.Index})
		}
		l.gang.Add(ctx, rank)
		go func() {
			if err := observe.Follow(ctx, l.t.client, l.t.namespace, e.Rank, e.ContainerID(), l.lines); err != nil && ctx.Err() == nil {
				l.f.Streams.Talk("%v", err)
			}
		}()
	}
}

// connected says on which transport, in words only where it is not the first
// choice, and only once: ranks share the way.
func (l *loop) connected(c session.Connection) {
	l.change(func(s *devStatus) { delete(s.lost, c.Rank.ID) })
	event := devEvent{Kind: "Connected", Rank: c.Rank.Name, Since: &c.Dialled, Transport: c.Transport}
	if c.Fallback == nil {
		l.say(event, "")
		return
	}
	event.Message = c.Fallback.Error()
	words := ""
	if !l.fellBack {
		words = "%s is reached over %s, as WebSocket was refused: %v"
	}
	l.fellBack = true
	l.say(event, words, c.Rank.Name, c.Transport, c.Fallback)
}

// delivered prints the receipts of a generation.
func (l *loop) delivered(d session.Delivery) {
	l.mu.Lock()
	defer l.mu.Unlock()
	changes := d.Version.Index.Diff(l.last)
	l.last, l.current = d.Version.Index, d.Version
	for _, r := range d.Receipts {
		l.running[r.PodUID+"/"+r.Container] = r
		if l.o.Output == "json" {
			if line, err := json.Marshal(r); err == nil {
				_, _ = fmt.Fprintf(l.f.Streams.Out, "%s\n", line)
			}
		}
	}
	current := l.runningNow()
	select {
	case l.record <- l.recordOf(d, changes.Len()):
	default: // a disk that slow loses a line, never a save
	}
	did, are := outcome(d)
	took := ""
	seen, hasSeen := l.saved[d.Version.Digest]
	if hasSeen && !d.Adopted {
		l.status.verified, l.status.are, l.status.done = d.Staged.Sub(seen), are, d.Done.Sub(seen)
		took = fmt.Sprintf(" · verified in %d ms · %s in %d ms", d.Staged.Sub(seen).Milliseconds(), are, d.Done.Sub(seen).Milliseconds())
	}
	for digest, at := range l.saved {
		if hasSeen && !at.After(seen) { // the next version's may be there already
			delete(l.saved, digest)
		}
	}
	l.status.generation, l.status.digest, l.status.running, l.status.refused = d.Generation, d.Version.Digest.Short(), current, false
	l.show()
	event := devEvent{
		Kind: "Delivery", Generation: d.Generation, TreeDigest: d.Version.Digest.String(), Files: changes.Len(), Running: current, Ranks: l.ranks,
		Adopted: d.Adopted, Started: d.Receipts[0].Started, SentBytes: d.SentBytes, Verified: &d.Staged, Done: &d.Done,
	}
	if hasSeen {
		event.Since = &seen
	}
	l.say(event, "gen %d · %s · %s · %s %d/%d ranks%s%s", d.Generation, files(changes.Len()), d.Version.Digest.Short(), did, current, l.ranks, startedIn(d.Receipts), took)
	l.image(d)
	if waiting := l.backs[d.Version]; waiting != nil && current >= l.ranks {
		waiting <- nil
		delete(l.backs, d.Version)
	}
	if l.o.Once && current >= l.ranks {
		if l.o.Output == "" {
			for _, r := range slices.SortedFunc(maps.Values(l.running), func(a, b wire.Receipt) int { return a.Rank - b.Rank }) {
				_, _ = fmt.Fprintf(l.f.Streams.Out, "receipt: %s/%s rank %d %s, pid %d\n", r.Pod, r.Container, r.Rank, runs(r), r.PID)
			}
		}
		l.cancel(errDelivered)
	}
}

// runningNow counts the ranks that run what was delivered last; the caller
// holds the mutex.
func (l *loop) runningNow() (n int) {
	for _, r := range l.running {
		if r.TreeDigest == l.current.Digest {
			n++
		}
	}
	return n
}

// devEvent is a line of --events json.
type devEvent struct {
	APIVersion string     `json:"apiVersion"`
	Kind       string     `json:"kind"` // Connected, Delivery, Image, Back, Refused, Lost, Notice, Forward
	Rank       string     `json:"rank,omitempty"`
	Message    string     `json:"message,omitempty"`
	Transport  string     `json:"transport,omitempty"` // websocket or spdy
	Generation uint64     `json:"generation,omitempty"`
	TreeDigest string     `json:"treeDigest,omitempty"`
	Files      int        `json:"files,omitempty"`     // that changed
	Running    int        `json:"running,omitempty"`   // ranks that hold the tree
	Ranks      int        `json:"ranks,omitempty"`     // ranks there should be
	Adopted    bool       `json:"adopted,omitempty"`   // they ran it already
	SentBytes  int64      `json:"sentBytes,omitempty"` // to all ranks together
	Since      *time.Time `json:"since,omitempty"`     // when the save was seen, or the rank dialled
	Verified   *time.Time `json:"verified,omitempty"`  // all ranks have it on disk and hashed it there
	Done       *time.Time `json:"done,omitempty"`      // all ranks have started it

	// Started is the generation that the processes were started in.
	Started uint64 `json:"startedGeneration,omitempty"`
}

// say reports what happened, in words or as JSON.
func (l *loop) say(e devEvent, format string, args ...any) {
	switch {
	case l.o.Events == "json":
		e.APIVersion = outputVersion
		if line, err := json.Marshal(e); err == nil {
			_, _ = fmt.Fprintf(l.f.Streams.ErrOut, "%s\n", line)
		}
	case format != "":
		l.f.Streams.Talk(format, args...)
	}
}

func files(n int) string {
	if n == 1 {
		return "1 file"
	}
	return fmt.Sprintf("%d files", n)
}

// rankName is how a receipt's rank is called: by its number where it has one.
func rankName(r session.Rank) string {
	if r.Index >= 0 {
		return fmt.Sprintf("rank %d (%s)", r.Index, strings.TrimSuffix(r.Name, "/"))
	}
	return r.Name
}
