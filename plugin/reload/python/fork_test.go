package python

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kubectl-ai/kubectl-ai/plugin/reload/supervise"
)

// slow is a module that tells when it was imported, and by whom.
const slow = "import os\nloaded_by = os.getpid()\n"

// site returns the variable that makes modules importable that are not code.
func site(t testing.TB, files map[string]string) string {
	t.Helper()
	return "PYTHONPATH=" + tree(t, files)
}

func TestPreloadedModulesAreImportedOnce(t *testing.T) {
	interpreter := python(t)
	if interpreter == "" {
		return
	}
	dir := tree(t, map[string]string{"train.py": "import slow, os\nprint(slow.loaded_by, os.getpid() != slow.loaded_by, id(slow))\n"})
	env := environment(site(t, map[string]string{"slow.py": slow}))
	b := newBench(t, dir, []string{interpreter, "train.py"}, env, []string{"slow"}).settled()
	first := b.forked(b.spec(interpreter, "train.py"))
	if first.Exit.Code != 0 || !strings.Contains(first.Output, " True ") {
		t.Fatalf("the first run: %+v", first)
	}
	for range 5 {
		if got := b.forked(b.spec(interpreter, "train.py")); got != first {
			t.Errorf("a later run has another module: %q, first was %q", got.Output, first.Output)
		}
	}
	if b.log.count("runs are forked from a Python that has imported slow") != 1 {
		t.Errorf("the log says:\n%s", b.log)
	}
}

func TestARunSeesItsGeneration(t *testing.T) {
	interpreter := python(t)
	if interpreter == "" {
		return
	}
	dir := tree(t, map[string]string{
		"gen/1/train.py": "import os, part, sys\nprint(part.x, os.getcwd()[-5:], os.environ['KUBECTL_AI_GENERATION'], part.__cached__ if sys.version_info > (3, 8) else sys.path)\n",
		"gen/1/part.py":  "x = 1\n",
	})
	b := newBench(t, dir, []string{interpreter, "train.py"}, environment("KUBECTL_AI_GENERATION=0"), []string{"json"}).settled()
	for i := 1; i <= 3; i++ {
		gen := fmt.Sprintf("%s/gen/%d", dir, i)
		write(t, dir, map[string]string{
			fmt.Sprintf("gen/%d/train.py", i): "import os, part, sys\nprint(part.x, os.getcwd()[-5:], os.environ['KUBECTL_AI_GENERATION'], part.__cached__ if sys.version_info > (3, 8) else sys.path)\n",
			fmt.Sprintf("gen/%d/part.py", i):  fmt.Sprintf("x = %d\n", i),
		})
		cache := filepath.Join(t.TempDir(), "pycache")
		spec := supervise.Spec{Argv: []string{interpreter, "train.py"}, Dir: gen, Env: environment(
			"KUBECTL_AI_GENERATION="+strconv.Itoa(i), "KUBECTL_AI_TREE_DIGEST=x", "PYTHONPYCACHEPREFIX="+cache)}
		got := b.forked(spec)
		want := fmt.Sprintf("%d gen/%d %d ", i, i, i)
		if strings.HasPrefix(got.Output, want+"[") {
			continue // Python 3.7 knows no such prefix
		}
		if want += cache; !strings.HasPrefix(got.Output, want) {
			t.Errorf("output = %q, want %q", got.Output, want)
		}
		if _, err := os.Stat(cache + gen); err != nil {
			t.Errorf("bytecode is not where PYTHONPYCACHEPREFIX says: %v", err)
		}
	}
}

func TestSeedsAreTakenAnew(t *testing.T) {
	interpreter := python(t)
	if interpreter == "" {
		return
	}
	dir := tree(t, map[string]string{"train.py": "import random, multiprocessing as m\nprint(random.random(), m.current_process().authkey.hex())\n"})
	b := newBench(t, dir, []string{interpreter, "train.py"}, environment(), []string{"random", "multiprocessing"}).settled()
	seen := map[string]bool{}
	for range 5 {
		for _, f := range strings.Fields(b.forked(b.spec(interpreter, "train.py")).Output) {
			seen[f] = true
		}
	}
	if len(seen) != 10 {
		t.Errorf("%d different values of 10", len(seen))
	}
}

func TestARunIsStoppedWithItsGroup(t *testing.T) {
	interpreter := python(t)
	if interpreter == "" {
		return
	}
	dir := tree(t, map[string]string{"train.py": `
import os, signal, subprocess
signal.signal(signal.SIGTERM, signal.SIG_IGN)
p = subprocess.Popen(["sleep", "300"])
os.rename(open("tmp", "w").name, "tmp2"); open("tmp2", "w").write(str(p.pid)); os.rename("tmp2", "child")
signal.pause()
`})
	b := newBench(t, dir, []string{interpreter, "train.py"}, environment(), []string{"subprocess"}).settled()
	p, err := b.fork(b.spec(interpreter, "train.py"))
	if err != nil {
		t.Fatal(err)
	}
	var raw []byte
	until(t, "the run has a child", func() bool { raw, err = os.ReadFile(dir + "/child"); return err == nil })
	child, err := strconv.Atoi(string(raw))
	if err != nil {
		t.Fatal(err)
	}
	p.Stop(syscall.SIGUSR2, time.Minute)
	if got := p.Exit().Code; got != 128+int(syscall.SIGUSR2) {
		t.Errorf("code = %d, want that of SIGUSR2", got)
	}
	until(t, "the run's child is gone", func() bool { return syscall.Kill(child, 0) != nil })
}

// TestManyRunsLeaveNothing is also about a run that goes on while the fork
// server ends.
func TestManyRunsLeaveNothing(t *testing.T) {
	interpreter := python(t)
	if interpreter == "" {
		return
	}
	dir := tree(t, map[string]string{"train.py": "import os, sys\nif os.fork() == 0: os._exit(0)\nsys.exit(int(sys.argv[1]) % 7)\n", "stay.py": "import time\nopen('up', 'w')\nwhile True: time.sleep(60)\n"})
	b := newBench(t, dir, []string{interpreter, "train.py"}, environment(), []string{"json"}).settled()
	for i := range 200 {
		if got := b.forked(b.spec(interpreter, "train.py", strconv.Itoa(i))); got.Exit.Code != i%7 {
			t.Fatalf("run %d ended with %+v", i, got)
		}
	}
	p, err := b.fork(b.spec(interpreter, "stay.py"))
	if err != nil {
		t.Fatal(err)
	}
	until(t, "the run is up", func() bool { _, err := os.Stat(dir + "/up"); return err == nil })
	b.Close()
	until(t, "one run is all that is left", func() bool {
		left := children(t, os.Getpid())
		return len(left) == 1 && left[0] == p.PID
	})
	p.Stop(syscall.SIGTERM, time.Minute)
	if got := p.Exit().Code; got != 128+int(syscall.SIGTERM) {
		t.Errorf("code = %d of a run whose fork server is gone", got)
	}
	until(t, "nothing is left", func() bool { return len(children(t, os.Getpid())) == 0 })
}

// children lists the processes whose parent a process is, zombies included.
func children(t testing.TB, parent int) []int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var found []int
	for _, s := range stats {
		raw, err := os.ReadFile(s)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(raw), ") ")
		fields := strings.Fields(rest)
		if len(fields) > 1 && fields[1] == strconv.Itoa(parent) {
			pid, _ := strconv.Atoi(strings.Split(s, "/")[2])
			found = append(found, pid)
		}
	}
	return found
}
