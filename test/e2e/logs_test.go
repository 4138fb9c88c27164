//go:build e2e

package e2e

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// logLine is what `logs -o json` prints.
type logLine struct {
	Time      time.Time
	Run       string
	Rank      int
	Pod       string
	Container string
	Line      string
}

func logLines(t *testing.T, r result) []logLine {
	t.Helper()
	var out []logLine
	for line := range strings.Lines(r.stdout) {
		var l logLine
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		out = append(out, l)
	}
	return out
}

func TestLogsOutliveTheirPods(t *testing.T) {
	const ns = "run-logs"
	dir := runBundle(t, ns)
	write(t, filepath.Join(dir, "src"), map[string]string{"train.py": `import os, time
rank = int(os.environ["RANK"])
for n in range(6):
    time.sleep(0.15 if rank else 0.1)
    print("line", n, "of", rank, flush=True)
`})
	record := decodeRun[runRecord](t, must(t, "run", dir, "--ranks", "2", "--wait", "-o", "json"))
	if record.Phase != "Complete" {
		t.Fatalf("%+v", record)
	}
	live := must(t, "logs", "--dir", dir, "-o", "json")
	lines := logLines(t, live)
	count := map[int]int{}
	for i, l := range lines {
		count[l.Rank]++
		if l.Run != record.ID || l.Pod == "" || l.Container != "main" || l.Line == "" || i > 0 && l.Time.Before(lines[i-1].Time) {
			t.Errorf("%d: %+v", i, l)
		}
	}
	if count[0] != 6 || count[1] != 6 || strings.Contains(live.stderr, "copy") {
		t.Errorf("ranks said %v: %s", count, live.stderr)
	}
	// Both of them were kept by the one who waited, who showed rank 0.
	kubectl(t, sandboxName, "delete", "pods", "-n", ns, "--all", "--wait", "--grace-period=0", "--force")
	copied := must(t, "logs", record.ID, "--dir", dir, "-o", "json")
	if copied.stdout != live.stdout {
		t.Errorf("the copy differs:\n%s\n%s", live.stdout, copied.stdout)
	}
	until := lines[len(lines)-1].Time.Local().Format(time.RFC3339)
	if !strings.Contains(copied.stderr, "from a copy on this machine, which ends at "+until) || !strings.Contains(copied.stderr, "2 pods (") {
		t.Errorf("it is not said that this is a copy: %s", copied.stderr)
	}
	if got := must(t, "logs", record.ID, "--dir", dir, "--rank", "1", "--tail", "2").stdout; got != "[rank 1] line 4 of 1\n[rank 1] line 5 of 1\n" {
		t.Errorf("%q", got)
	}
	// So do logs of a run that was deleted, and of a cluster that is not there.
	must(t, "runs", "delete", record.ID, "--dir", dir, "--yes")
	if got := must(t, "logs", "--dir", dir, "-o", "json"); got.stdout != live.stdout || !strings.Contains(got.stderr, "is not to be found in the cluster") {
		t.Errorf("deleted: %s%s", got.stdout, got.stderr)
	}
	none := filepath.Join(t.TempDir(), "none")
	if got := ai(t, "logs", "--dir", dir, "-o", "json", "--kubeconfig", none); got.code != 0 || got.stdout != live.stdout {
		t.Errorf("without a cluster: %d %s%s", got.code, got.stdout, got.stderr)
	}
	if got := ai(t, "logs", "nosuch", "--dir", dir); got.code != 2 || !strings.Contains(got.stderr, "RUN-001") {
		t.Errorf("%d %s", got.code, got.stderr)
	}
}

func TestLogsAreFollowedToTheEndOfTheRun(t *testing.T) {
	const ns = "run-logs-follow"
	dir := runBundle(t, ns)
	write(t, filepath.Join(dir, "src"), map[string]string{"train.py": `import os, time
for n in range(20):
    time.sleep(0.1)
    print("line", n, "of", os.environ["RANK"], flush=True)
`})
	must(t, "run", dir, "--ranks", "2")
	got := logLines(t, must(t, "logs", "-f", "--dir", dir, "-o", "json"))
	count := map[int]int{}
	for _, l := range got {
		count[l.Rank]++
	}
	if count[0] != 20 || count[1] != 20 {
		t.Errorf("ranks said %v", count)
	}
	must(t, "runs", "delete", got[0].Run, "--dir", dir, "--yes")
}
