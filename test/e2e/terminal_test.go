//go:build e2e

package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// terminal is a program on a terminal of its own, as a person has it.
type terminal struct {
	t           *testing.T
	cmd         *exec.Cmd
	master, tty *os.File
	before      *unix.Termios
	ended       chan error

	mu     sync.Mutex
	screen *vt.Emulator
	raw    []byte // all that was written
}

// startTerminal starts a `dev`.
func startTerminal(t *testing.T, args ...string) *terminal {
	t.Helper()
	return onTerminal(t, 120, 24, exec.Command(plugin, append([]string{"dev"}, args...)...))
}

// onTerminal starts a program on a terminal of a size.
func onTerminal(t *testing.T, width, height uint16, cmd *exec.Cmd) *terminal {
	t.Helper()
	d := &terminal{t: t, cmd: cmd, ended: make(chan error, 1), screen: vt.NewEmulator(int(width), int(height))}
	var err error
	if d.master, d.tty, err = pty.Open(); err != nil {
		t.Fatal(err)
	}
	if err := pty.Setsize(d.master, &pty.Winsize{Cols: width, Rows: height}); err != nil {
		t.Fatal(err)
	}
	d.before = d.mode()
	d.cmd.Stdin, d.cmd.Stdout, d.cmd.Stderr = d.tty, d.tty, d.tty
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if d.cmd.Env == nil {
		d.cmd.Env = os.Environ()
	}
	d.cmd.Env = append(d.cmd.Env, "TERM=xterm-256color")
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	shown := make(chan struct{})
	go func() {
		defer close(shown)
		var p [4096]byte
		for {
			n, err := d.master.Read(p[:])
			if err != nil {
				return
			}
			d.mu.Lock()
			_, _ = d.screen.Write(p[:n])
			d.raw = append(d.raw, p[:n]...)
			d.mu.Unlock()
		}
	}()
	go func() { d.ended <- d.cmd.Wait() }()
	t.Cleanup(func() {
		_ = d.cmd.Process.Kill()
		_ = d.tty.Close()
		_ = d.master.Close()
		<-shown
		if t.Failed() {
			t.Logf("the screen:\n%s", strings.Join(d.rows(), "\n"))
		}
	})
	return d
}

func (d *terminal) mode() *unix.Termios {
	d.t.Helper()
	mode, err := unix.IoctlGetTermios(int(d.tty.Fd()), unix.TCGETS)
	if err != nil {
		d.t.Fatal(err)
	}
	return mode
}

// rows returns what is on the screen, without what is empty below.
func (d *terminal) rows() []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	rows := strings.Split(strings.TrimRight(strings.ReplaceAll(d.screen.String(), "\r", ""), "\n "), "\n")
	for i := range rows {
		rows[i] = strings.TrimRight(rows[i], " ")
	}
	return rows
}

// status waits until the last row begins with a text and returns it.
func (d *terminal) status(want string, within time.Duration) (row string) {
	d.t.Helper()
	eventually(d.t, within, func() error {
		rows := d.rows()
		if row = rows[len(rows)-1]; !strings.HasPrefix(row, want) {
			return fmt.Errorf("the last row is %q, want it to begin with %q", row, want)
		}
		return nil
	})
	return row
}

// above waits until some row on the screen holds a text.
func (d *terminal) above(want string) {
	d.t.Helper()
	eventually(d.t, time.Minute, func() error {
		if !strings.Contains(strings.Join(d.rows(), "\n"), want) {
			return fmt.Errorf("no row holds %q", want)
		}
		return nil
	})
}

func (d *terminal) press(keys string) {
	d.t.Helper()
	if _, err := d.master.WriteString(keys); err != nil {
		d.t.Fatal(err)
	}
}

// stacks ends the program and returns what its goroutines were at.
func (d *terminal) stacks() string {
	d.mu.Lock()
	before := len(d.raw)
	d.mu.Unlock()
	_ = d.cmd.Process.Signal(syscall.SIGQUIT)
	select {
	case <-d.ended:
	case <-time.After(5 * time.Second):
		return "nor on SIGQUIT"
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return string(d.raw[before:])
}

// detached waits for the end of dev and looks at what it left behind.
func (d *terminal) detached() {
	d.t.Helper()
	select {
	case err := <-d.ended:
		if err != nil {
			d.t.Errorf("dev ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		d.t.Fatalf("dev did not end:\n%s", d.stacks())
	}
	d.status("detached: the workload runs on", 30*time.Second)
	for _, row := range d.rows() {
		if strings.Contains(row, "? keys") {
			d.t.Errorf("the status line is still there: %q", row)
		}
	}
	if after := d.mode(); *after != *d.before {
		d.t.Errorf("the terminal was %+v and is left as %+v", d.before, after)
	}
}

func TestDevOnATerminal(t *testing.T) {
	const ns = "terminal"
	dir := bundle(t, sandboxName, ns, job(ns, 2, ""))
	short := func() string { return strings.TrimPrefix(digestHere(t, filepath.Join(dir, "src")), "sha256:")[:12] }

	d := startTerminal(t, dir)
	first := short()
	d.status(fmt.Sprintf("following · 2/2 ranks · gen 1 · %s · verified ", first), 3*time.Minute)
	d.above("[rank 1] generation 0 1")
	before := identity(t, sandboxName, ns)

	d.press("r")
	d.status("following · 2/2 ranks · gen 2 · "+first, time.Minute)

	d.press("p")
	d.status("paused · 2/2 ranks · gen 2", 30*time.Second)
	save(t, filepath.Join(dir, "src/generation.txt"), "generation 1\n")
	d.status("paused, 1 file changed · 2/2 ranks · gen 2", 30*time.Second)
	save(t, filepath.Join(dir, "src/more.txt"), "more\n")
	d.status("paused, 2 files changed · 2/2 ranks · gen 2", 30*time.Second)
	d.press("p")
	d.status(fmt.Sprintf("following · 2/2 ranks · gen 3 · %s · verified ", short()), time.Minute)
	d.above("[rank 0] generation 1 0")

	d.press("v")
	d.above("WHERE ")
	eventually(t, 20*time.Second, func() error {
		if n := strings.Count(strings.Join(d.rows(), "\n"), "true"); n != 2 {
			return fmt.Errorf("verify says true of %d ranks, want 2", n)
		}
		return nil
	})

	d.press("b")
	d.status("following · 2/2 ranks · gen 4 · "+first, time.Minute)
	d.press("?")
	d.above("q  detach, as Ctrl-C does; the workload runs on")
	d.press("q")
	d.detached()

	d = startTerminal(t, dir) // the folder's code is delivered, as after any start
	d.status("following · 2/2 ranks · gen 5 · "+short(), time.Minute)
	d.press("\x03")
	d.detached()

	d = startTerminal(t, dir)
	d.status("following · 2/2 ranks · gen 5 · "+short(), time.Minute)
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	d.detached()

	if after := identity(t, sandboxName, ns); after != before {
		t.Errorf("the workload changed:\n%s\nwas\n%s", after, before)
	}
}
