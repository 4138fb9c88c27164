//go:build e2e

package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/ansi"
	"k8s.io/client-go/tools/clientcmd"
)

// stepper prints a falling loss until it is ended.
const stepper = `import itertools, json, time
for step in itertools.count(1):
    print(json.dumps({"step": step, "metrics": [{"name": "loss", "value": round(1 / step, 4)}]}), flush=True)
    time.sleep(0.2)
`

func TestStatusOnATerminal(t *testing.T) {
	const ns = "watched"
	files := job(ns, 2, "")
	files["src/train.py"] = stepper
	files["kubectl-ai.yaml"] += "metrics: [{name: loss, goal: minimize}]\n"
	dir := bundle(t, sandboxName, ns, files)
	line := newCuttable(t)
	var record runRecord
	if err := json.Unmarshal([]byte(must(t, "run", dir, "-o", "json").stdout), &record); err != nil || record.ID == "" {
		t.Fatalf("%v: %+v", err, record)
	}
	t.Cleanup(func() { _ = exec.Command(plugin, "runs", "delete", record.ID, "--dir", dir, "--yes").Run() })

	watch := func(t *testing.T, width uint16, args ...string) *terminal {
		t.Helper()
		d := onTerminal(t, width, 24, exec.Command(plugin, append([]string{"status", "-w", dir}, args...)...))
		d.above(record.ID)
		return d
	}
	for _, c := range []struct {
		name  string
		width uint16
		end   func(*terminal)
		exit  int
	}{
		{"80 columns, q", 80, func(d *terminal) { d.press("q") }, 0},
		{"40 columns, Ctrl-C", 40, func(d *terminal) { d.press("\x03") }, 130},
		{"80 columns, SIGTERM", 80, func(d *terminal) { _ = d.cmd.Process.Signal(syscall.SIGTERM) }, 130},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := watch(t, c.width)
			d.moves(3)
			d.press("xyz") // goes nowhere
			d.moves(2)
			d.inPlace(ns)
			c.end(d)
			d.ends(c.exit)
			d.inPlace(ns)
			if said := d.text(); strings.Contains(said, "xyz") || strings.Contains(said, "^C") {
				t.Errorf("what was typed is on the screen:\n%s", said)
			}
		})
	}

	t.Run("the API server goes away and comes back", func(t *testing.T) {
		t.Parallel()
		d := watch(t, 80, "--kubeconfig", line.kubeconfig)
		d.moves(2)
		line.cut()
		d.above("cannot read runs: dial tcp " + line.address + ": connect: connection refused")
		d.above(record.ID) // what was known last stays
		line.mend()
		eventually(t, 60*time.Second, func() error {
			if said := d.text(); strings.Contains(said, "cannot read") {
				return fmt.Errorf("it still says that it cannot read:\n%s", said)
			}
			return nil
		})
		d.moves(2)
		d.inPlace(ns)
		d.press("q")
		d.ends(0)
	})
}

var stepOnScreen = regexp.MustCompile(`step (\d+)`)

// moves waits until the step on the screen has changed so many times.
func (d *terminal) moves(times int) {
	d.t.Helper()
	for range times {
		before := stepOnScreen.FindString(d.text())
		eventually(d.t, time.Minute, func() error {
			if now := stepOnScreen.FindString(d.text()); now == "" || now == before {
				return fmt.Errorf("the screen stays at %q:\n%s", now, d.text())
			}
			return nil
		})
	}
}

func (d *terminal) text() string { return strings.Join(d.rows(), "\n") }

// inPlace checks that what was drawn again and again is there once, and that
// no line was wider than the terminal, which would have wrapped it.
func (d *terminal) inPlace(project string) {
	d.t.Helper()
	heads := 0
	for _, row := range d.rows() {
		if strings.HasPrefix(row, project+" · ") {
			heads++
		}
	}
	if heads != 1 {
		d.t.Errorf("the tree is there %d times:\n%s", heads, d.text())
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for line := range bytes.SplitSeq(d.raw, []byte("\r\n")) {
		line = line[bytes.LastIndexByte(line, '\r')+1:]
		if width := ansi.StringWidth(string(line)); width > d.screen.Width() {
			d.t.Errorf("%d cells in a terminal of %d: %q", width, d.screen.Width(), line)
		}
	}
}

// ends waits for the end and checks that the terminal is as it was: its mode,
// a cursor that is seen, below what was drawn, and no alternate screen.
func (d *terminal) ends(exit int) {
	d.t.Helper()
	select {
	case <-d.ended:
	case <-time.After(20 * time.Second):
		d.t.Fatalf("it did not end:\n%s", d.stacks())
	}
	if code := d.cmd.ProcessState.ExitCode(); code != exit {
		d.t.Errorf("exit %d, want %d", code, exit)
	}
	if after := d.mode(); *after != *d.before {
		d.t.Errorf("the terminal was %+v and is left as %+v", d.before, after)
	}
	if _, err := d.tty.WriteString("$ "); err != nil { // as the shell does
		d.t.Fatal(err)
	}
	d.status("$", 5*time.Second)
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range []struct{ set, reset string }{{"\x1b[?25l", "\x1b[?25h"}, {"\x1b[?1049h", "\x1b[?1049l"}} {
		if bytes.LastIndex(d.raw, []byte(m.set)) > bytes.LastIndex(d.raw, []byte(m.reset)) {
			d.t.Errorf("%q was never taken back", m.set)
		}
	}
}

// cuttable is a way to the sandbox's API server that can be cut.
type cuttable struct {
	t          *testing.T
	kubeconfig string
	address    string // of this way
	server     string

	mu       sync.Mutex
	listener net.Listener
	open     []net.Conn
}

func newCuttable(t *testing.T) *cuttable {
	t.Helper()
	c, err := clientcmd.LoadFromFile(config)
	if err != nil {
		t.Fatal(err)
	}
	cluster := c.Clusters[c.Contexts["kind-"+sandboxName].Cluster]
	server, err := url.Parse(cluster.Server)
	if err != nil {
		t.Fatal(err)
	}
	l := &cuttable{t: t, address: "127.0.0.1:0", server: server.Host, kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}
	l.mend()
	cluster.Server = "https://" + l.address
	if err := clientcmd.WriteToFile(*c, l.kubeconfig); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.cut)
	return l
}

func (l *cuttable) mend() {
	l.t.Helper()
	listener, err := net.Listen("tcp", l.address)
	if err != nil {
		l.t.Fatal(err)
	}
	l.address = listener.Addr().String()
	l.mu.Lock()
	l.listener = listener
	l.mu.Unlock()
	go func() {
		for {
			here, err := listener.Accept()
			if err != nil {
				return
			}
			there, err := net.Dial("tcp", l.server)
			if err != nil {
				_ = here.Close()
				continue
			}
			l.mu.Lock()
			l.open = append(l.open, here, there)
			l.mu.Unlock()
			for _, way := range [][2]net.Conn{{here, there}, {there, here}} {
				go func() {
					_, _ = io.Copy(way[0], way[1])
					_ = way[0].Close()
				}()
			}
		}
	}()
}

// cut ends all connections, and takes no new ones.
func (l *cuttable) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.listener.Close()
	for _, conn := range l.open {
		_ = conn.Close()
	}
	l.open = nil
}
