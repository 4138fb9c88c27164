package proof

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/reloadtest"
	"github.com/kubectl-ai/kubectl-ai/plugin/reload/wire"
)

// quick makes a silent stream end while a test waits for it.
var quick = wire.Heartbeat{Every: 50 * time.Millisecond, Lost: 400 * time.Millisecond}

// TestMain is also the program of a rank, when it is started as one.
func TestMain(m *testing.M) {
	if socket := os.Getenv(rankSocket); socket != "" {
		rankMain(socket)
		return
	}
	reloadtest.HearHangups()
	os.Exit(m.Run())
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// save writes a file of the laptop's folder.
func save(t testing.TB, dir, name, content string) {
	t.Helper()
	full := filepath.Join(dir, name)
	must(t, os.MkdirAll(filepath.Dir(full), 0o755))
	must(t, os.WriteFile(full, []byte(content), 0o644))
}

// stampScript logs what the process finds in its own generation: the first
// line of two files that carry the same stamp in every published tree.
const stampScript = `echo "$(head -n 1 a/train.py) $(head -n 1 b/stamp)" >> "$STAMP_LOG"; exec sleep 300`

// stamp gives every file of a small tree the same stamp. The first is some
// 4 KB, so that it travels as a difference to the last.
func stamp(t testing.TB, dir string, n int) {
	t.Helper()
	body := fmt.Sprintf("%d\n", n)
	for i := range 128 {
		body += fmt.Sprintf("x%03d = %d  # line of code\n", i, i*i*7919%1000)
	}
	save(t, dir, "a/train.py", body)
	save(t, dir, "b/stamp", fmt.Sprintf("%d\n", n))
	save(t, dir, "README", fmt.Sprintf("%d\n", n))
}

// checkStamps fails when a process ever started in a mixed tree.
func checkStamps(t testing.TB, log string) {
	t.Helper()
	raw, err := os.ReadFile(log)
	must(t, err)
	var a, b string
	starts := 0
	for rest := string(raw); rest != ""; starts++ {
		n, err := fmt.Sscanf(rest, "%s %s\n", &a, &b)
		if n != 2 || err != nil {
			t.Fatalf("a process started in a tree that is not whole: %.60q", rest)
		}
		if a != b {
			t.Errorf("a process started in a mixed tree: %s and %s", a, b)
		}
		rest = rest[len(a)+1+len(b)+1:]
	}
	t.Logf("%d starts of processes", starts)
}

// running fails unless the process of the last receipt runs in the current
// generation.
func running(t testing.TB, l *reloadtest.Laptop, p *reloadtest.Pod) {
	t.Helper()
	reloadtest.Await(t, func() string {
		r, ok := l.Receipt(p)
		dir, err := p.Current()
		switch {
		case !ok || err != nil:
			return fmt.Sprintf("no receipt or no generation: %v", err)
		case !reloadtest.Alive(r.PID):
			return fmt.Sprintf("process %d of generation %d does not run", r.PID, r.Generation)
		case reloadtest.WorkingDir(r.PID) != dir:
			return fmt.Sprintf("process %d runs in %s, current is %s", r.PID, reloadtest.WorkingDir(r.PID), dir)
		}
		return ""
	})
}
