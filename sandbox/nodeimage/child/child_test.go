//go:build linux

package child

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestAFailureSaysTheLastLines(t *testing.T) {
	t.Parallel()
	err := Command{Name: "sh", Args: []string{"-c", "echo first; echo why >&2; exit 3"}}.Run(t.Context())
	var failed *Error
	if !errors.As(err, &failed) {
		t.Fatalf("got %v, want *Error", err)
	}
	if diff := cmp.Diff([]string{"first", "why"}, failed.Lines); diff != "" {
		t.Error(diff)
	}
	if got, want := err.Error(), "sh -c: exit status 3: why"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOnlyTheEndIsKept(t *testing.T) {
	t.Parallel()
	said := &lastLines{}
	for i := range 4000 {
		_, _ = said.Write([]byte(strconv.Itoa(i) + "\n"))
	}
	lines := said.lines()
	if len(lines) != keptLines || lines[keptLines-1] != "3999" {
		t.Errorf("got %v", lines)
	}
}

// A grandchild that ignores its parent's end would go on compiling.
func TestCancellationEndsGrandchildren(t *testing.T) {
	t.Parallel()
	pidFile := filepath.Join(t.TempDir(), "pid")
	cause := errors.New("Ctrl-C")
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- Command{Name: "sh", Args: []string{"-c", "sleep 600 & echo $! >" + pidFile + "; wait"}}.Run(ctx)
	}()
	var pid int
	deadline := time.Now().Add(10 * time.Second)
	for pid == 0 && time.Now().Before(deadline) {
		content, _ := os.ReadFile(pidFile)
		pid, _ = strconv.Atoi(strings.TrimSpace(string(content)))
		time.Sleep(time.Millisecond)
	}
	cancel(cause)
	if err := <-done; !errors.Is(err, cause) {
		t.Fatalf("got %v, want the cause", err)
	}
	for running(pid) {
		if time.Now().After(deadline) {
			t.Fatalf("process %d still runs", pid)
		}
		time.Sleep(time.Millisecond)
	}
}

// running says whether a process is there and no zombie that nobody reaped.
func running(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	_, after, _ := strings.Cut(string(stat), ") ")
	return err == nil && !strings.HasPrefix(after, "Z")
}

func TestStopEndsWhatRuns(t *testing.T) {
	t.Parallel()
	stop, err := Command{Name: "sleep", Args: []string{"600"}}.Start(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Error(err)
	}
}
