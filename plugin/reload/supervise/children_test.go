package supervise

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// orphan starts a process whose parent goes at once. It ends with code 7
// when something is written to the FIFO.
func orphan(t *testing.T) (pid int, fifo string) {
	t.Helper()
	dir := t.TempDir()
	fifo = filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	// Its parent goes when it has left the group, which ends with the parent.
	p := start(t, "sh", "-c", "mkfifo "+dir+"/left; setsid sh -c 'echo $$ >"+dir+"/left; read go <"+fifo+"; exit 7' & cat "+dir+"/left >"+dir+"/pid")
	<-p.Done
	raw, err := os.ReadFile(filepath.Join(dir, "pid"))
	if err != nil {
		t.Fatal(err)
	}
	if pid, err = strconv.Atoi(strings.TrimSpace(string(raw))); err != nil {
		t.Fatal(err)
	}
	return pid, fifo
}

func release(t *testing.T, fifo string) {
	t.Helper()
	if err := os.WriteFile(fifo, []byte("go\n"), 0); err != nil {
		t.Fatal(err)
	}
}

// gone waits until a process is no more, not even a zombie.
func gone(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); syscall.Kill(pid, 0) == nil; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("process %d is still there", pid)
		}
	}
}

func TestOrphans(t *testing.T) {
	if err := Subreaper(); err != nil {
		t.Fatal(err)
	}
	Reap(nil)
	t.Run("an adopted one tells how it ended", func(t *testing.T) {
		pid, fifo := orphan(t)
		p := Adopt(pid)
		release(t, fifo)
		<-p.Done
		if got := p.Exit(); got.PID != pid || got.Code != 7 {
			t.Errorf("exit = %+v, want code 7 of %d", got, pid)
		}
		gone(t, pid)
	})
	t.Run("an adopted one is stopped like any", func(t *testing.T) {
		pid, _ := orphan(t)
		p := Adopt(pid)
		p.Stop(syscall.SIGTERM, time.Minute)
		if got := p.Exit().Code; got != 128+int(syscall.SIGTERM) {
			t.Errorf("code = %d, want that of SIGTERM", got)
		}
		gone(t, pid)
	})
	t.Run("one that is not adopted is reaped", func(t *testing.T) {
		pid, fifo := orphan(t)
		release(t, fifo)
		gone(t, pid)
	})
	t.Run("one that is gone ends at once", func(t *testing.T) {
		pid, fifo := orphan(t)
		release(t, fifo)
		gone(t, pid)
		p := Adopt(pid)
		<-p.Done
		if p.Exit().Code != 1 {
			t.Errorf("exit = %+v, want code 1", p.Exit())
		}
	})
	t.Run("the reaper takes no exit from a Process", func(t *testing.T) {
		for range 200 {
			p := start(t, "sh", "-c", "exit 5")
			<-p.Done
			if p.Exit().Code != 5 {
				t.Fatalf("exit = %+v, want code 5", p.Exit())
			}
		}
	})
}

func TestInputIsEmptyAndNotClosed(t *testing.T) {
	p := start(t, "sh", "-c", `test "$(readlink /proc/self/fd/0)" = /dev/null && ! read line`)
	<-p.Done
	if p.Exit().Code != 0 {
		t.Errorf("code = %d: descriptor 0 is not /dev/null", p.Exit().Code)
	}
}
