package proof

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// What a process needs to be a rank.
const (
	rankSocket = "RELOADTEST_RANK_SOCKET" // of the rendezvous
	rankNumber = "RELOADTEST_RANK"
	rankDeaf   = "RELOADTEST_RANK_DEAF" // not empty: it does not hear SIGTERM
	rankLate   = "RELOADTEST_RANK_LATE" // how long it takes until it can join
)

// rankMain is the program of a rank. It joins the others at the rendezvous
// and then, at each step, contributes the generation that it finds in its own
// code. Like a collective, it ends when one of the others is gone.
func rankMain(socket string) {
	if os.Getenv(rankDeaf) != "" {
		signal.Ignore(syscall.SIGTERM)
	}
	if late, err := time.ParseDuration(os.Getenv(rankLate)); err == nil {
		time.Sleep(late)
	}
	conn, err := net.Dial("unix", socket)
	if err != nil {
		return
	}
	dir := os.Args[len(os.Args)-1]
	if err := os.Chdir(dir); err != nil {
		return
	}
	// The agent gives all ranks that start together one name to meet by.
	if _, err := fmt.Fprintf(conn, "%s %d %s\n", os.Getenv(rankNumber), os.Getpid(), os.Getenv("PET_RDZV_ID")); err != nil {
		return
	}
	for in := bufio.NewReader(conn); ; {
		if _, err := in.ReadString('\n'); err != nil {
			break
		}
		raw, err := os.ReadFile("generation")
		if err != nil {
			raw = []byte("none: " + err.Error())
		}
		if _, err := fmt.Fprintf(conn, "%s\n", strings.TrimSpace(string(raw))); err != nil {
			break
		}
	}
	select {} // a rank that lost the others waits to be stopped
}

// rendezvous is where ranks meet and reduce, as torchrun does: whoever comes
// as rank k of a run belongs to that run's next group, which ends with the
// first of its members. It does not look at generations before the reduction;
// that no two meet is what the engine has to see to, by the name of the run.
type rendezvous struct {
	t     *testing.T
	ranks int
	addr  string

	mu      sync.Mutex
	waiting map[string]map[int]*member // by run and rank
	groups  int
	steps   map[string]int // by the generation that all ranks had
	mixed   []string
	pids    []int // of the group that computes
}

type member struct {
	rank, pid int
	conn      net.Conn
	in        *bufio.Reader
}

func newRendezvous(t *testing.T, ranks int) *rendezvous {
	t.Helper()
	dir, err := os.MkdirTemp("", "rendezvous") //nolint:usetesting // a socket's path is at most 107 bytes
	must(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	r := &rendezvous{t: t, ranks: ranks, addr: filepath.Join(dir, "s"), waiting: map[string]map[int]*member{}, steps: map[string]int{}}
	l, err := net.Listen("unix", r.addr)
	must(t, err)
	var done sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		r.mu.Lock()
		for _, run := range r.waiting {
			for _, m := range run {
				_ = m.conn.Close()
			}
		}
		r.mu.Unlock()
		done.Wait()
	})
	done.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			done.Go(func() { r.join(conn) })
		}
	})
	return r
}

// join takes a rank, and computes when it is the last that was missing.
func (r *rendezvous) join(conn net.Conn) {
	m := &member{conn: conn, in: bufio.NewReader(conn)}
	var run string
	if _, err := fmt.Fscanf(m.in, "%d %d %s\n", &m.rank, &m.pid, &run); err != nil {
		_ = conn.Close()
		return
	}
	r.mu.Lock()
	waiting := r.waiting[run]
	if waiting == nil {
		waiting = map[int]*member{}
		r.waiting[run] = waiting
	}
	if old := waiting[m.rank]; old != nil {
		_ = old.conn.Close()
	}
	waiting[m.rank] = m
	if len(waiting) < r.ranks {
		r.mu.Unlock()
		return
	}
	group := make([]*member, r.ranks)
	r.pids = make([]int, r.ranks)
	for rank, m := range waiting {
		group[rank], r.pids[rank] = m, m.pid
	}
	delete(r.waiting, run)
	r.groups++
	r.mu.Unlock()
	for r.step(group) {
	}
	for _, m := range group {
		_ = m.conn.Close()
	}
}

// step reduces once; false: a rank is gone.
func (r *rendezvous) step(group []*member) bool {
	for _, m := range group {
		if _, err := m.conn.Write([]byte("step\n")); err != nil {
			return false
		}
	}
	all := make([]string, len(group))
	same := true
	for i, m := range group {
		line, err := m.in.ReadString('\n')
		if err != nil {
			return false
		}
		all[i] = strings.TrimSpace(line)
		same = same && all[i] == all[0]
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, err := strconv.Atoi(all[0]); !same || err != nil {
		r.mixed = append(r.mixed, strings.Join(all, " "))
	} else {
		r.steps[all[0]]++
	}
	return true
}

// waits tells whether a rank has come to meet the others.
func (r *rendezvous) waits(rank int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, run := range r.waiting {
		if run[rank] != nil {
			return true
		}
	}
	return false
}

// state is a view of the rendezvous.
type state struct {
	groups int
	steps  int // of the generation that was asked for
	pids   []int
	mixed  []string
}

func (r *rendezvous) state(generation int) state {
	r.mu.Lock()
	defer r.mu.Unlock()
	return state{r.groups, r.steps[strconv.Itoa(generation)], r.pids, append([]string(nil), r.mixed...)}
}
