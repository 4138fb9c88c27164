package agent_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/agent"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/reloadtest"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/session"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/tree"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

func TestMain(m *testing.M) {
	reloadtest.HearHangups()
	os.Exit(m.Run())
}

// program is somebody's process that says what it finds in a folder when it is
// told, and nothing otherwise.
func program(t *testing.T, dir, trap string) (pid int, says *bufio.Scanner) {
	t.Helper()
	cmd := exec.Command("sh", "-c", trap+`echo started; while :; do sleep 0.02; done`)
	cmd.Dir = dir
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	says = bufio.NewScanner(out)
	says.Scan()
	return cmd.Process.Pid, says
}

// laptop is a client of agents that are attached to a folder.
type laptop struct {
	delivered chan session.Delivery
	notices   chan string
	ended     chan error
	gang      *session.Gang
	stop      func()
}

func attachTo(t *testing.T, mount string, attached *agent.Attached) *laptop {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	beat := wire.Heartbeat{Every: 100 * time.Millisecond, Lost: 300 * time.Millisecond}
	dial := func(context.Context, session.Rank) (io.ReadWriteCloser, error) {
		near, far := net.Pipe()
		go func() {
			_ = agent.Attach(ctx, agent.Config{Mount: mount, Attached: attached, Pod: "p", Container: "main", Heartbeat: beat}, far)
		}()
		return near, nil
	}
	l := &laptop{delivered: make(chan session.Delivery, 10), notices: make(chan string, 10), ended: make(chan error, 1)}
	l.gang = session.NewGang(dial, "test", session.Events{
		Delivered: func(d session.Delivery) { l.delivered <- d },
		Notice:    func(_ session.Rank, text string) { l.notices <- text },
	})
	l.gang.Heartbeat = beat
	done := make(chan struct{})
	go func() {
		defer close(done)
		l.ended <- l.gang.Run(ctx)
	}()
	l.stop = func() { cancel(); <-done }
	t.Cleanup(l.stop)
	l.gang.Add(ctx, session.Rank{ID: "p/main", Name: "p/main", Index: -1})
	return l
}

func (l *laptop) deliver(t *testing.T, dir, content string) wire.Receipt {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "text"), []byte(content+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	index, err := tree.Scan(t.Context(), dir, tree.Options{})
	if err != nil {
		t.Fatal(err)
	}
	l.gang.Publish(t.Context(), session.NewVersion(dir, index, session.NewCache(1<<20)))
	d := <-l.delivered
	r := d.Receipts[0]
	if r.TreeDigest != index.Digest() || r.State() != wire.StateSynced || r.PID != 0 {
		t.Errorf("receipt %+v, want %s, synced, without a process", r, index.Digest())
	}
	return r
}

func TestAnAttachedAgentTellsTheProgramAndStartsNothing(t *testing.T) {
	mount, dir := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(mount, "text"), []byte("before\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	pid, says := program(t, mount, `trap 'cat text' HUP; `)
	attached := &agent.Attached{PID: pid, Signal: syscall.SIGHUP, Name: "HUP"}
	l := attachTo(t, mount, attached)
	for _, content := range []string{"one", "two"} {
		l.deliver(t, dir, content)
		if says.Scan(); says.Text() != content {
			t.Fatalf("the program found %q, want %q", says.Text(), content)
		}
	}
	l.stop()

	// Another stream finds the generation there, and the program has been told.
	l = attachTo(t, mount, attached)
	l.deliver(t, dir, "two")
	l.deliver(t, dir, "three")
	if says.Scan(); says.Text() != "three" {
		t.Errorf("the program found %q after a generation that it knew", says.Text())
	}
	if kept, err := os.ReadFile(filepath.Join(mount, tree.Reserved, "data", "text")); err != nil || string(kept) != "before\n" {
		t.Errorf("what was there is lost: %q, %v", kept, err)
	}
}

func TestASignalThatIsNotCaughtIsNotSent(t *testing.T) {
	mount, dir := t.TempDir(), t.TempDir()
	pid, says := program(t, mount, `trap 'echo told' USR1; `)
	l := attachTo(t, mount, &agent.Attached{PID: pid, Signal: syscall.SIGHUP, Name: "HUP"})
	l.deliver(t, dir, "one")
	if notice := <-l.notices; notice == "" {
		t.Error("nothing is said of it")
	}
	if err := syscall.Kill(pid, syscall.SIGUSR1); err != nil {
		t.Fatal(err)
	}
	if says.Scan(); says.Text() != "told" {
		t.Errorf("the program says %q", says.Text())
	}
}

func TestOneClientIsAttachedAtATime(t *testing.T) {
	mount, dir := t.TempDir(), t.TempDir()
	first := attachTo(t, mount, &agent.Attached{})
	first.deliver(t, dir, "one")
	second := attachTo(t, mount, &agent.Attached{})
	var busy *wire.BusyError
	if err := <-second.ended; !errors.As(err, &busy) {
		t.Errorf("the second client: %v", err)
	}
	first.deliver(t, dir, "two")
}
