package session_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/agent"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/session"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

// pod is an agent of this process with a volume and a socket of its own.
type pod struct {
	rank   session.Rank
	mount  string
	socket string
	stop   context.CancelFunc
	done   chan struct{}
}

// startAgent starts an agent whose command appends the generation it finds in
// its own tree to a log outside of the tree, then waits.
func startAgent(t testing.TB, index int, mount string) *pod {
	t.Helper()
	dir := t.TempDir()
	p := &pod{rank: session.Rank{ID: fmt.Sprint(index), Name: fmt.Sprintf("pod-%d/main", index), Index: index}, mount: mount, socket: filepath.Join(dir, "s"), done: make(chan struct{})}
	a, err := agent.New(agent.Config{
		Mount: mount, Socket: p.socket, StopSignal: syscall.SIGTERM, Grace: time.Second, Env: os.Environ(),
		Argv: []string{"sh", "-c", "cat " + mount + "/generation >> " + mount + ".log; exec sleep 600"},
		Log:  log.New(io.Discard, "", 0), Pod: p.rank.Name, PodUID: "uid", Container: "main",
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.stop = func() { cancel(); <-p.done }
	go func() { a.Run(ctx); close(p.done) }()
	t.Cleanup(p.stop)
	return p
}

// laptop is a folder of code and the gang that follows it.
type laptop struct {
	t        testing.TB
	dir      string
	scanner  *tree.Scanner
	cache    *session.Cache
	gang     *session.Gang
	ctx      context.Context
	outcomes chan any // session.Delivery or error

	mu    sync.Mutex
	conns []io.Closer
}

func startLaptop(t testing.TB, dir string, pods map[string]*pod) *laptop {
	t.Helper()
	l := &laptop{t: t, dir: dir, scanner: tree.NewScanner(dir, tree.Options{}), cache: session.NewCache(1 << 20), outcomes: make(chan any, 100)}
	ctx, cancel := context.WithCancel(context.Background())
	l.ctx = ctx
	dial := func(ctx context.Context, r session.Rank) (io.ReadWriteCloser, error) {
		var d net.Dialer
		l.mu.Lock()
		socket := pods[r.ID].socket
		l.mu.Unlock()
		c, err := d.DialContext(ctx, "unix", socket)
		if err == nil {
			l.mu.Lock()
			l.conns = append(l.conns, c)
			l.mu.Unlock()
		}
		return c, err
	}
	l.gang = session.NewGang(dial, "test", session.Events{
		Delivered: func(d session.Delivery) { l.outcomes <- d },
		Refused:   func(_ *session.Version, err error) { l.outcomes <- err },
	})
	done := make(chan error, 1)
	go func() { done <- l.gang.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	for _, p := range pods {
		l.gang.Add(ctx, p.rank)
	}
	return l
}

func (l *laptop) save(name, content string) {
	l.t.Helper()
	if err := os.WriteFile(filepath.Join(l.dir, name), []byte(content), 0o644); err != nil {
		l.t.Fatal(err)
	}
	index, err := l.scanner.Scan(l.ctx)
	if err != nil {
		l.t.Fatal(err)
	}
	l.gang.Publish(l.ctx, session.NewVersion(l.dir, index, l.cache))
}

// delivered waits until n ranks have given receipts for the latest tree.
func (l *laptop) delivered(n int) map[int]wire.Receipt {
	l.t.Helper()
	want, err := l.scanner.Scan(l.ctx)
	if err != nil {
		l.t.Fatal(err)
	}
	got := map[int]wire.Receipt{}
	for len(got) < n {
		select {
		case o := <-l.outcomes:
			if err, ok := o.(error); ok {
				l.t.Fatal(err)
			}
			for _, r := range o.(session.Delivery).Receipts {
				if r.TreeDigest == want.Digest() {
					got[r.Rank] = r
				}
			}
		case <-time.After(10 * time.Second):
			l.t.Fatalf("%d of %d receipts", len(got), n)
		}
	}
	return got
}

func twoRanks(t *testing.T) map[string]*pod {
	return map[string]*pod{"0": startAgent(t, 0, t.TempDir()), "1": startAgent(t, 1, t.TempDir())}
}

func TestEachPublishRunsOnEachRank(t *testing.T) {
	pods := twoRanks(t)
	l := startLaptop(t, t.TempDir(), pods)
	pids := map[int]bool{}
	generation := uint64(0)
	const publishes = 100
	for i := range publishes {
		l.save("generation", fmt.Sprintf("%d\n", i))
		for rank, r := range l.delivered(2) {
			if r.Generation <= generation && rank == 0 {
				t.Fatalf("generation %d after %d", r.Generation, generation)
			}
			if rank == 0 {
				generation = r.Generation
			}
			pids[r.PID] = true
			if want := filepath.Join(pods[fmt.Sprint(rank)].mount, ".kubectl-ai", "gen", fmt.Sprint(r.Generation)); r.CWD != want && !strings.HasPrefix(r.CWD, "/") {
				t.Errorf("cwd = %s", r.CWD)
			}
		}
	}
	if len(pids) != 2*publishes {
		t.Errorf("%d processes for %d publishes to 2 ranks", len(pids), publishes)
	}
}

func TestARankThatComesBackRunsTheCurrentGeneration(t *testing.T) {
	pods := twoRanks(t)
	l := startLaptop(t, t.TempDir(), pods)
	l.save("generation", "old\n")
	l.delivered(2)
	l.save("generation", "new\n")
	l.delivered(2)
	pods["1"].stop()
	fresh := startAgent(t, 1, t.TempDir()) // a replaced pod: its volume is empty
	l.mu.Lock()
	pods["1"].socket = fresh.socket
	l.mu.Unlock()
	l.gang.Add(l.ctx, fresh.rank)
	l.delivered(1)
	deadline := time.Now().Add(5 * time.Second)
	var log []byte
	for time.Now().Before(deadline) && len(log) == 0 {
		log, _ = os.ReadFile(fresh.mount + ".log")
		time.Sleep(5 * time.Millisecond)
	}
	if string(log) != "new\n" {
		t.Errorf("the new pod ran %q", log)
	}
}

func TestACutStreamIsDialledAgain(t *testing.T) {
	pods := twoRanks(t)
	l := startLaptop(t, t.TempDir(), pods)
	l.save("generation", "0\n")
	before := l.delivered(2)
	for i := 1; i <= 20; i++ {
		l.mu.Lock()
		for _, c := range l.conns {
			_ = c.Close()
		}
		l.conns = nil
		l.mu.Unlock()
		l.save("generation", fmt.Sprintf("%d\n", i))
		l.delivered(2)
	}
	if len(before) != 2 {
		t.Fatal("no receipts before the cuts")
	}
}

func TestOneRefusalLeavesAllRanksAsTheyAre(t *testing.T) {
	pods := twoRanks(t)
	l := startLaptop(t, t.TempDir(), pods)
	l.save("generation", "good\n")
	before := l.delivered(2)
	// Rank 1 cannot stage: its volume's staging area is no folder any more.
	if err := os.RemoveAll(filepath.Join(pods["1"].mount, ".kubectl-ai", "gen")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(pods["1"].mount, ".kubectl-ai", "gen"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	l.save("generation", "bad\n")
	select {
	case o := <-l.outcomes:
		err, ok := o.(error)
		var rank *session.RankError
		if !ok || !errors.As(err, &rank) || rank.Rank.Index != 1 {
			t.Fatalf("outcome = %v, want an error of rank 1", o)
		}
	case <-time.After(10 * time.Second):
		t.Fatal("no outcome")
	}
	if err := syscall.Kill(before[0].PID, 0); err != nil {
		t.Errorf("rank 0's process was touched: %v", err)
	}
	if raw, err := os.ReadFile(filepath.Join(pods["0"].mount, "generation")); err != nil || string(raw) != "good\n" {
		t.Errorf("rank 0 holds %q", raw)
	}
}

func TestASecondClientIsRefusedAndAnObserverIsNot(t *testing.T) {
	pods := twoRanks(t)
	l := startLaptop(t, t.TempDir(), pods)
	l.save("generation", "x\n")
	want := l.delivered(2)[0].TreeDigest
	dial := func(ctx context.Context, r session.Rank) (io.ReadWriteCloser, error) {
		return net.Dial("unix", pods[r.ID].socket)
	}
	second := session.NewGang(dial, "second", session.Events{})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- second.Run(ctx) }()
	second.Add(ctx, pods["0"].rank)
	var busy *wire.BusyError
	if err := <-done; !errors.As(err, &busy) || !strings.Contains(busy.Owner, "test") {
		t.Errorf("err = %v, want *BusyError that names the first", err)
	}
	v, err := session.Verify(t.Context(), dial, pods["0"].rank)
	if err != nil || v.Digest != want {
		t.Errorf("verify = %+v, %v", v, err)
	}
}

// forbidden is an error that no repetition mends.
type forbidden struct{}

func (forbidden) Error() string   { return "may not exec" }
func (forbidden) Permanent() bool { return true }

func TestAPermanentErrorEndsTheGang(t *testing.T) {
	dial := func(context.Context, session.Rank) (io.ReadWriteCloser, error) { return nil, forbidden{} }
	gang := session.NewGang(dial, "test", session.Events{})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- gang.Run(ctx) }()
	gang.Add(ctx, session.Rank{ID: "0"})
	if err := <-done; !errors.Is(err, forbidden{}) {
		t.Errorf("err = %v, want what the dial said", err)
	}
}
