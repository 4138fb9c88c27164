package supervise

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

func start(t *testing.T, argv ...string) *Process {
	t.Helper()
	p := Start(Spec{Argv: argv, Dir: t.TempDir(), Env: os.Environ()})
	t.Cleanup(func() { p.Stop(syscall.SIGKILL, time.Minute) })
	return p
}

func TestExitCodesAreThoseOfAShell(t *testing.T) {
	for _, c := range []struct {
		name string
		argv []string
		want int
	}{
		{"success", []string{"true"}, 0},
		{"failure", []string{"sh", "-c", "exit 3"}, 3},
		{"signal", []string{"sh", "-c", "kill -USR1 $$"}, 128 + int(syscall.SIGUSR1)},
		{"no such program", []string{"no-such-program-here"}, 127},
		{"no such path", []string{"/no/such/program"}, 127},
		{"not executable", []string{"/etc/passwd"}, 126},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := start(t, c.argv...)
			<-p.Done
			if got := p.Exit().Code; got != c.want {
				t.Errorf("code = %d, want %d (%s)", got, c.want, p.Exit().Message)
			}
		})
	}
}

func TestStopEndsTheWholeGroup(t *testing.T) {
	dir := t.TempDir()
	// The shell ignores the signal, its child does not know of it.
	p := start(t, "sh", "-c", "trap '' TERM; sleep 300 & echo $! >"+dir+"/child.tmp; mv "+dir+"/child.tmp "+dir+"/child; wait; sleep 300")
	deadline := time.Now().Add(10 * time.Second)
	var raw []byte
	for len(raw) == 0 && time.Now().Before(deadline) {
		raw, _ = os.ReadFile(filepath.Join(dir, "child"))
		time.Sleep(time.Millisecond)
	}
	p.Stop(syscall.SIGTERM, 50*time.Millisecond)
	if got := p.Exit().Code; got != 128+int(syscall.SIGKILL) {
		t.Errorf("code = %d, want that of SIGKILL after the grace", got)
	}
	child := strings.TrimSpace(string(raw))
	for time.Now().Before(deadline) {
		stat, err := os.ReadFile("/proc/" + child + "/stat")
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("process %s of the group lives on", child)
}

func TestSignalNames(t *testing.T) {
	for name, want := range map[string]syscall.Signal{"TERM": syscall.SIGTERM, "sigusr1": syscall.SIGUSR1} {
		if got, err := Signal(name); err != nil || got != want {
			t.Errorf("Signal(%q) = %v, %v", name, got, err)
		}
	}
	if _, err := Signal("NOPE"); err == nil {
		t.Error("an unknown signal was accepted")
	}
}
